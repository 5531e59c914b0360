"""What a format of steering vectors has to offer, and what vectors are before they are written and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pasctl.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.export.origin import Origin

At = Literal["block", "attention"]
"""What a vector is added to: the output of a layer, or that of its attention."""
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt")
MOST_LAYERS = 4096
MOST_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector per layer, added at every position.

    Attributes:
        at: what they are added to.
        layers: number of the decoder layer -> float32 [hidden], strength included.
    """

    at: At
    layers: Mapping[int, Tensor]


@dataclass(frozen=True)
class About:
    """What a file says beside its vectors.

    Attributes:
        origin: who they steer to.
        description: one sentence.
        family: transformers' model_type of the base.
        model_layers: how many layers it has.
    """

    origin: Origin
    description: str
    family: str
    model_layers: int


class VectorFormat:
    """A format; an instance has no state.

    Attributes:
        suffix: of its files.
        at: what its vectors are added to, where the steering delta is one of heads.
        first: the first layer that can have a vector.
        reads: who reads the file, for people.
    """

    suffix: str
    at: At = "block"
    first: int = 0
    reads: str

    def require(self, family: str) -> None:
        """Refuse a model that the format has no name for; asked before weights are loaded.

        Raises:
            InputError: names those that it has.
        """

    def write(self, path: Path, vectors: Vectors, about: About) -> None:
        """Write a file.

        Raises:
            MissingError: a package is not installed.
            OSError: the disk is full or read-only.
        """
        raise NotImplementedError

    def read(self, path: Path) -> Vectors:
        """Read a file, of this format whoever wrote it.

        Raises:
            InputError: it is none, it is damaged, or its vectors are no constant shift.
            MissingError: it cannot be read, or a package is not installed.
        """
        raise NotImplementedError


def require_layers(path: Path, layers: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """The vectors of a file in order of layers, float32.

    Raises:
        InputError: none, too many, of several widths, or with numbers that are not finite.
    """
    import torch

    if not 0 < len(layers) <= MOST_LAYERS:
        raise InputError(f"{path} has vectors of {len(layers)} layers, expected 1 to {MOST_LAYERS}")
    made: dict[int, Tensor] = {}
    for layer, vector in sorted(layers.items()):
        if layer < 0 or vector.ndim != 1 or not vector.numel() or not vector.is_floating_point():
            raise InputError(
                f"{path}: the vector of layer {layer} is {vector.dtype} {list(vector.shape)}, expected floats [hidden]"
            )
        made[layer] = vector.detach().to(torch.float32)
        if not made[layer].isfinite().all():
            raise InputError(f"{path}: the vector of layer {layer} has numbers that are not finite")
    if len(widths := {vector.numel() for vector in made.values()}) > 1:
        raise InputError(f"{path} has vectors of {len(widths)} widths, expected one")
    return made
