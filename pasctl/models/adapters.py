"""The one table of module paths: where each model family keeps its attention output projections.

To add a family: add a row to `ADAPTERS` and a tiny config to tests/tiny.py; the tests run over both tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from pasctl.errors import InputError, PasctlError
from pasctl.registry import Registry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Adapter:
    """Module paths of one model family.

    Attributes:
        family: `model_type` of the family's config.
        layers: path from the CausalLM to the list of decoder layers.
        attention: name of the attention module in a layer.
        output: name of the projection in the attention module that takes the heads' outputs, [..., H*D] -> hidden.
        bias_switch: config attribute that gives `output` a bias when true; None if the family has no such switch.
            The same attribute gives q, k and v a bias, so who sets it must write those as well (zeros).
        biased_values: whether q, k and v have biases in every model of the family.
    """

    family: str
    layers: str = "model.layers"
    attention: str = "self_attn"
    output: str = "o_proj"
    bias_switch: str | None = None
    biased_values: bool = False

    def blocks(self, model: nn.Module) -> list[tuple[nn.Module, nn.Module, nn.Module]]:
        """(layer, attention, output projection) of every decoder layer, in layer order."""
        try:
            layers = cast("Iterable[nn.Module]", model.get_submodule(self.layers))
            return [self._block(layer) for layer in layers]
        except AttributeError as error:
            raise PasctlError(
                f"a {self.family} model should have {self.layers}.N.{self.attention}.{self.output}: {error}"
            ) from error

    def _block(self, layer: nn.Module) -> tuple[nn.Module, nn.Module, nn.Module]:
        attention = layer.get_submodule(self.attention)
        return layer, attention, attention.get_submodule(self.output)


ADAPTERS: Mapping[str, Adapter] = MappingProxyType(
    {
        adapter.family: adapter
        for adapter in (
            Adapter("qwen3", bias_switch="attention_bias"),
            Adapter("qwen3_moe", bias_switch="attention_bias"),
            Adapter("llama", bias_switch="attention_bias"),
            Adapter("mistral"),
            Adapter("qwen2", biased_values=True),
        )
    }
)


FAMILIES = Registry("model family", group="pasctl.families")
"""Rows of other packages: an entry point names an `Adapter`."""


def adapter_for(family: str) -> Adapter:
    """The table's row for a `model_type`.

    Raises:
        InputError: the family has no row.
    """
    if family in ADAPTERS:
        return ADAPTERS[family]
    supported = (*ADAPTERS, *FAMILIES.names())
    if family in supported:
        adapter: Adapter = FAMILIES.get(family)
        return adapter
    near = get_close_matches(family, supported, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise InputError(
        f"model family {family!r} is not supported{guess}; supported: {', '.join(supported)}",
        hint="one row adds a family: in pasctl/models/adapters.py, or by an entry point of another package",
    )
