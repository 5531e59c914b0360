"""What a hybrid takes: its linear layers run in torch where there is no kernel for them."""

from __future__ import annotations

from functools import partial

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from pasctl.activations.extract import extract_head_outputs
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.loaded import LoadedModel
from tests.bench.timing import Timing, note, race
from tests.tiny import tiny_tokenizer

READ, WRITTEN = 1024, 32
SHAPE = {
    "vocab_size": 4096,
    "hidden_size": 512,
    "intermediate_size": 1536,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "eos_token_id": None,
}


def run() -> list[Timing]:
    """A Qwen3.5 with three linear layers for each full one, and a Qwen3 of the same widths."""
    full, hybrid = _model("qwen3"), _model("qwen3_5_text", full_attention_interval=4)
    linear = hybrid.geometry.at("linear").layers
    note(f"8 layers of hidden 512, float32; {linear} of the hybrid's are linear")
    ids = torch.randint(10, 400, (READ,), generator=torch.Generator().manual_seed(0)).tolist()
    requests = [Request(ids[:16], SamplingParams(max_new_tokens=WRITTEN))]
    made: list[Timing] = []
    for group, work in (
        (f"{READ} tokens read", lambda model: extract_head_outputs(model, [ids], batch_tokens=READ)),
        (f"{WRITTEN} tokens written", lambda model: generate(model, requests)),
    ):
        sides = [partial(work, model) for model in (full, hybrid)]
        for side in sides:
            side()
        for what, raced in zip(("full attention", "hybrid"), race(*sides, rounds=5), strict=True):
            made.append(raced.line(what, group, group=group))
    return made


def _model(family: str, **more: int) -> LoadedModel:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[family](**{**SHAPE, **more})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    return LoadedModel.wrap(model, tiny_tokenizer())
