"""Keys and values of a text in token order: the last ones in memory, the others in files that are mapped."""

from __future__ import annotations

import copy
import math
import mmap
import struct
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import IntegrityError
from pasctl.json_file import parse_json
from pasctl.memory.codec import dequantize, quantize

RESIDENT_BYTES = 32 << 20
_BLOCK = 2 << 20  # Linux may map as much of its cache, one huge page, when a single byte is touched
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I8": torch.int8}


@dataclass(eq=False)
class _Segment:
    start: int
    stop: int
    tensors: dict[str, Tensor]
    mapped: mmap.mmap | None = None
    touched: set[int] = field(default_factory=set)  # blocks of the address space


def segment_tensors(k: Tensor, v: Tensor, int8: bool) -> dict[str, Tensor]:
    """Keys and values [L, G, n, D] as they stand in a file."""
    if not int8:
        return {"k": k.contiguous(), "v": v.contiguous()}
    (k_int8, k_scale), (v_int8, v_scale) = quantize(k.contiguous()), quantize(v.contiguous())
    return {"k": k_int8, "k_scale": k_scale, "v": v_int8, "v_scale": v_scale}


class Segments:
    """Runs of tokens that follow each other, each with keys and values [L, G, n, D].

    Pages of mapped files count as resident memory once they were read, and so do their neighbours that the system maps
    with them: a single token may cost 2 MiB, and is counted so. When more than `resident_bytes` were touched, all are
    given back to the system, which keeps them in its cache if it can.
    """

    def __init__(
        self, layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype, resident_bytes: int = RESIDENT_BYTES
    ) -> None:
        self.layers, self.kv_heads, self.head_dim, self.dtype = layers, kv_heads, head_dim, dtype
        self._resident_bytes = resident_bytes
        self._segments: list[_Segment] = []
        self._starts: list[int] = []
        self._touched: list[_Segment] = []  # those with blocks in memory

    @property
    def tokens(self) -> int:
        """The token behind the last one; their number, if the first segment begins at 0."""
        return self._segments[-1].stop if self._segments else 0

    @property
    def spans(self) -> list[tuple[int, int]]:
        """First token of each segment, and the one behind its last."""
        return [(segment.start, segment.stop) for segment in self._segments]

    def fork(self) -> Segments:
        """Segments that go on after the same ones, and leave these as they are."""
        fork = copy.copy(self)
        fork._segments, fork._starts, fork._touched = list(self._segments), list(self._starts), list(self._touched)
        return fork

    def append(self, start: int, k: Tensor, v: Tensor) -> None:
        """Add a run of tokens [L, G, n, D] that begins at `start`, in memory.

        Raises:
            ValueError: the shape is another, or the run does not begin where the last one ends.
        """
        wanted = (self.layers, self.kv_heads, k.shape[-2], self.head_dim)
        if k.shape != wanted or v.shape != wanted:
            raise ValueError(f"keys {tuple(k.shape)} and values {tuple(v.shape)}, expected {wanted}")
        self._add(_Segment(start, start + k.shape[2], {"k": k, "v": v}))

    def attach(self, path: Path, start: int, stop: int) -> None:
        """Add the run of tokens that a file holds.

        Raises:
            IntegrityError: the file is not what it should be.
            ValueError: the run does not begin where the last one ends.
        """
        self._add(self._map(path, start, stop))

    def replace_with_file(self, index: int, path: Path) -> None:
        """Read a segment from its file from now on, and give its memory back.

        Raises:
            IntegrityError: the file is not what it should be.
        """
        held = self._segments[index]
        self._segments[index] = self._map(path, held.start, held.stop)

    def read(self, layer: int, spans: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Keys and values [G, n, D] of some runs of tokens in one layer, in the order of `spans`.

        Raises:
            IndexError: a span is not within the segments.
        """
        self._check(spans)
        keys, values = self._views(layer, spans)
        none = torch.empty(self.kv_heads, 0, self.head_dim, dtype=self.dtype)
        found = torch.cat([none, *keys], dim=1), torch.cat([none, *values], dim=1)
        self._forget_pages()
        return found

    def read_all_layers(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Keys and values [L, G, stop - start, D]; to be read only, as they may be the last segment's own.

        Raises:
            IndexError: the span is not within the segments.
        """
        self._check([(start, stop)])
        last = self._segments[-1]
        if last.mapped is None and (last.start, last.stop) == (start, stop):
            return last.tensors["k"], last.tensors["v"]
        shape = (self.layers, self.kv_heads, stop - start, self.head_dim)
        k, v = (torch.empty(shape, dtype=self.dtype) for _ in range(2))
        for layer in range(self.layers):
            keys, values = self._views(layer, [(start, stop)])
            if keys:
                torch.cat(keys, dim=1, out=k[layer])
                torch.cat(values, dim=1, out=v[layer])
            self._forget_pages()
        return k, v

    def close(self) -> None:
        """Forget all segments and unmap their files; tensors that were read stay valid, being copies."""
        # not mmap.close(): a torch tensor does not hold the buffer, and one still in use would point to nothing
        self._segments, self._starts, self._touched = [], [], []

    def _check(self, spans: Sequence[tuple[int, int]]) -> None:
        first = self._starts[0] if self._starts else 0
        for start, stop in spans:
            if not first <= start <= stop <= self.tokens:
                raise IndexError(f"tokens {start}-{stop} were asked for, the segments hold {first}-{self.tokens}")

    def _views(self, layer: int, spans: Sequence[tuple[int, int]]) -> tuple[list[Tensor], list[Tensor]]:
        """Keys and values [G, n, D] of one layer, piece by piece, in place where no int8 has to be turned back."""
        keys, values = [], []
        for start, stop in _joined(spans):
            while start < stop:
                segment = self._segments[bisect_right(self._starts, start) - 1]
                end = min(stop, segment.stop)
                rows = slice(start - segment.start, end - segment.start)
                keys.append(self._part(segment, "k", layer, rows))
                values.append(self._part(segment, "v", layer, rows))
                start = end
                if segment.mapped is not None:
                    self._touch(segment, layer, rows)
        return keys, values

    def _part(self, segment: _Segment, name: str, layer: int, rows: slice) -> Tensor:
        part = segment.tensors[name][layer, :, rows]
        scale = segment.tensors.get(f"{name}_scale")
        return part if scale is None else dequantize(part, scale[layer, :, rows], self.dtype)

    def _add(self, segment: _Segment) -> None:
        if self._segments and segment.start != self.tokens:
            raise ValueError(f"a segment begins at token {segment.start}, expected {self.tokens}")
        self._segments.append(segment)
        self._starts.append(segment.start)

    def _touch(self, segment: _Segment, layer: int, rows: slice) -> None:
        """Count the blocks in which `rows` of one layer lie."""
        if not segment.touched:
            self._touched.append(segment)
        for tensor in segment.tensors.values():
            size = tensor.element_size()
            base = tensor.data_ptr() + layer * tensor.stride(0) * size
            begin, length = rows.start * tensor.stride(2) * size, (rows.stop - rows.start) * tensor.stride(2) * size
            for head in range(self.kv_heads):
                first = base + head * tensor.stride(1) * size + begin
                segment.touched.update(range(first // _BLOCK, (first + length - 1) // _BLOCK + 1))

    def _forget_pages(self) -> None:
        """Give all pages of the mapped files back when too many blocks were touched."""
        if sum(len(each.touched) for each in self._touched) * _BLOCK <= self._resident_bytes:
            return
        for each in self._touched:
            if each.mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
                each.mapped.madvise(mmap.MADV_DONTNEED)
            each.touched.clear()
        self._touched = []

    def _map(self, path: Path, start: int, stop: int) -> _Segment:
        """Tensors of a safetensors file without reading it."""
        try:
            with path.open("rb") as stream:
                # a private map may be handed to torch, which knows no read-only tensors; nothing writes to it
                mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
                # by the stream, not the map: a page of each file would stay resident
                (length,) = struct.unpack("<Q", stream.read(8))
                if length > len(mapped) - 8:
                    raise ValueError(f"header of {length} bytes in a file of {len(mapped)}")
                header = parse_json(stream.read(length), unique=True)
            tensors: dict[str, Tensor] = {}
            for name in ("k", "v"):
                shape = (self.layers, self.kv_heads, stop - start, self.head_dim)
                tensors[name] = self._view(mapped, name, header[name], 8 + length, shape)
                if tensors[name].dtype == torch.int8:
                    scale = f"{name}_scale"
                    tensors[scale] = self._view(mapped, scale, header[scale], 8 + length, (*shape[:3], 1))
        except KeyError as error:
            raise self._damaged(path, f"it lacks {error}, or knows another dtype") from error
        except (OSError, ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
            raise self._damaged(path, error) from error
        return _Segment(start, stop, tensors, mapped)

    @staticmethod
    def _damaged(path: Path, reason: object) -> IntegrityError:
        return IntegrityError(
            f"segment {path} cannot be read: {reason}", hint="`pasctl store verify --deep` tells what is damaged"
        )

    @staticmethod
    def _view(mapped: mmap.mmap, name: str, entry: Any, origin: int, shape: tuple[int, ...]) -> Tensor:
        dtype, (first, last) = _DTYPES[entry["dtype"]], entry["data_offsets"]
        count = math.prod(shape)
        if tuple(entry["shape"]) != shape:
            raise ValueError(f"{name} has shape {entry['shape']}, expected {list(shape)}")
        if first < 0 or last - first != count * dtype.itemsize or origin + last > len(mapped):
            raise ValueError(
                f"{name} at {first}-{last} does not fit its shape or the file's {len(mapped) - origin} bytes"
            )
        return torch.frombuffer(mapped, dtype=dtype, count=count, offset=origin + first).view(shape)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in their order, with those that follow each other without a gap made one."""
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
