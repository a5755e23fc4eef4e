"""The tokenizer: byte-pair encoding with Qwen2's way of splitting, trained on the recipe's own conversations."""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import data
from chats import Chat, parts
from runtime.engine.request import Text

SIZE = 2048
"""Tokens of a new tokenizer, markup and all."""
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_BARE = r"\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
"""The same, but for words without what stands before them."""
SPACE, SPACED = "Ġ", 400
"""How byte-level encoding writes a space, and how many words at most are tokens together with one."""
WHOLE = 0.9
"""Of the words that begin with one of these, how many must be it: ` can` would be in ` caneta`, and `caneta` then have other pieces behind
a quote than behind a space."""
MARKUP = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<tool_call>", "</tool_call>",
)  # fmt: skip
"""The last ids, in this order."""
PADDING = "[PAD"
"""How tokens begin that no text has."""


def examples(seed: int, count: int) -> Iterator[Chat]:
    for i in range(count):
        rng = random.Random(f"{seed} tokens {i}")
        yield data.seeing_chat(rng, data.cells_for(rng)) if i % 3 == 0 else data.saying_chat(rng) if i % 3 == 1 else data.calling_chat(rng)


def train(seed: int, count: int = 9000) -> Tokenizer:
    """Every byte is kept; digits stay single; the markup is added behind.

    A word has the same pieces wherever it stands (` Lisbon` and `"Lisbon`), so that what is copied is copied piece by
    piece: pieces are learned from bare words, and only then whole frequent words take the space before them.
    """
    texts = [p.text for chat in examples(seed, count) for p in parts(chat) if isinstance(p, Text)]
    bare = _tokenizer(models.BPE(), _BARE)
    n_bare = SIZE - len(MARKUP) - SPACED
    trainer = trainers.BpeTrainer(vocab_size=n_bare, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    bare.train_from_iterator(texts, trainer)
    model = json.loads(bare.to_str())["model"]
    vocab, merges = dict(model["vocab"]), [tuple(m) for m in model["merges"]]
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    words = Counter(w for text in texts for w in re.findall(r" ([^\W\d_]{2,})", text))
    begun = Counter[str]()  # with a word's first piece, a space merges whatever follows it
    for word, n in words.items():
        begun[bare.encode(word).tokens[0]] += n
    for word, n in words.most_common():
        written = byte_level.pre_tokenize_str(word)[0][0]
        if written in vocab and n >= WHOLE * begun[written] and len(vocab) < n_bare + SPACED:
            merges.append((SPACE, written))
            vocab[SPACE + written] = len(vocab)
    vocab |= {f"{PADDING}{i}]": i for i in range(len(vocab), SIZE - len(MARKUP))}  # where texts are few
    return text_tokenizer(models.BPE(vocab=vocab, merges=merges))


def text_tokenizer(model: models.BPE) -> Tokenizer:
    """The one that texts are encoded with, from its pieces."""
    return _tokenizer(model, _SPLIT)


def _tokenizer(model: models.BPE, split: str) -> Tokenizer:
    tokenizer = Tokenizer(model)
    by_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), by_bytes])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def vocabulary(tokenizer: Tokenizer) -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens by id, markup included, and merges."""
    model = json.loads(tokenizer.to_str())["model"]
    by_id = sorted(model["vocab"], key=model["vocab"].__getitem__)
    return [*by_id, *MARKUP], [tuple(m) for m in model["merges"]]


def markup_ids(size: int) -> dict[str, int]:
    """Of a vocabulary of `size` tokens, markup and all."""
    return {name: size - len(MARKUP) + i for i, name in enumerate(MARKUP)}


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    a.out.parent.mkdir(parents=True, exist_ok=True)
    train(a.seed).save(str(a.out))
    print(f"{a.out}: {SIZE} tokens")


if __name__ == "__main__":
    main()
