"""What cannot be found in a model's modules: one row for a family where something is to be said.

A family without a row is used as it is if its sites are found and the proofs at load hold. To say where its layers,
attentions or projections are, or that its projections can have biases, add a row to `ADAPTERS`; a tiny config in
tests/tiny_configs.py puts the family to the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pasctl.registry import Registry


@dataclass(frozen=True)
class Adapter:
    """What is said of a model family; None leaves a name to be found.

    Attributes:
        family: `model_type` of the family's config.
        layers: path from the CausalLM to the list of decoder layers.
        attention: name of the attention module in a layer.
        output: name of the projection in the attention module that takes the heads' outputs, [..., H*D] -> hidden.
        bias_switch: config attribute that gives `output` a bias when true; None if the family has no such switch.
            The same attribute gives q, k and v a bias, so who sets it must write those as well (zeros).
        biased_values: whether q, k and v have biases in every model of the family.
        as_llama: whether a model without a sliding window is a Llama tensor for tensor, which has biases everywhere.
        exact_values: whether what is added to all values of a head is what is added to its output: not where weights
            do not sum to 1 (sinks), or a gate stands behind.
        attn: attention implementation that "auto" means.
    """

    family: str
    layers: str | None = None
    attention: str | None = None
    output: str | None = None
    bias_switch: str | None = None
    biased_values: bool = False
    as_llama: bool = False
    exact_values: bool = True
    attn: str = "sdpa"


_SWITCHED = (
    *("qwen3", "qwen3_moe", "qwen3_vl", "llama", "arcee", "granite", "granitemoe", "olmo2", "olmo3", "olmoe"),
    *("smollm3", "gemma3", "gemma3_text", "cohere2", "apertus", "hunyuan_v1_dense", "nanochat", "nemotron", "dots1"),
)
_GATED = ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text")

ADAPTERS: Mapping[str, Adapter] = MappingProxyType(
    {
        adapter.family: adapter
        for adapter in (
            *(Adapter(family, bias_switch="attention_bias") for family in _SWITCHED),
            *(Adapter(family, bias_switch="attention_bias", exact_values=False) for family in _GATED),
            Adapter("qwen2", biased_values=True, as_llama=True),
            Adapter("mistral", as_llama=True),
            Adapter("seed_oss", bias_switch="attention_out_bias", biased_values=True),
            # a softcap, and sinks, are no part of torch's fused attention
            Adapter("gemma2", bias_switch="attention_bias", attn="eager"),
            Adapter("gpt_oss", bias_switch="attention_bias", exact_values=False, attn="eager"),
        )
    }
)


FAMILIES = Registry("model family", group="pasctl.families")
"""Rows of other packages: an entry point names an `Adapter`."""


def resolve_attention(attn: str, family: str | None) -> str:
    """The attention implementation that a word means for a model of a family."""
    return adapter_for(family or "").attn if attn == "auto" else attn


def adapter_for(family: str) -> Adapter:
    """The row for a `model_type`; an empty one if it has none."""
    if family in ADAPTERS:
        return ADAPTERS[family]
    if family in FAMILIES.names():
        adapter: Adapter = FAMILIES.get(family)
        return adapter
    return Adapter(family)
