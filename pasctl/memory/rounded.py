"""Vectors in eight bits: what they have beside a common part, each few components with a scale of their own."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError

_GROUP = 16
"""Components that share a scale, at most. With 64, a whole head's, 1.3% of SmolLM2's events were others than with
bfloat16; with 16 it is 0.8%, about as many as bfloat16 changes itself."""
_ROOM = 1 + 2.0**-7  # of a scale, so that rounding it to bfloat16 leaves the largest component within 127 steps


@dataclass(frozen=True, eq=False)
class Rounded:
    """What vectors [n, G, D] have beside a common part, to within half a step: 0.4% of the largest of 16 components.

    Unlike keys and values (see `pasctl.memory.codec`) they are rounded once, so scales need not be powers of two.

    Attributes:
        steps: int8 [n, G, D].
        scale: of a step, bfloat16 [n, G, D / 16], or of fewer components where D is no multiple of 16.
    """

    steps: Tensor
    scale: Tensor

    @classmethod
    def of(cls, vectors: Tensor, common: Tensor) -> Rounded:
        """Round vectors [n, G, D] less what they have in common, about, float32 [G, D]."""
        own = _grouped(vectors.float() - common, _groups(vectors.shape[-1]))
        scale = (own.abs().amax(-1) * (_ROOM / 127)).clamp_min(1e-30).bfloat16()
        return cls((own / scale[..., None]).round().to(torch.int8).flatten(-2), scale)

    @classmethod
    def room(cls, *shape: int, device: torch.device) -> Rounded:
        """Zeros of a shape, to be written over."""
        scale = torch.zeros(*shape[:-1], _groups(shape[-1]), dtype=torch.bfloat16, device=device)
        return cls(torch.zeros(shape, dtype=torch.int8, device=device), scale)

    @classmethod
    def joined(cls, parts: Sequence[Rounded]) -> Rounded:
        """Several as one."""
        return cls(torch.cat([part.steps for part in parts]), torch.cat([part.scale for part in parts]))

    @classmethod
    def stacked(cls, layers: Sequence[Rounded]) -> Rounded:
        """Those of some layers as steps [n, L, G, D]."""
        return cls(*(torch.stack([getattr(layer, name) for layer in layers], dim=1) for name in ("steps", "scale")))

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, place: Any) -> Rounded:
        """Some of them, as a tensor gives its rows: a view, where that is one."""
        return Rounded(self.steps[place], self.scale[place])

    def values(self) -> Tensor:
        """As numbers, float32 [n, G, D]."""
        own = _grouped(self.steps, self.scale.shape[-1]) * self.scale[..., None].float()
        return own.flatten(-2)

    def put(self, first: int, others: Rounded) -> None:
        """Write over those from number `first` on."""
        self.steps[first : first + len(others)] = others.steps
        self.scale[first : first + len(others)] = others.scale

    def on(self, device: torch.device) -> Rounded:
        """The same on a device."""
        return Rounded(self.steps.to(device), self.scale.to(device))

    def clone(self) -> Rounded:
        """A copy."""
        return Rounded(self.steps.clone(), self.scale.clone())

    def on_disk(self) -> Rounded:
        """The same in files that go with it: the system keeps in memory what is used, as long as there is room.

        Raises:
            InputError: the folder for temporary files takes none, or is full.
        """
        return Rounded(_mapped(self.steps), _mapped(self.scale))


def _groups(width: int) -> int:
    """Groups of components that a head is cut into, all of one size."""
    return next(width // size for size in range(_GROUP, 0, -1) if width % size == 0)


def _grouped(x: Tensor, groups: int) -> Tensor:
    """Components [..., D] as [..., groups, D / groups]."""
    return x.reshape(*x.shape[:-1], groups, x.shape[-1] // groups)


def _mapped(tensor: Tensor) -> Tensor:
    """The same numbers in a file that has no name any more; a map keeps it, and no descriptor."""
    try:
        with tempfile.NamedTemporaryFile(prefix="pasctl-representatives-") as file:
            tensor.contiguous().view(torch.uint8).numpy().tofile(file)
            file.flush()
            mapped = torch.from_file(file.name, shared=True, size=tensor.numel(), dtype=tensor.dtype)
    except OSError as error:
        raise InputError(
            f"representatives cannot be kept in the folder for temporary files: {error}",
            hint="name another folder with TMPDIR, or leave --representatives disk out",
        ) from error
    return mapped.view(tensor.shape)
