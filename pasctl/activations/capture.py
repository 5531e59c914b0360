"""Read what is at the sites of a kind, such as the head outputs at o_proj's input, at some tokens of a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pasctl.errors import PasctlError
from pasctl.models.load import LoadedModel
from pasctl.models.parallel import gathered
from pasctl.models.sites import HEADS, RESIDUAL

LAST = torch.tensor([-1])


class HeadOutputs:
    """The head outputs of the latest forward pass under `capture`.

    Attributes:
        positions: of each row of the batch, those that are kept, int [S]; by default the last one.
    """

    def __init__(self, layers: int, heads: int, head_dim: int, *, mean: bool = False) -> None:
        self._layers, self._mean = layers, mean
        self._shape = (heads, head_dim)
        self.positions = LAST
        self._seen: dict[int, Tensor] = {}

    def keep(self, place: int, module: nn.Module, at_site: Tensor) -> None:
        """Store what is at a module's site [B, T, H*D], at the positions that are kept, or its mean over all."""
        if self._mean:
            kept = at_site.mean(dim=1, dtype=torch.float32).to(at_site.dtype)
        else:
            kept = at_site[:, self.positions.to(at_site.device)]
        self._seen[place] = gathered(module, kept).reshape(-1, *self._shape)

    def take(self) -> Tensor:
        """Give [B * S, L, H, D] on the CPU, in the model's dtype, by one device-to-host copy, and forget it.

        Raises:
            PasctlError: some layer was not run since the last call.
        """
        if len(self._seen) != self._layers:
            raise PasctlError(f"captured {len(self._seen)} layers of {self._layers} in this forward pass")
        # with a device map the layers may sit on several devices: gather on the last one
        device = self._seen[self._layers - 1].device
        stacked = torch.stack([self._seen[layer].to(device) for layer in range(self._layers)], dim=1)
        self._seen.clear()
        return stacked.cpu()


@contextmanager
def capture(model: LoadedModel, *, kind: str = HEADS, mean: bool = False) -> Iterator[HeadOutputs]:
    """Record head outputs at some positions of every forward pass in the block; hooks go when it ends.

    Args:
        model: the loaded model.
        kind: of the sites that are read.
        mean: record the mean over all positions of a pass instead.
    """
    geometry = model.geometry.at(kind)
    record = HeadOutputs(geometry.layers, geometry.heads, geometry.head_dim, mean=mean)
    handles: list[RemovableHandle] = []
    try:
        for place, module in enumerate(model.outputs(kind)):
            if kind == RESIDUAL:
                handles.append(module.register_forward_hook(_keeper_of_output(record, place)))
            else:
                handles.append(module.register_forward_pre_hook(_keeper(record, place)))
        yield record
    finally:
        for handle in handles:
            handle.remove()


def _keeper(record: HeadOutputs, place: int) -> Any:
    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        record.keep(place, module, args[0])

    return hook


def _keeper_of_output(record: HeadOutputs, place: int) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], given: Any) -> None:
        record.keep(place, module, given if isinstance(given, Tensor) else given[0])

    return hook
