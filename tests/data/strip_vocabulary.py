"""Writes qwen25vl-vocab.gguf: Qwen2.5-VL's vocabulary without what no test needs. Needs the `gguf` package.

    python -m tests.data.strip_vocabulary path/to/ggml-vocab-qwen2.gguf

The source lies in llama-cpp-python's source distribution, under vendor/llama.cpp/models. Merges are kept where they are
among the first ones, or where what they make occurs in `KEPT`: a text of `KEPT` is cut exactly as with the whole
vocabulary, since a merge can only matter to a text that holds its result. Ids differ, counts do not.
"""

from __future__ import annotations

import sys
from pathlib import Path

import gguf

from tests.ai.seed import KEPT

FIRST_MERGES = 8_000
# Qwen2.5-VL's names for ids that Qwen2 leaves unnamed
NAMES = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
    *("<tool_call>", "</tool_call>"),
]
PLAIN = 151_643


def main(source: Path, target: Path) -> None:
    fields = gguf.GGUFReader(source).fields

    def strings(key: str) -> list[str]:
        return [bytes(fields[key].parts[i]).decode() for i in fields[key].data]

    kept = "\0".join(map(_spelling, KEPT))
    merges = strings("tokenizer.ggml.merges")
    merges = [m for i, m in enumerate(merges) if i < FIRST_MERGES or m.replace(" ", "") in kept]
    made = {m.replace(" ", "") for m in merges}
    tokens = [t for t in strings("tokenizer.ggml.tokens")[:PLAIN] if len(t) == 1 or t in made]
    kinds = [gguf.TokenType.USER_DEFINED if "tool_call" in name else gguf.TokenType.CONTROL for name in NAMES]
    writer = gguf.GGUFWriter(target, "qwen2")
    writer.add_name("Qwen2.5-VL's vocabulary, stripped")
    writer.add_context_length(32_768)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens + NAMES)
    writer.add_token_types([gguf.TokenType.NORMAL] * len(tokens) + kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens) + 2)
    writer.add_add_bos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _spelling(text: str) -> str:
    """Bytes as the letters that stand for them in a byte-level vocabulary."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    letters |= {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in letters)}
    return "".join(letters[b] for b in text.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).with_name("qwen25vl-vocab.gguf"))
