"""Holds the exported model, through the runtime's engine and llama.cpp, to transformers' Qwen2.5-VL on 50 inputs.

For each input the engine writes a few tokens greedily and tells the log-probability of every token of the vocabulary at
each; transformers is given the same tokens. A wrong position, window, padding or weight shows as a difference far above
rounding. Log-probabilities are the logits but for one constant a position.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

import data
import export
import questions
from batches import MEAN, STD
from chats import Chat, request
from encoding import Encoder
from network import Network
from runtime.ai.media import decode, fit_of, open_data
from runtime.ai.request import parse
from runtime.ai.template import lay_out
from runtime.config import EngineSettings
from runtime.engine.engine import Engine
from runtime.engine.request import Event, Failed, Finished, Image, Markup, Part, Piece, SamplingParams, Text, TokenLogprob
from tokens import markup_ids

STEPS = 6
"""Tokens that the engine writes on each input."""


def reference(net: Network) -> Qwen2_5_VLForConditionalGeneration:
    """transformers' model with the network's weights."""
    s, ids = net.s, markup_ids(net.s.vocabulary)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": s.vocabulary, "hidden_size": s.hidden, "intermediate_size": s.ffn, "num_hidden_layers": s.layers,
            "num_attention_heads": s.heads, "num_key_value_heads": s.kv_heads, "rms_norm_eps": 1e-8,
            "rope_parameters": {"rope_type": "default", "rope_theta": s.rope_base, "mrope_section": list(s.rope_sections)},
        },
        vision_config={
            "depth": s.vision_layers, "hidden_size": s.vision_hidden, "intermediate_size": s.vision_ffn,
            "num_heads": s.vision_heads, "out_hidden_size": s.hidden,
            "fullatt_block_indexes": [i for i in range(s.vision_layers) if (i + 1) % s.vision_pattern == 0],
        },
        image_token_id=ids["<|image_pad|>"], video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"], vision_end_token_id=ids["<|vision_end|>"], tie_word_embeddings=True,
    )  # fmt: skip
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    missing, unexpected = model.load_state_dict(_state(net), strict=False)
    assert not unexpected, unexpected
    assert set(missing) <= {"lm_head.weight"}, missing
    model.tie_weights()
    return model


def _state(net: Network) -> dict[str, torch.Tensor]:
    """From the exported tensors' names: what is written to the files is what is compared."""
    text, vision = export.text_tensors(net), export.vision_tensors(net)
    made: dict[str, Any] = {"model.language_model.embed_tokens.weight": text["token_embd.weight"], "model.language_model.norm.weight": text["output_norm.weight"]}
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
             "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}  # fmt: skip
    for key, value in text.items():
        if key.startswith("blk."):
            _, layer, name, kind = key.split(".")
            made[f"model.language_model.layers.{layer}.{names[name]}.{kind}"] = value
    names = {"ln1": "norm1", "ln2": "norm2", "attn_out": "attn.proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    for i in range(net.s.vision_layers):
        at, to = f"v.blk.{i}.", f"model.visual.blocks.{i}."
        for kind in ("weight", "bias"):
            made[f"{to}attn.qkv.{kind}"] = np.concatenate([vision[f"{at}attn_{n}.{kind}"] for n in "qkv"])
            made |= {f"{to}{theirs}.{kind}": vision[f"{at}{ours}.{kind}"] for ours, theirs in names.items() if f"{at}{ours}.{kind}" in vision}
    made["model.visual.patch_embed.proj.weight"] = np.stack([vision["v.patch_embd.weight"], vision["v.patch_embd.weight.1"]], 2)
    made["model.visual.merger.ln_q.weight"] = vision["v.post_ln.weight"]
    for ours, theirs in (("mm.0", "mlp.0"), ("mm.2", "mlp.2")):
        made |= {f"model.visual.merger.{theirs}.{kind}": vision[f"{ours}.{kind}"] for kind in ("weight", "bias")}
    return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in made.items()}


def inputs(count: int = 50) -> list[Chat]:
    """Texts, tools, and pictures of many sizes, one or two of them, up to 448 pixels."""
    made = []
    for i in range(count):
        rng = random.Random(f"parity {i}")
        if i % 5 == 0:
            made.append((data.saying_chat if i % 2 else data.calling_chat)(rng))
            continue
        cells = ((16, 16), (16, 6), (5, 14), (3, 3), (2, 4), (9, 4))[i % 6] if i % 2 else data.cells_for(rng)
        chat = data._chat(rng, False)
        scenes = [data.scene(rng, cells, False) for _ in range(1 + (i % 7 == 0))]
        chat.ask(*scenes, questions.DESCRIBE[chat.language][0])
        chat.answer("", "describe")
        made.append(chat)
    return made


class Written:
    """What one generation said, with all log-probabilities."""

    def __init__(self) -> None:
        self.steps: list[TokenLogprob] = []
        self.done = threading.Event()
        self.error: Exception | None = None

    def sink(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Piece):
                self.steps += event.logprobs
            elif isinstance(event, Failed):
                self.error = event.error
            if isinstance(event, Failed | Finished):
                self.done.set()


def laid_out(chat: Chat) -> list[Part]:
    """Its prompt through the runtime's own path: request, pictures prepared, layout."""
    asked = parse(request(chat, len(chat.turns) - 1))
    return lay_out(asked, [decode(open_data(s), fit_of(s, 1024), s.path) for s in asked.images])


def ask(engine: Engine, prompt: list[Part]) -> list[TokenLogprob]:
    written = Written()
    pieces = engine.vocabulary().pieces
    # tokens are told apart by their bytes: what shares its bytes with another is not written
    unclear = tuple((i, -1e9) for i, p in enumerate(pieces) if not p or pieces.count(p) > 1)
    params = SamplingParams(temperature=0, max_tokens=STEPS, ignore_eos=True, logprobs=len(pieces), logit_bias=unclear)
    engine.submit(engine.prepare(prompt), params, written.sink)
    assert written.done.wait(120)
    if written.error is not None:
        raise written.error
    return written.steps


def reference_input(prompt: list[Part], encoder: Encoder, processor: Any) -> tuple[list[int], dict[str, torch.Tensor]]:
    """Ids, and the pictures as transformers' own processor makes them; it must find nothing to resize."""
    ids, known, pictures = [], encoder.markup, []
    for part in prompt:
        if isinstance(part, Text):
            ids += [token for token, _ in encoder.text(part.text)]
        elif isinstance(part, Markup):
            ids.append(known[part.name])
        else:
            assert isinstance(part, Image)
            count = part.width * part.height // 784
            ids += [known["<|vision_start|>"], *[known["<|image_pad|>"]] * count, known["<|vision_end|>"]]
            pictures.append(np.frombuffer(part.rgb, np.uint8).reshape(part.height, part.width, 3))
    if not pictures:
        return ids, {}
    made = [processor(images=[p], return_tensors="pt") for p in pictures]
    grids = torch.cat([m["image_grid_thw"] for m in made])
    assert grids[:, 1:].tolist() == [[p.shape[0] // 14, p.shape[1] // 14] for p in pictures]
    return ids, {"pixel_values": torch.cat([m["pixel_values"] for m in made]), "image_grid_thw": grids}


@torch.no_grad()  # type: ignore[untyped-decorator]
def difference(model: Any, steps: list[TokenLogprob], ids: list[int], more: dict[str, torch.Tensor], by_piece: dict[bytes, int]) -> float:
    """The largest difference of a log-probability; tokens are told apart by their bytes."""
    written = [by_piece[s.token] for s in steps]
    whole = torch.tensor([ids + written[:-1]])
    kinds = (whole == model.config.image_token_id).int()
    said = model(input_ids=whole, mm_token_type_ids=kinds, **more).logits[0, len(ids) - 1 :].log_softmax(-1).numpy()
    worst = 0.0
    for row, step in zip(said, steps, strict=True):
        for piece, value in step.top:
            if piece in by_piece:
                worst = max(worst, abs(float(row[by_piece[piece]]) - value))
    return worst


def compare(work: Path, quant: str, count: int) -> list[float]:
    """The largest difference on each input."""
    encoder = Encoder(work / "tokenizer.json")
    model = reference(export.load(work / "checkpoint.pt")[0])
    processor = Qwen2VLImageProcessorPil(min_pixels=1, max_pixels=10**9, image_mean=MEAN.tolist(), image_std=STD.tolist())
    with tempfile.TemporaryDirectory() as folder:
        text, projector = export.export(work / "checkpoint.pt", work / "tokenizer.json", Path(folder), quant)
        # the cache is the engine's own, in half precision
        settings = EngineSettings(context=4096, max_sequences=2, threads=1, kv_type="f16" if quant == "f32" else "auto")
        engine = Engine(text, projector, settings, name="parity")
        try:
            pieces = engine.vocabulary().pieces
            by_piece = {p: i for i, p in enumerate(pieces) if p and pieces.count(p) == 1}
            worst = []
            for chat in inputs(count):
                prompt = laid_out(chat)
                ids, more = reference_input(prompt, encoder, processor)
                worst.append(difference(model, ask(engine, prompt), ids, more, by_piece))
            return worst
        finally:
            engine.close()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", type=Path, required=True)
    p.add_argument("--count", type=int, default=50)
    p.add_argument("--json", type=Path)
    a = p.parse_args()
    torch.set_num_threads(1)
    made = {}
    for quant in ("f32", "q8_0"):
        worst = compare(a.work, quant, a.count)
        made[quant] = {"largest": max(worst), "median": float(np.median(worst)), "inputs": len(worst)}
        print(f"{quant}: largest difference {max(worst):.4f}, median of the inputs' {np.median(worst):.4f}, {len(worst)} inputs")
    if a.json:
        a.json.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
