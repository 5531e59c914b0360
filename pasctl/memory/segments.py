"""Keys and values of a text in token order: the last ones in memory, the others in files that are mapped."""

from __future__ import annotations

import json
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import IntegrityError
from pasctl.memory.codec import dequantize, quantize

RESIDENT_BYTES = 32 << 20
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I8": torch.int8}


@dataclass(eq=False)
class _Segment:
    start: int
    stop: int
    tensors: dict[str, Tensor]
    mapped: mmap.mmap | None = None


def segment_tensors(key: Tensor, value: Tensor, int8: bool) -> dict[str, Tensor]:
    """Keys and values [L, G, n, D] as they stand in a file."""
    if not int8:
        return {"k": key.contiguous(), "v": value.contiguous()}
    (k, k_scale), (v, v_scale) = quantize(key), quantize(value)
    return {"k": k, "k_scale": k_scale, "v": v, "v_scale": v_scale}


class Segments:
    """Runs of tokens that follow each other, each with keys and values [L, G, n, D].

    Pages of mapped files count as resident memory once they were read. After `resident_bytes` were read, all are given
    back to the system, which keeps them in its cache if it can.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype, resident_bytes: int = RESIDENT_BYTES
    ) -> None:
        self.layers, self.kv_heads, self.head_dim, self.dtype = layers, kv_heads, head_dim, dtype
        self._resident_bytes = resident_bytes
        self._touched = 0
        self._segments: list[_Segment] = []
        self._starts = torch.empty(0, dtype=torch.int64)

    @property
    def tokens(self) -> int:
        """Tokens in all segments."""
        return self._segments[-1].stop if self._segments else 0

    def append(self, start: int, key: Tensor, value: Tensor) -> None:
        """Add a run of tokens [L, G, n, D] that begins at `start`, in memory."""
        self._add(_Segment(start, start + key.shape[2], {"k": key, "v": value}))

    def attach(self, path: Path, start: int, stop: int) -> None:
        """Add the run of tokens that a file holds.

        Raises:
            IntegrityError: the file is not what it should be.
        """
        self._add(self._map(path, start, stop))

    def replace_with_file(self, number: int, path: Path) -> None:
        """Read a segment from its file from now on, and give its memory back.

        Raises:
            IntegrityError: the file is not what it should be.
        """
        held = self._segments[number]
        self._segments[number] = self._map(path, held.start, held.stop)

    def read(self, layer: int, spans: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Keys and values [G, n, D] of some runs of tokens in one layer, in the order of `spans`."""
        total = sum(stop - start for start, stop in spans)
        key, value = (torch.empty(self.kv_heads, total, self.head_dim, dtype=self.dtype) for _ in range(2))
        place = 0
        for start, stop in spans:
            while start < stop:
                segment = self._segments[int(torch.searchsorted(self._starts, start, right=True)) - 1]
                end = min(stop, segment.stop)
                rows = slice(start - segment.start, end - segment.start)
                key[:, place : place + end - start] = self._part(segment, "k", layer, rows)
                value[:, place : place + end - start] = self._part(segment, "v", layer, rows)
                place += end - start
                start = end
        self._forget_pages(2 * key.numel() * key.element_size())
        return key, value

    def read_all_layers(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Keys and values [L, G, stop - start, D]."""
        pairs = [self.read(layer, [(start, stop)]) for layer in range(self.layers)]
        return torch.stack([key for key, _ in pairs]), torch.stack([value for _, value in pairs])

    def _part(self, segment: _Segment, name: str, layer: int, rows: slice) -> Tensor:
        part = segment.tensors[name][layer, :, rows]
        scale = segment.tensors.get(f"{name}_scale")
        return part if scale is None else dequantize(part, scale[layer, :, rows], self.dtype)

    def _add(self, segment: _Segment) -> None:
        self._segments.append(segment)
        self._starts = torch.tensor([each.start for each in self._segments])

    def _forget_pages(self, count: int) -> None:
        self._touched += count
        if self._touched < self._resident_bytes or not hasattr(mmap, "MADV_DONTNEED"):
            return
        for segment in self._segments:
            if segment.mapped is not None:
                segment.mapped.madvise(mmap.MADV_DONTNEED)
        self._touched = 0

    def _map(self, path: Path, start: int, stop: int) -> _Segment:
        """Tensors of a safetensors file without reading it."""
        try:
            with path.open("rb") as stream:
                # a private map may be handed to torch, which knows no read-only tensors; nothing writes to it
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            (length,) = struct.unpack_from("<Q", mapped, 0)
            header = json.loads(mapped[8 : 8 + length])
            tensors = {
                name: self._view(mapped, header[name], 8 + length)
                for name in ("k", "v", "k_scale", "v_scale")
                if name in header
            }
            wanted = (self.layers, self.kv_heads, stop - start)
            if {"k", "v"} - set(tensors) or any(tensor.shape[:3] != wanted for tensor in tensors.values()):
                raise ValueError(f"expected keys and values of {wanted} layers, heads and tokens")
        except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
            raise IntegrityError(
                f"segment {path} cannot be read: {error}", hint="`pasctl store verify --deep` tells what is damaged"
            ) from error
        return _Segment(start, stop, tensors, mapped)

    @staticmethod
    def _view(mapped: mmap.mmap, entry: Any, origin: int) -> Tensor:
        first, last = entry["data_offsets"]
        if origin + last > len(mapped):
            raise ValueError(f"it ends at byte {len(mapped)}, expected {origin + last}")
        dtype = _DTYPES[entry["dtype"]]
        flat = torch.frombuffer(mapped, dtype=dtype, count=(last - first) // dtype.itemsize, offset=origin + first)
        return flat.view(entry["shape"])
