"""The books of the KV cache: sharing by prefix, residents, eviction."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.cache import Cache, Drop, Match, Share
from runtime.engine.reuse import common_prefix


def opened(cache: Cache, tokens: list[int]) -> int:
    """A sequence that shares what it can and computes the rest."""
    match = cache.match(tokens)
    slot = cache.open(match, match.n)
    if tokens[match.n :]:
        cache.extend(slot, tokens[match.n :])
    cache.check()
    return slot


def test_a_prefix_is_shared_while_the_other_still_runs() -> None:
    cache = Cache(100, slots=2, residents=2)
    first = opened(cache, [1, 2, 3, 4])
    second = opened(cache, [1, 2, 9])
    assert cache.used == 5
    assert Share(first, second, 2) in cache.operations
    assert (cache.length(first), cache.length(second)) == (4, 3)
    cache.release(first)
    assert cache.used == 3, "what the second shares stays"
    cache.release(second)
    assert cache.used == 0
    cache.check()


def test_a_finished_sequence_stays_as_a_resident() -> None:
    cache = Cache(100, slots=1, residents=1)
    slot = opened(cache, [1, 2, 3])
    cache.keep(slot, [1, 2, 3])
    assert (cache.used, cache.n_residents, cache.n_free_slots) == (3, 1, 1)
    assert cache.operations[-2:] == [Share(slot, 1, -1), Drop(slot)]
    assert cache.match([1, 2, 3, 4]).n == 3


def test_what_another_one_covers_is_not_kept_twice() -> None:
    cache = Cache(100, slots=2, residents=4)
    for tokens in ([1, 2, 3], [1, 2, 3], [1, 2], [1, 2, 3, 4]):
        cache.keep(opened(cache, tokens), tokens)
        cache.check()
    assert (cache.used, cache.n_residents) == (4, 1)


def test_the_least_recently_used_leaves_first() -> None:
    cache = Cache(100, slots=1, residents=2)
    for tokens in ([1, 1], [2, 2]):
        cache.keep(opened(cache, tokens), tokens)
    cache.keep(opened(cache, [1, 1, 5]), [1, 1, 5])
    cache.keep(opened(cache, [3, 3]), [3, 3])
    assert cache.match([2, 2]).n == 0
    assert cache.match([1, 1, 5]).n == 3
    assert cache.n_residents == 2
    cache.check()


def one_shot(cache: Cache, tokens: list[int]) -> None:
    cache.keep(opened(cache, tokens), tokens)
    cache.expire()
    cache.check()


def test_what_is_never_used_again_leaves_soon() -> None:
    cache = Cache(10_000, slots=1, residents=50, worth=200)
    for i in range(100):
        one_shot(cache, [1000 + i] * 10)
    assert cache.reuse.likelihood < 0.05
    assert cache.n_residents == 1, "the last one: 0.01 x 200 rows"


def test_what_is_used_again_stays() -> None:
    cache = Cache(10_000, slots=1, residents=50, worth=2_000)
    chats = [[1000 + i] * 10 for i in range(4)]
    for turn in range(20):
        for chat in chats:
            before = cache.used
            one_shot(cache, chat)
            assert cache.used == before + (10 if not turn else 1)
            chat.append(turn)
    assert cache.reuse.likelihood > 0.9
    assert cache.n_residents == 4


def test_what_would_have_been_used_again_stays_the_next_time() -> None:
    cache = Cache(10_000, slots=1, residents=50, worth=200)
    for i in range(50):
        one_shot(cache, [1000 + i] * 10)
    chats = [[2000 + i] * 10 for i in range(3)]
    for turn in range(20):
        for chat in chats:
            cache.reuse.asked(chat, cache.match(chat).n)
            one_shot(cache, chat)
            chat.append(turn)
    assert cache.n_residents == 3


def test_a_beginning_that_all_have_is_no_use() -> None:
    cache = Cache(10_000, slots=1, residents=50, worth=200)
    for i in range(100):
        tokens = [1, *[1000 + i] * 20]
        cache.reuse.asked(tokens, cache.match(tokens).n)
        one_shot(cache, tokens)
    assert cache.reuse.likelihood < 0.05
    assert cache.n_residents == 1


def test_time_alone_drops_nothing() -> None:
    cache = Cache(100, slots=1, residents=2, worth=10)
    one_shot(cache, [1, 2, 3])
    for _ in range(10):
        cache.expire()
    assert cache.n_residents == 1


def test_eviction_frees_only_what_nobody_else_holds() -> None:
    cache = Cache(100, slots=2, residents=2)
    cache.keep(opened(cache, [1, 2, 3]), [1, 2, 3])
    running = opened(cache, [1, 2, 9])
    assert cache.evict()
    assert not cache.evict()
    assert (cache.used, cache.length(running)) == (3, 3)


def test_a_truncated_sequence_keeps_its_beginning() -> None:
    cache = Cache(100, slots=2, residents=2)
    first = opened(cache, [1, 2, 3, 4])
    second = opened(cache, [1, 2, 3, 4, 5])
    cache.truncate(second, 2, 2)
    cache.check()
    assert (cache.length(first), cache.length(second), cache.used) == (4, 2, 4)
    cache.extend(second, [7])
    assert cache.match([1, 2, 7]).n == 3
    assert cache.used == 5


def test_available_counts_what_residents_would_give_back() -> None:
    cache = Cache(10, slots=2, residents=2)
    cache.keep(opened(cache, [1, 2, 3, 4]), [1, 2, 3, 4])
    opened(cache, [1, 2, 9])
    nothing = cache.match([5])
    assert cache.available(nothing) == 10 - 3
    assert cache.available(cache.match([1, 2, 3])) == 10 - 5


TOKENS = st.lists(st.integers(0, 2), min_size=1, max_size=12)


@given(st.lists(TOKENS, min_size=1, max_size=8), TOKENS, st.integers(0, 12))
def test_the_longest_prefix_is_found_and_can_be_cut(held: list[list[int]], asked: list[int], n: int) -> None:
    cache = Cache(1000, slots=8, residents=8)
    for tokens in held:
        opened(cache, tokens)
    expected = max(common_prefix(tokens, 0, asked, 0) for tokens in held)
    match = cache.match(asked)
    assert match.n == expected
    cut = cache.cut(match, n)
    assert cut.n == min(n, expected)
    _is_on_the_way(cut, asked)


def _is_on_the_way(match: Match, tokens: list[int]) -> None:
    way: list[int] = match.node.tokens[: match.offset]
    node = match.node.parent
    while node is not None:
        way = node.tokens + way
        node = node.parent
    assert way == tokens[: match.n]


@given(st.lists(st.integers(0, 3), max_size=300), st.lists(st.integers(0, 3), max_size=300), st.integers(0, 200))
def test_common_prefix(left: list[int], right: list[int], same: int) -> None:
    head = [7] * same
    naive = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        naive += 1
    assert common_prefix(head + left, 0, head + right, 0) == same + naive
    assert common_prefix(head + left, same, right, 0) == naive
