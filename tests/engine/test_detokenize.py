"""Whole characters, stop strings held back exactly as long as needed, log-probabilities with their text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.detokenize import Detokenizer
from runtime.engine.request import TokenLogprob


def test_a_character_in_two_tokens_comes_whole() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push(b"a\xc3").text == "a"
    assert detokenizer.push(b"\xa9!").text == "é!"


def test_half_a_character_at_the_end_is_a_replacement_character() -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push(b"ok\xf0\x9f").text == "ok"
    assert detokenizer.finish().text == "\ufffd"


def test_a_stop_string_is_held_back_and_never_shown() -> None:
    detokenizer = Detokenizer(("END",))
    assert detokenizer.push(b"one E").text == "one "
    assert detokenizer.push(b"N").text == ""
    emission = detokenizer.push(b"D and more")
    assert (emission.text, emission.stop) == ("", "END")


def test_what_was_held_back_for_nothing_is_shown_at_once() -> None:
    detokenizer = Detokenizer(("END",))
    assert detokenizer.push(b"EN").text == ""
    assert detokenizer.push(b"OUGH").text == "ENOUGH"


def test_the_stop_string_that_is_complete_first_counts() -> None:
    emission = Detokenizer(("abcd", "bc")).push(b"xabcd")
    assert (emission.text, emission.stop) == ("xa", "bc")


def test_of_two_that_end_together_the_one_that_begins_first_counts() -> None:
    emission = Detokenizer(("c", "bc")).push(b"abc")
    assert (emission.text, emission.stop) == ("a", "bc")


def test_a_beginning_of_a_stop_string_at_the_end_is_text() -> None:
    detokenizer = Detokenizer(("END",))
    assert detokenizer.push(b"the E").text == "the "
    assert detokenizer.finish().text == "E"


def test_logprobs_come_with_the_first_character_of_their_token() -> None:
    detokenizer = Detokenizer(("END",))
    a, b, c = (TokenLogprob(t, -1.0) for t in (b"a", b"E", b"x"))
    assert detokenizer.push(b"a", a).logprobs == (a,)
    assert detokenizer.push(b"E", b).logprobs == ()
    assert detokenizer.push(b"x", c).logprobs == (b, c)


def test_logprobs_of_a_stop_string_are_not_shown() -> None:
    detokenizer = Detokenizer(("END",))
    assert detokenizer.push(b"END", TokenLogprob(b"END", -1.0)).logprobs == ()


def test_logprobs_of_half_a_character_come_at_the_end() -> None:
    detokenizer = Detokenizer()
    half = TokenLogprob(b"\xf0", -1.0)
    assert detokenizer.push(b"\xf0", half).logprobs == ()
    assert detokenizer.finish().logprobs == (half,)


TEXTS = st.text(alphabet="abé😀\n", max_size=30)


@given(TEXTS, st.lists(st.text(alphabet="abé", min_size=1, max_size=4), max_size=3), st.randoms(use_true_random=False))
def test_any_cut_of_the_bytes_gives_the_same_text(text: str, stops: list[str], random: object) -> None:
    """The text ends where, read character by character, a stop string is first complete."""
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    expected = text[: min(ends)[1]] if ends else text
    data = text.encode()
    detokenizer, shown, stop = Detokenizer(tuple(stops)), "", None
    while data and stop is None:
        n = random.randint(1, 3)  # type: ignore[attr-defined]
        emission = detokenizer.push(data[:n])
        data, shown, stop = data[n:], shown + emission.text, emission.stop
        held = len(text) - len(shown)
        assert text.startswith(shown)
        assert held >= 0
    if stop is None:
        shown += detokenizer.finish().text
    assert shown == expected
    assert (stop is not None) == bool(ends)


@pytest.mark.parametrize("data", [b"\xff", b"a\xc3(", b"\xe2\x82"])
def test_bytes_that_are_no_text_become_replacement_characters(data: bytes) -> None:
    detokenizer = Detokenizer()
    assert detokenizer.push(data).text + detokenizer.finish().text == data.decode("utf-8", "replace")
