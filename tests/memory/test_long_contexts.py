"""Models whose attention depends on the length of the text: memory stays within what they do alike, or is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError
from pasctl.memory.attention_layers import attention_layers
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.identity import context_of
from pasctl.models.load import LoadedModel
from tests.memory.test_exactness import SMALL, full_logits, text_ids
from tests.tiny import tiny_config, tiny_model, tiny_tokenizer

LIMIT = 96
_FACTORS = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8}
_BASE = {"rope_theta": 10000.0}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "longrope": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "longrope",
                **_FACTORS,
                **_BASE,
                "original_max_position_embeddings": LIMIT,
            },
            "original_max_position_embeddings": LIMIT,
        },
    ),
    "dynamic": (
        "llama",
        {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, **_BASE}, "max_position_embeddings": LIMIT},
    ),
    "queries scaled by position": (
        "ministral3",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "llama_4_scaling_beta": 0.5,
                "original_max_position_embeddings": LIMIT,
                **_BASE,
            }
        },
    ),
}
STEADY: dict[str, tuple[str, dict[str, Any]]] = {
    "yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 4.0,
                "original_max_position_embeddings": LIMIT,
                **_BASE,
            }
        },
    ),
    "linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, **_BASE}}),
    "a norm behind": ("hunyuan_v1_dense", {}),
}
SIZES = SMALL | {"n_mem": 48}  # 92 tokens are attended


def model_of(kind: str) -> LoadedModel:
    family, changes = {**CONFIGS, **STEADY}[kind]
    plain = tiny_config(family)
    config = type(plain)(**{**plain.to_dict(), **changes})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    model.load_state_dict(tiny_model(family).state_dict())
    return LoadedModel.wrap(model, tiny_tokenizer())


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_memory_that_reaches_farther_than_the_model_does_alike_is_refused(kind: str) -> None:
    model = model_of(kind)
    assert attention_layers(model).limit == LIMIT
    with pytest.raises(InputError, match=f"longer than {LIMIT} tokens, and .* are 108"):
        EpisodicMemory(model, **SIZES | {"n_mem": 64})
    memory = EpisodicMemory(model, **SIZES)
    memory.read_ids(text_ids(300))
    assert memory.reader.tokens_attended
    true = EpisodicMemory(model, **SIZES | {"positions": "true"})
    true.read_ids(text_ids(80))
    with pytest.raises(InputError, match="the text has 100"):
        true.read_ids(text_ids(20))


@pytest.mark.parametrize("kind", [*CONFIGS, *STEADY])
@pytest.mark.parametrize("positions", ["true", "compact"])
def test_up_to_there_memory_is_full_attention(kind: str, positions: str) -> None:
    model = model_of(kind)
    memory = EpisodicMemory(model, **SIZES | {"positions": positions})
    text, question = text_ids(70), text_ids(9, seed=1)
    memory.read_ids(text)
    assert memory.reader.past.events.evicted > 2
    expected = full_logits(memory, text + question)
    assert torch.allclose(memory.logits([question])[0], expected[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", CONFIGS)
def test_beyond_the_model_itself_does_otherwise(kind: str) -> None:
    """What the refusals are for: tokens far behind change the first ones' keys, or later ones' queries."""
    model, text = model_of(kind), text_ids(3 * LIMIT)
    object.__setattr__(attention_layers(model), "limit", None)
    memory = EpisodicMemory(model, **SMALL | {"n_local": 4 * LIMIT, "n_mem": 0})
    memory.read_ids(text)
    logits = full_logits(memory, text)
    surprise = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(text[1:]), reduction="none")
    assert (memory.reader.surprise[1:] - surprise).abs().max() > 0.01


@pytest.mark.parametrize("kind", STEADY)
def test_what_is_alike_at_any_length_has_no_limit(kind: str) -> None:
    assert attention_layers(model_of(kind)).limit is None


@pytest.mark.parametrize("kind", [*CONFIGS, *STEADY])
def test_measuring_leaves_the_model_as_it_was(kind: str) -> None:
    model, ids = model_of(kind), torch.tensor([text_ids(60)])
    with torch.inference_mode():
        before = model.model(ids).logits
        attention_layers(model)
        assert torch.equal(model.model(ids).logits, before)


@pytest.mark.parametrize("kind", [*CONFIGS, *STEADY])
def test_sizes_are_chosen_for_the_context_in_which_the_model_does_alike(kind: str) -> None:
    model = model_of(kind)
    config = json.loads(json.dumps(model.model.config.to_dict(), default=str))
    expected = LIMIT if kind in CONFIGS else model.model.config.max_position_embeddings
    assert context_of(config, steady=True) == expected
    assert context_of(config) == model.model.config.max_position_embeddings
    assert context_of({"text_config": config}, steady=True) == expected
