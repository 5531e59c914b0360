"""Lineage: what an artifact was made from, back to the beginning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pasctl.store.artifact import Artifact


@dataclass(frozen=True)
class Lineage:
    """One artifact and what it was made from.

    `artifact` is None where the store no longer has it; the name it had stays known.
    """

    role: str
    key: str
    name: str
    artifact: Artifact | None
    inputs: tuple[Lineage, ...] = ()


def trace(artifact: Artifact, lookup: Callable[[str], Artifact | None], role: str = "") -> Lineage:
    """The tree below an artifact.

    It ends: a key is made from the digests of the inputs, so no artifact is among its own ancestors.
    """
    inputs = []
    for name, source in sorted(artifact.inputs.items()):
        held = lookup(source.key)
        inputs.append(trace(held, lookup, name) if held else Lineage(name, source.key, source.name, None))
    return Lineage(role, artifact.key, artifact.name, artifact, tuple(inputs))
