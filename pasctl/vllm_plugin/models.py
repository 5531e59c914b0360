"""vLLM's own Qwen3 and Qwen3-MoE, each with a bias in every o_proj. Imported by vLLM alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.linear import RowParallelLinear
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM
from vllm.model_executor.models.qwen3_moe import Qwen3MoeForCausalLM


class PasctlQwen3ForCausalLM(Qwen3ForCausalLM):
    """vLLM's Qwen3 with biases in o_proj."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        bias_outputs(self)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load a checkpoint's tensors, all biases of o_proj among them."""
        loaded: set[str] = super().load_weights(weights)
        require_biases(self)
        return loaded


class PasctlQwen3MoeForCausalLM(Qwen3MoeForCausalLM):
    """vLLM's Qwen3-MoE with biases in o_proj."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)
        bias_outputs(self)

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load a checkpoint's tensors, all biases of o_proj among them."""
        loaded: set[str] = super().load_weights(weights)
        require_biases(self)
        return loaded


def bias_outputs(model: nn.Module) -> None:
    """Put an o_proj with a bias in the place of each that has none.

    vLLM's linear layer loads the bias whole on every rank and adds it on the first alone, so the sum over ranks has it
    once. A bias is NaN until it is loaded: what lacks one gives no text, and never the base model's.

    Args:
        model: before its weights are loaded.
    """
    for _, attention in list(_attentions(model)):
        plain = attention.o_proj
        if plain.bias is None:
            biased = RowParallelLinear(
                plain.input_size, plain.output_size, bias=True, quant_config=plain.quant_config, prefix=plain.prefix
            )
            biased.bias.data.fill_(math.nan)
            attention.o_proj = biased


def require_biases(model: nn.Module) -> None:
    """Refuse a checkpoint that lacks one of the biases: vLLM 0.32 does not ask whether a linear layer was loaded.

    Raises:
        ValueError: names the first that is missing.
    """
    for name, attention in _attentions(model):
        bias = attention.o_proj.bias
        if not bias.is_meta and bias.isnan().any():  # on the meta device nothing has a value yet
            raise ValueError(f"the checkpoint has no {name}.o_proj.bias, so it is no export of pasctl")


def _attentions(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and attentions of the layers that this process has; those of other pipeline stages have no o_proj."""
    return ((name, module) for name, module in model.named_modules() if hasattr(module, "o_proj"))
