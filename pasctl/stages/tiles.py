"""How many personas are worked on at once, and what that takes of memory."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.models.footprint import parse_size, refuse_limit
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_personas import SHARD_PERSONAS

TORCH_BYTES = 285 << 20
"""An interpreter with torch's CPU build and what reads Parquet, measured; no transformers are loaded."""


@dataclass(frozen=True)
class TileMemory:
    """Memory of a stage that works on personas in tiles, in bytes.

    Attributes:
        resting: the process, the activations of all layers, and those of one layer as it is worked on.
        each: of every persona of a tile.
    """

    resting: int
    each: int

    def bytes_of(self, personas: int) -> int:
        """With so many personas in a tile."""
        return self.resting + personas * self.each

    def tile(self, personas: int, max_memory: str | int | None) -> int:
        """How many of them to work on at once: all of a shard, or as many as memory allows.

        Raises:
            InputError: the limit is no size, or too low for one persona.
        """
        most, limit = min(personas, SHARD_PERSONAS), parse_size(max_memory)
        if limit is None:
            return most
        if self.bytes_of(1) > limit:
            refuse_limit(limit, self.bytes_of(1))
        return min(most, (limit - self.resting) // self.each)


def probe_memory(activations: Artifact) -> TileMemory:
    """Of training probes, layer by layer: counted for the logistic ones, which hold several weights a head and item."""
    return _memory(activations, 1.0)


def direction_memory(activations: Artifact) -> TileMemory:
    """Of fitting directions, layer by layer."""
    return _memory(activations, 0.625)


def _memory(activations: Artifact, share: float) -> TileMemory:
    described = activations.read_json("items.json")
    geometry, itemsize = described["geometry"], 4 if activations.document["numerics"]["dtype"] == "float32" else 2
    rows, channels = len(described["rows"]) * len(described["columns"]), geometry["heads"] * geometry["head_dim"]
    held = 2 * rows * geometry["layers"] * channels * itemsize  # as they are read, and those of the fit items
    return TileMemory(TORCH_BYTES + held + 8 * rows * channels, int(share * 8 * (8 * channels + 4 * rows)))
