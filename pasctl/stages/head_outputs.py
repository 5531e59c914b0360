"""How much room head outputs take on the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pasctl.stages.model import ModelHandle


def head_output_bytes(handle: ModelHandle, sequences: int, site: str) -> int:
    """Bytes of the head outputs [sequences, L, H, D], in the dtype that the model runs in; no weights are loaded."""
    geometry = handle.geometry().at(site)
    return sequences * geometry.layers * geometry.width * (4 if handle.dtype == "float32" else 2)
