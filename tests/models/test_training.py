"""The recipe's training: what is kept between its steps. Needs the extra `model`."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.models.conftest import RECIPE

torch = pytest.importorskip("torch", reason="the extra `model` is not installed")


def learner_of(work: Path, net: Any, steps: int, averaging: float) -> Any:
    from train import Common, Learner

    size = sum(p.numel() for p in net.parameters())
    context = multiprocessing.get_context("fork")
    flags = context.Value("b", False), context.Value("b", False)
    common = Common(1, (torch.zeros(size),), context.Barrier(1), *flags, threading.Event(), 0.35, averaging)
    learner = Learner(net, work, 0, 0, steps, common)
    learner.resume()
    return learner


def small() -> Any:
    from network import Network, Shape

    return Network(Shape(layers=1, vision_layers=1))


def test_what_is_exported_is_the_mean_of_the_last_steps(tmp_path: Path) -> None:
    """Of a quarter of 160 steps, each 20th: of steps 140 and 160; stopped between them, and gone on with."""
    import export
    from train import MEAN_EVERY

    met = []
    for until in (150, 160):
        net = small()
        if (file := tmp_path / "checkpoint.pt").exists():
            net.take(torch.load(file, weights_only=False)["net"])
        learner = learner_of(tmp_path, net, 160, 0.25)
        learner.step = max(learner.step, 135)
        while learner.step < until:
            with torch.no_grad():
                net.embed.weight += 0.01  # as if something was learned
            learner.apply()
            if learner.step > 120 and learner.step % MEAN_EVERY == 0:
                met.append(net.embed.weight.detach().clone())
        learner.save()
    assert len(met) == 2
    made, step = export.load(tmp_path / "checkpoint.pt")
    assert step == 160
    assert torch.allclose(made.embed.weight, (met[0] + met[1]) / 2, atol=1e-6)
    assert not torch.allclose(made.embed.weight, met[1], atol=1e-3)


def test_training_that_goes_on_further_begins_its_mean_anew(tmp_path: Path) -> None:
    first = learner_of(tmp_path, small(), 20, 0.25)
    first.step = 19
    first.apply()
    first.save()
    assert int(first.mean.n_averaged) == 1
    assert int(learner_of(tmp_path, small(), 20, 0.25).mean.n_averaged) == 1
    further = learner_of(tmp_path, small(), 200, 0.25)
    assert further.step == 20
    assert int(further.mean.n_averaged) == 0


@pytest.mark.parametrize("n_classes", [0, 3])
def test_a_checkpoint_of_other_aids_is_gone_on_from_with_a_new_optimizer(
    n_classes: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = small()
    if n_classes:
        net.aids["edge"] = torch.nn.Linear(net.s.hidden, n_classes)
    else:
        del net.aids["edge"]
    before = learner_of(tmp_path, net, 20, 0.25)
    before.step = 7
    for p in net.parameters():
        p.grad = torch.ones_like(p)
    before.apply()
    before.save()
    after = learner_of(tmp_path, small(), 20, 0.25)
    assert after.step == 8
    assert not after.optimizers[1].state
    assert "optimizer.0.pt is of other aids than the recipe's now: the optimizer begins anew" in capsys.readouterr().out


def test_chats_of_like_length_meet_and_the_longest_batch_is_begun_first(tmp_path: Path) -> None:
    """Batches of one length cost alike, wherever they fall; a step ends when its last batch does."""
    import queue

    import batches
    import tokens
    import train
    from encoding import Encoder

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    group = batches.group(1, 0, "calling", 6, Encoder(file), 4)
    lengths = sorted(sorted(b.lengths[:6].tolist()) for b in group)
    assert len(lengths) == 4
    assert all(shorter[-1] <= longer[0] for shorter, longer in itertools.pairwise(lengths))
    put: queue.Queue[Any] = queue.Queue()
    train.put_parts(1, 0, 0, 1, file, put, 1)
    sizes: list[int] = []
    while (work := put.get_nowait()) is not None:
        sizes.append(work.batch.tokens.size if isinstance(work.batch, batches.Batch) else 0)
    assert len(sizes) == len(train.MIX)
    assert sizes == sorted(sizes, reverse=True)


def test_what_an_answer_begins_from_is_asked_for_its_language(tmp_path: Path) -> None:
    """Refusals beside tools, which are told in English, were in the other language now and then."""
    import tokens
    from calling import usual
    from chats import Chat
    from encoding import Encoder
    from lexicon import UNKNOWN
    from skills import SKILLS

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    for told, language in enumerate(("en", "pt")):
        chat = Chat(language=language, tools=[usual(SKILLS[0]).definition], sorts=[()])
        chat.ask("Olá.")
        chat.answer(UNKNOWN[language], "unknown")
        made = Encoder(file).chat(chat)
        (place, which), *more = made.noted["language"]
        assert (which, more) == (told, [])
        assert made.weights[place] == 0
        assert made.weights[place + 1] > 0


def test_batches_change_as_training_goes_on(tmp_path: Path) -> None:
    import queue
    from collections import Counter

    import tokens
    import train

    assert [train.mix_at(share) for share in (0.0, 0.19, 0.2, 0.79, 0.8, 1.0)] == [
        train.MIX, train.MIX, train.LATER, train.LATER, train.ENDING, train.ENDING,
    ]  # fmt: skip
    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    for first, mix in ((8, train.LATER), (32, train.ENDING)):
        put: queue.Queue[Any] = queue.Queue()
        train.put_parts(1, first, 0, 40, file, put, 1)
        kinds: list[str] = []
        while (work := put.get_nowait()) is not None:
            kinds.append(train.kind_of(work.batch))
        assert Counter(kinds) == Counter(kind for kind, _ in mix)


def test_a_request_and_a_tool_alone_are_asked_what_they_are_asked_in_a_chat(tmp_path: Path) -> None:
    """The same tokens, sorts of work, meanings, arguments; only the layers below which these are asked learn of it."""
    import random

    import batches
    import calling
    import data
    import tokens
    from chats import Chat
    from encoded import MOST_PIECE
    from encoding import Encoder
    from losses import aside_loss
    from made import sorts_of
    from network import WORDS_LAYER, Network, Shape
    from skills import SKILLS

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    encoder = Encoder(file)
    weather, timer = (calling.usual(s) for s in (SKILLS[0], SKILLS[2]))
    chat = Chat(tools=[timer.definition, weather.definition], sorts=[sorts_of(SKILLS[2]), sorts_of(SKILLS[0])])
    chat.ask("Set a timer for 5 minutes.", sorts=sorts_of(SKILLS[2]))
    chat.call([timer.call([5])], "call")
    whole = encoder.chat(chat)
    for said, calls in ((chat.turns[0].text, chat.turns[1].calls), (timer.definition, ())):
        alone = encoder.alone(said, sorts_of(SKILLS[2]), calls)
        n = len(alone.ids)
        at = next(i for i in range(len(whole.ids)) if whole.ids[i : i + n] == alone.ids)
        assert not any(alone.weights)
        for name in ("sort", "meaning", "slot")[: 2 + len(calls)]:
            assert alone.noted[name] == [
                (place - at, value) for place, value in whole.noted[name] if at <= place < at + n
            ]
    net = Network(Shape())
    (batch,) = batches.group(1, 0, "asking", 30, encoder, 1)
    assert not batch.is_answered
    losses = aside_loss(net, batch)
    assert losses.keys() == {"sort", "meaning", "slot"} | {f"letter {i}" for i in range(MOST_PIECE)}
    sum(losses.values()).backward()
    learns = [block.qkv.weight.grad is not None and bool(block.qkv.weight.grad.any()) for block in net.blocks]
    assert learns == [i <= WORDS_LAYER for i in range(len(net.blocks))]
    kinds = [type(data.asking(random.Random(i))[0]) for i in range(200)]
    assert 20 < kinds.count(dict) < 80


def test_a_word_has_the_same_pieces_behind_a_space_and_behind_a_quote() -> None:
    """But for words that are a token together with the space, whole."""
    import tokens
    from lexicon import NAMES_HELD_OUT, WORDS_HELD_OUT

    tokenizer = tokens.train(1, 900)
    words = [*WORDS_HELD_OUT, *(name.lower() for name in NAMES_HELD_OUT), "office", "bedroom", "medium", "canoe"]
    odd = []
    for word in words:
        spaced, (_, *bare) = tokenizer.encode(f"to {word}").tokens[1:], tokenizer.encode(f'"{word}').tokens
        if spaced not in ([tokens.SPACE, *bare], ["o", tokens.SPACE, *bare], [tokens.SPACE + word]):
            odd.append(word)
    assert len(odd) <= len(words) // 20, odd


def test_what_a_sum_comes_to_counts_for_more(tmp_path: Path) -> None:
    import tokens
    from chats import Chat
    from encoding import Encoder

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    chat = Chat(language="en")
    chat.ask("What is 8 + 4?")
    chat.answer("8 + 4 = 12.", "sum")
    made = Encoder(file).chat(chat)
    pieces = next(pieces for text, pieces in made.texts if text == "8 + 4 = 12.")
    first = made.weights[pieces[0][0]]
    assert {round(made.weights[place] / first, 6) for place, (a, b) in pieces if a < 10 and b > 8} == {3.0}


def test_a_choice_is_learned_without_the_answer(tmp_path: Path) -> None:
    """Up to where an answer begins, all is as in the chat that has it; behind that, the next request follows."""
    import random

    import batches
    import data
    import tokens
    from chats import Chat
    from encoding import Encoder
    from losses import aside_loss
    from network import POINTED_LAYERS, Network, Shape

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    encoder = Encoder(file)
    chat = data.choosing_chat(random.Random(4))
    asked = [turn for turn in chat.turns if turn.role == "user"]
    assert len(asked) == len(chat.turns) / 2 >= 12
    made = encoder.chat(chat, has_answers=False)
    assert not any(made.weights)
    assert len(made.noted["chosen"]) == len(asked)
    assert [said for said, _ in made.texts if said.startswith("user")] == [f"user\n{turn.text}" for turn in asked]
    once = Chat(chat.turns[:2], chat.tools, chat.sorts, chat.system, chat.language)
    whole, alone = encoder.chat(once), encoder.chat(once, has_answers=False)
    begins, chosen = alone.noted["chosen"][0]
    assert whole.noted["chosen"] == [(begins, chosen)]
    assert whole.ids[: begins + 1] == alone.ids[: begins + 1] == made.ids[: begins + 1]
    assert alone.noted.keys() <= whole.noted.keys()
    net = Network(Shape())
    (batch,) = batches.group(1, 0, "choosing", 2, encoder, 1)
    assert not batch.is_answered
    losses = aside_loss(net, batch)
    assert {"chosen", "pointed", "sort", "whose"} <= losses.keys()
    torch.stack(list(losses.values())).sum().backward()
    learns = [block.qkv.weight.grad is not None and bool(block.qkv.weight.grad.any()) for block in net.blocks]
    assert learns == [i <= POINTED_LAYERS[0] for i in range(len(net.blocks))]


@pytest.mark.parametrize(("kind", "is_taught"), [("looking", True), ("showing", False)])
def test_the_tower_is_left_alone_by_what_only_tells_of_it(kind: str, is_taught: bool, tmp_path: Path) -> None:
    import batches
    import tokens
    from encoding import Encoder
    from losses import aside_loss
    from network import Network, Shape

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    net = Network(Shape())
    (batch,) = batches.group(1, 0, kind, 4, Encoder(file), 1)
    assert not batch.is_answered
    losses = aside_loss(net, batch)
    assert ("seen" in losses) == is_taught
    assert {"told", "own", "placed"} <= losses.keys()
    torch.stack(list(losses.values())).sum().backward()
    assert any(p.grad is not None for p in net.vision.parameters()) == is_taught
    assert net.blocks[0].qkv.weight.grad is not None


def test_an_aid_weighs_the_same_however_its_tokens_are_divided(tmp_path: Path) -> None:
    """Each batch knows, of every aid that it is asked, at how many tokens that is asked of its step's batches with
    answers, or of those of its kind."""
    import queue
    from collections import Counter

    import batches
    import tokens
    import train
    from losses import SHARES, aside_loss, asked_of, loss_of
    from network import Network, Shape

    file = tmp_path / "tokenizer.json"
    tokens.train(1, 200).save(str(file))
    put: queue.Queue[Any] = queue.Queue()
    train.put_parts(1, 0, 1, 2, file, put, 1)
    first: list[Any] = []
    while (work := put.get_nowait()) is not None:
        first.append(work)
    kinds = [train.kind_of(work.batch) for work in first]
    assert Counter(kinds) == {"reading": train.LOOKS + 1} | {kind: 1 for kind, _ in train.FIRST}
    then: list[Any] = []
    while (work := put.get_nowait()) is not None:
        then.append(work)
    net, with_answers, alone = Network(Shape()), Counter[str](), dict[str, Counter[str]]()
    for work in (*first, *then):
        if isinstance(work.batch, batches.Batch):
            with torch.no_grad():
                found = (loss_of if work.batch.is_answered else aside_loss)(net, work.batch).keys() & SHARES.keys()
            assert asked_of(work.batch).keys() == found, work.batch.kind
    for work in then:
        if isinstance(work.batch, batches.Batch):
            counted = with_answers if work.batch.is_answered else alone.setdefault(work.batch.kind, Counter())
            counted.update(asked_of(work.batch))
    assert {"chosen", "argument", "following", "about", "task", "seen"} <= with_answers.keys()
    for work in then:
        if isinstance(work.batch, batches.Batch):
            assert work.n_asked == (with_answers if work.batch.is_answered else alone[work.batch.kind])


def test_a_mean_over_few_tokens_counts_for_little() -> None:
    from losses import ASIDE, FEW, SHARES, share_of

    assert share_of("calling", "chosen", 10**9, 10**9) == pytest.approx(SHARES["chosen"], rel=1e-3)
    assert share_of("calling", "chosen", FEW, FEW) == SHARES["chosen"] / 2
    parts = share_of("calling", "chosen", 30, 70) + share_of("calling", "chosen", 40, 70)
    assert parts == pytest.approx(share_of("calling", "chosen", 70, 70))
    assert share_of("asking", "slot", 50, 50) == pytest.approx(ASIDE["asking"] * share_of("calling", "slot", 50, 50))


def test_a_pointed_head_is_one_of_its_layer() -> None:
    """What is told of its attention is what its queries and keys give; the two for names are of the layer before."""
    from attention import Segments
    from encoded import LOOKING, NAMING, RECOGNISING
    from network import POINTED_LAYERS, WORDS_LAYER, Network, Shape, rms, rotate

    torch.manual_seed(3)
    net, n, place = Network(Shape()), 12, 9
    heads = {LOOKING: (POINTED_LAYERS, 0), RECOGNISING: ((WORDS_LAYER,), 5), NAMING: ((WORDS_LAYER,), 0)}
    asked = torch.tensor([[0, place, head] for head in heads])
    positions, texts = torch.arange(n).expand(3, n), Segments.of(torch.tensor([n]))
    _, tapped, attention = net.hidden(torch.arange(n), positions, texts, asked=asked)
    s, (cos, sin) = net.s, net.angles(positions)
    kv = s.kv_heads * s.head
    layers = [WORDS_LAYER, *POINTED_LAYERS]
    assert len(attention) == len(layers)
    for layer, told in zip(layers, attention, strict=True):
        block = net.blocks[layer]
        q, k, _ = block.qkv(rms(tapped[layer - 1], block.norm1, 1e-8)).split((s.hidden, kv, kv), -1)
        q = rotate(q.view(n, s.heads, s.head).transpose(0, 1), cos, sin)
        k = rotate(k.view(n, s.kv_heads, s.head).transpose(0, 1), cos, sin)
        of_layer = {i: head for i, (of, head) in enumerate(heads.values()) if layer in of}
        assert sorted(i for which, _ in told for i in which.tolist()) == sorted(of_layer)
        for which, each in told:
            for i, given in zip(which.tolist(), each, strict=True):
                head = of_layer[i]
                scores = q[head, place] @ k[head * s.kv_heads // s.heads].T / s.head**0.5
                assert torch.allclose(given[: place + 1], scores[: place + 1].log_softmax(-1), atol=1e-5)
                assert bool(given[place + 1 :].isneginf().all())


def test_a_checkpoint_of_another_tokenizer_is_refused(tmp_path: Path) -> None:
    import tokens

    tokens.train(1, 200).save(str(tmp_path / "tokenizer.json"))
    torch.save({"net": {}, "step": 5, "shape": {"vocabulary": 1024}}, tmp_path / "checkpoint.pt")
    command = [sys.executable, str(RECIPE / "train.py"), "--work", str(tmp_path)]
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, env=paths)
    assert ended.returncode == 2
    assert f"checkpoint.pt has 1024 tokens, tokenizer.json beside it {tokens.SIZE}" in ended.stderr
