"""A checkpoint to the two GGUF files that llama.cpp reads: text model and projector, Q8_0 or F32."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer

from batches import MEAN, STD
from network import Network, Shape
from tokens import PADDING, markup_ids, vocabulary

Tensors = dict[str, np.ndarray]
STEPS_KEY = "beira.training_steps"
"""The text model's header tells how far it was trained, for restore.py."""
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""For other programs; the runtime lays chats out itself."""


def text_tensors(net: Network) -> Tensors:
    """By llama.cpp's names for qwen2vl; the output matrix is the embedding's."""
    s = net.s
    kv = s.kv_heads * s.head
    made: Tensors = {"token_embd.weight": _array(net.embed.weight), "output_norm.weight": _array(net.norm)}
    for i, b in enumerate(net.blocks):
        at = f"blk.{i}."
        made |= {at + "attn_norm.weight": _array(b.norm1), at + "ffn_norm.weight": _array(b.norm2)}
        for kind in ("weight", "bias"):
            pieces = getattr(b.qkv, kind).split((s.hidden, kv, kv))
            made |= {f"{at}attn_{n}.{kind}": _array(p) for n, p in zip("qkv", pieces, strict=True)}
        gate, up = b.gate_up.weight.chunk(2)
        made |= {
            at + "attn_output.weight": _array(b.out.weight),
            at + "ffn_gate.weight": _array(gate),
            at + "ffn_up.weight": _array(up),
            at + "ffn_down.weight": _array(b.down.weight),
        }
    return made


def vision_tensors(net: Network) -> Tensors:
    """By mtmd's names; the patch convolution is for two frames, each given half."""
    v = net.vision
    patch = _array(v.patch.weight).reshape(-1, 3, 14, 14) / 2
    made: Tensors = {"v.patch_embd.weight": patch, "v.patch_embd.weight.1": patch, "v.post_ln.weight": _array(v.norm)}
    for i, b in enumerate(v.blocks):
        at = f"v.blk.{i}."
        made |= {at + "ln1.weight": _array(b.norm1), at + "ln2.weight": _array(b.norm2)}
        for kind in ("weight", "bias"):
            q, k, val = getattr(b.qkv, kind).chunk(3)
            gate, up = getattr(b.gate_up, kind).chunk(2)
            named = {"attn_q": q, "attn_k": k, "attn_v": val, "attn_out": getattr(b.out, kind)}
            named |= {"ffn_gate": gate, "ffn_up": up, "ffn_down": getattr(b.down, kind)}
            made |= {f"{at}{n}.{kind}": _array(t) for n, t in named.items()}
    for n, layer in (("mm.0", v.merge1), ("mm.2", v.merge2)):
        made |= {n + ".weight": _array(layer.weight), n + ".bias": _array(layer.bias)}
    return made


def write_text(net: Network, step: int, tokenizer: Tokenizer, file: Path, quant: str) -> None:
    s = net.s
    w = gguf.GGUFWriter(file, "qwen2vl")
    w.add_name("Beira's embedded model: a tiny Qwen2.5-VL of drawn scenes")
    w.add_license("apache-2.0")
    w.add_uint32(STEPS_KEY, step)
    w.add_context_length(32768)
    w.add_embedding_length(s.hidden)
    w.add_block_count(s.layers)
    w.add_feed_forward_length(s.ffn)
    w.add_head_count(s.heads)
    w.add_head_count_kv(s.kv_heads)
    w.add_rope_freq_base(s.rope_base)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_dimension_sections([*s.rope_sections, 0])
    _add_tokenizer(w, tokenizer)
    _finish(w, text_tensors(net), quant)


def write_vision(net: Network, file: Path, quant: str) -> None:
    s = net.s
    w = gguf.GGUFWriter(file, "clip")
    w.add_type("mmproj")
    w.add_license("apache-2.0")
    w.add_clip_has_vision_encoder(True)
    w.add_clip_projector_type("qwen2.5vl_merger")
    w.add_vision_use_silu(True)
    w.add_vision_n_wa_pattern(s.vision_pattern)
    w.add_vision_image_size(560)
    w.add_vision_patch_size(14)
    w.add_vision_embedding_length(s.vision_hidden)
    w.add_vision_feed_forward_length(s.vision_ffn)
    w.add_vision_projection_dim(s.hidden)
    w.add_vision_block_count(s.vision_layers)
    w.add_vision_head_count(s.vision_heads)
    w.add_vision_attention_layernorm_eps(1e-6)
    w.add_vision_image_mean([float(x) for x in MEAN])
    w.add_vision_image_std([float(x) for x in STD])
    _finish(w, vision_tensors(net), quant)


def load(checkpoint: Path) -> tuple[Network, int]:
    """The network as it was trained, the mean of its last steps if there is one, and for how many steps."""
    kept = torch.load(checkpoint, weights_only=False, map_location="cpu")
    net = Network(Shape(**kept["shape"]))
    net.take(kept.get("mean", kept)["net"])
    return net, kept["step"]


def export(checkpoint: Path, tokenizer: Path, out: Path, quant: str) -> tuple[Path, Path]:
    """Write both files into `out`; they appear whole."""
    net, step = load(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    files = out / "beira-tiny.gguf", out / "beira-tiny-mmproj.gguf"
    parts = tuple(f.with_suffix(".part") for f in files)
    write_text(net, step, Tokenizer.from_file(str(tokenizer)), parts[0], quant)
    write_vision(net, parts[1], quant)
    for part, file in zip(parts, files, strict=True):
        part.replace(file)
    return files


def _array(t: torch.Tensor) -> np.ndarray:
    made: np.ndarray = t.detach().float().numpy()
    return made


def _add_tokenizer(w: gguf.GGUFWriter, tokenizer: Tokenizer) -> None:
    tokens, merges = vocabulary(tokenizer)
    ids = markup_ids(len(tokens))
    kinds = [gguf.TokenType.NORMAL] * len(tokens)
    for i, token in enumerate(tokens):
        if token.startswith(PADDING):
            kinds[i] = gguf.TokenType.UNUSED
        elif token in ids:
            kinds[i] = gguf.TokenType.USER_DEFINED if "tool_call" in token else gguf.TokenType.CONTROL
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges([" ".join(m) for m in merges])
    w.add_eos_token_id(ids["<|im_end|>"])
    w.add_pad_token_id(ids["<|endoftext|>"])
    w.add_bos_token_id(ids["<|endoftext|>"])
    w.add_add_bos_token(False)
    w.add_chat_template(TEMPLATE)


def _finish(w: gguf.GGUFWriter, tensors: Tensors, quant: str) -> None:
    """Matrices are quantised; norms, biases and the patch convolution stay whole. A matrix of the tower's feed-forward is
    halved alone: with all of them, and what they multiply, in 8 bits one embedding of a picture's turned by 6 degrees."""
    kind = gguf.GGMLQuantizationType.Q8_0 if quant == "q8_0" else gguf.GGMLQuantizationType.F32
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0 if quant == "q8_0" else gguf.LlamaFileType.ALL_F32)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    for name, value in tensors.items():
        value = np.ascontiguousarray(value, np.float32)
        if quant == "q8_0" and value.ndim == 2 and name.startswith("v.blk.") and ".ffn_up" in name:
            w.add_tensor(name, value.astype(np.float16))
        elif quant == "q8_0" and value.ndim == 2:
            w.add_tensor(name, gguf.quants.quantize(value, kind), raw_dtype=kind)
        else:
            w.add_tensor(name, value)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--work", type=Path, required=True, help="where checkpoint.pt and tokenizer.json are")
    p.add_argument("--out", type=Path, required=True)
    p.add_argument("--quant", choices=["q8_0", "f32"], default="q8_0")
    a = p.parse_args()
    files = export(a.work / "checkpoint.pt", a.work / "tokenizer.json", a.out, a.quant)
    print(json.dumps({f.name: f.stat().st_size for f in files}))


if __name__ == "__main__":
    main()
