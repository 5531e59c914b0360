"""The states of a model's layers that carry one from token to token: linear attention and convolutions."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor
from transformers import Cache, DynamicCache

from pasctl.errors import IntegrityError
from pasctl.models.kv_cache import holds_keys

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel

PREFIX = "state."
"""How the names of states begin among other tensors."""


def has_states(model: LoadedModel) -> bool:
    """Whether a model has layers with a state, so that a text's next tokens need more than keys and values."""
    return any(not holds_keys(layer) for layer in DynamicCache(config=model.model.config).layers)


class LayerStates(Cache):
    """The states of one text, which every pass of the model over its next tokens changes in place.

    It is a cache of transformers' that lets keys and values pass, since who attends for the model has those.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Those before the first token."""
        super().__init__(layers=DynamicCache(config=model.model.config).layers)

    @classmethod
    def of(cls, model: LoadedModel) -> LayerStates | None:
        """Those before the first token, if the model has any."""
        return cls(model) if has_states(model) else None

    @classmethod
    def after(cls, cache: Cache) -> LayerStates | None:
        """Copies of the states that transformers' cache holds of one row, if it holds any."""
        if all(holds_keys(layer) for layer in cache.layers):
            return None
        states = cls.__new__(cls)
        Cache.__init__(states, layers=[layer if holds_keys(layer) else copy.deepcopy(layer) for layer in cache.layers])
        return states

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The keys and values given."""
        return key_states, value_states

    def fork(self) -> LayerStates:
        """The same states for another continuation of the text."""
        return copy.deepcopy(self)

    @property
    def bytes(self) -> int:
        """What they take."""
        return sum(tensor.numel() * tensor.element_size() for _, tensor in self._named())

    def tensors(self) -> dict[str, Tensor]:
        """All states by name, as they are now."""
        return {name: tensor.cpu().contiguous() for name, tensor in self._named()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take states from `tensors`; call it after a pass over any token, which makes room for them.

        Raises:
            IntegrityError: there are others than this model has.
        """
        own = dict(self._named())
        if {name: tensor.shape for name, tensor in own.items()} != {name: each.shape for name, each in tensors.items()}:
            raise IntegrityError(
                f"there are {len(tensors)} states of layers, expected {len(own)} of the model's shapes"
            )
        for name, tensor in own.items():
            tensor.copy_(tensors[name])

    def _named(self) -> Iterator[tuple[str, Tensor]]:
        for number, layer in enumerate(self.layers):
            if holds_keys(layer):
                continue
            for attribute, value in sorted(vars(layer).items()):
                parts = value.items() if isinstance(value, dict) else [("0", value)]
                for index, part in parts:
                    if isinstance(part, Tensor):
                        yield f"{PREFIX}{number}.{attribute}.{index}", part
