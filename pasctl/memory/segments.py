"""Keys and values of a text in token order: the last ones in memory, the others in files, read when they are wanted."""

from __future__ import annotations

import copy
import math
import os
import struct
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from pasctl.errors import IntegrityError
from pasctl.json_file import parse_json
from pasctl.memory.codec import dequantize

OPEN_FILES = 32
"""Files of segments that are open at the same time, whatever the length of the text."""
_DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "I8": torch.int8}


@dataclass(frozen=True)
class _Stored:
    """Where a tensor [L, G, rows, width] lies in a file: `offset` is that of its first byte."""

    dtype: torch.dtype
    offset: int
    rows: int
    width: int


@dataclass(frozen=True, eq=False)
class _Segment:
    """A run of tokens, in memory or in a file."""

    start: int
    stop: int
    tensors: Mapping[str, Tensor] | None = None
    path: Path | None = None
    stored: Mapping[str, _Stored] | None = None


class SegmentFiles:
    """Files that are read at places: a few stay open, those that were used last.

    They are not mapped: a map keeps a descriptor as well, and counts as resident memory by 2 MiB a token.

    Attributes:
        bytes_read: of all files.
    """

    def __init__(self) -> None:
        self.bytes_read = 0
        self._open: OrderedDict[Path, BinaryIO] = OrderedDict()

    def read(self, path: Path, offset: int, into: Any) -> None:
        """Fill a buffer from a place of a file.

        Raises:
            IntegrityError: the file cannot be read, or is shorter.
        """
        size = memoryview(into).nbytes
        try:
            count = _read_at(self._file(path), offset, into)
        except OSError as error:
            raise _damaged(path, error) from error
        if count != size:
            raise _damaged(path, f"it ends {size - count} bytes too early")
        self.bytes_read += size

    def close(self) -> None:
        """Close all; what is read later opens its file again."""
        for stream in self._open.values():
            stream.close()
        self._open.clear()

    def _file(self, path: Path) -> BinaryIO:
        stream = self._open.pop(path, None) or path.open("rb", buffering=0)
        self._open[path] = stream
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return stream


def _read_at(stream: BinaryIO, offset: int, into: Any) -> int:
    """Read at a place, without moving where other threads read, where the system can."""
    if hasattr(os, "preadv"):
        return os.preadv(stream.fileno(), [into], offset)
    stream.seek(offset)
    return int(stream.readinto(into))  # type: ignore[attr-defined]


class Segments:
    """Runs of tokens that follow each other, each with keys and values [L, G, n, D].

    Attributes:
        files: reads those that are in files.
    """

    def __init__(self, layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype) -> None:
        self.layers, self.kv_heads, self.head_dim, self.dtype = layers, kv_heads, head_dim, dtype
        self.files = SegmentFiles()
        self._segments: list[_Segment] = []
        self._starts: list[int] = []

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
        fork._segments, fork._starts = list(self._segments), list(self._starts)
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
        """Add the run of tokens that a file holds; of the file only the header is read.

        Raises:
            IntegrityError: the file is not what it should be.
            ValueError: the run does not begin where the last one ends.
        """
        self._add(self._of_file(path, start, stop))

    def replace_with_file(self, index: int, path: Path) -> None:
        """Read a segment from its file from now on, and give its memory back.

        Raises:
            IntegrityError: the file is not what it should be.
        """
        held = self._segments[index]
        self._segments[index] = self._of_file(path, held.start, held.stop)

    def read(self, layer: int, spans: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """Keys and values [G, n, D] of some runs of tokens in one layer, in the order of `spans`.

        Raises:
            IndexError: a span is not within the segments.
            IntegrityError: a file cannot be read any more.
        """
        self._check(spans)
        shape = (self.kv_heads, sum(stop - start for start, stop in spans), self.head_dim)
        k, v = (torch.empty(shape, dtype=self.dtype) for _ in range(2))
        self._fill(layer, spans, k, v)
        return k, v

    def read_all_layers(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Keys and values [L, G, stop - start, D]; to be read only, as they may be the last segment's own.

        Raises:
            IndexError: the span is not within the segments.
            IntegrityError: a file cannot be read any more.
        """
        self._check([(start, stop)])
        last = self._segments[-1]
        if last.tensors is not None and (last.start, last.stop) == (start, stop):
            return last.tensors["k"], last.tensors["v"]
        shape = (self.layers, self.kv_heads, stop - start, self.head_dim)
        k, v = (torch.empty(shape, dtype=self.dtype) for _ in range(2))
        for layer in range(self.layers):
            self._fill(layer, [(start, stop)], k[layer], v[layer])
        return k, v

    def close(self) -> None:
        """Forget all segments and close their files; tensors that were read stay valid."""
        self._segments, self._starts = [], []
        self.files.close()

    def _check(self, spans: Sequence[tuple[int, int]]) -> None:
        first = self._starts[0] if self._starts else 0
        for start, stop in spans:
            if not first <= start <= stop <= self.tokens:
                raise IndexError(f"tokens {start}-{stop} were asked for, the segments hold {first}-{self.tokens}")

    def _fill(self, layer: int, spans: Sequence[tuple[int, int]], k: Tensor, v: Tensor) -> None:
        """Write keys and values of one layer to [G, n, D], run by run."""
        place = 0
        for start, stop in _joined(spans):
            while start < stop:
                segment = self._segments[bisect_right(self._starts, start) - 1]
                end = min(stop, segment.stop)
                rows, count = slice(start - segment.start, end - segment.start), end - start
                for name, out in (("k", k), ("v", v)):
                    self._read_part(segment, name, layer, rows, out[:, place : place + count])
                start, place = end, place + count

    def _read_part(self, segment: _Segment, name: str, layer: int, rows: slice, out: Tensor) -> None:
        """Write [G, rows, D] of a segment to `out`."""
        if segment.tensors is not None:
            out.copy_(segment.tensors[name][layer, :, rows])
        elif segment.stored is not None and f"{name}_scale" in segment.stored:
            rounded, scale = (self._from_file(segment, each, layer, rows) for each in (name, f"{name}_scale"))
            shifted = name == "k" and "offsets" in segment.stored
            offset = self._from_file(segment, "offsets", layer, slice(0, 1)) if shifted else None
            out.copy_(dequantize(rounded, scale, self.dtype, offset))
        else:
            self._from_file(segment, name, layer, rows, out)

    def _from_file(self, segment: _Segment, name: str, layer: int, rows: slice, out: Tensor | None = None) -> Tensor:
        """Rows [G, n, width] of a stored tensor, in `out` if it is given."""
        if segment.stored is None or segment.path is None:
            raise RuntimeError("a segment has neither tensors nor a file")
        stored = segment.stored[name]
        if out is None:
            out = torch.empty(self.kv_heads, rows.stop - rows.start, stored.width, dtype=stored.dtype)
        buffer = out.view(torch.uint8).numpy()
        line = stored.width * stored.dtype.itemsize
        for head in range(self.kv_heads):
            row = (layer * self.kv_heads + head) * stored.rows + rows.start
            self.files.read(segment.path, stored.offset + row * line, buffer[head])
        return out

    def _add(self, segment: _Segment) -> None:
        if self._segments and segment.start != self.tokens:
            raise ValueError(f"a segment begins at token {segment.start}, expected {self.tokens}")
        self._segments.append(segment)
        self._starts.append(segment.start)

    def _of_file(self, path: Path, start: int, stop: int) -> _Segment:
        """A segment whose tensors stay in a safetensors file."""
        try:
            size = path.stat().st_size
            with path.open("rb") as stream:
                (length,) = struct.unpack("<Q", stream.read(8))
                if length > size - 8:
                    raise ValueError(f"header of {length} bytes in a file of {size}")
                header = parse_json(stream.read(length), unique=True)
            shape = (self.layers, self.kv_heads, stop - start, self.head_dim)
            stored: dict[str, _Stored] = {}
            for name in ("k", "v"):
                stored[name] = _stored(name, header[name], 8 + length, shape, size)
                if stored[name].dtype == torch.int8:
                    scale = f"{name}_scale"
                    stored[scale] = _stored(scale, header[scale], 8 + length, (*shape[:3], 1), size)
            if "offsets" in header:  # of keys with biases, and not of versions before
                one = (*shape[:2], 1, self.head_dim)
                stored["offsets"] = _stored("offsets", header["offsets"], 8 + length, one, size)
        except KeyError as error:
            raise _damaged(path, f"it lacks {error}, or knows another dtype") from error
        except (OSError, ValueError, TypeError, OverflowError, RecursionError, struct.error) as error:
            raise _damaged(path, error) from error
        return _Segment(start, stop, path=path, stored=stored)


def _stored(name: str, entry: Any, origin: int, shape: tuple[int, ...], size: int) -> _Stored:
    """Where a tensor of a header lies in a file of some size."""
    dtype, (first, last) = _DTYPES[entry["dtype"]], entry["data_offsets"]
    if tuple(entry["shape"]) != shape:
        raise ValueError(f"{name} has shape {entry['shape']}, expected {list(shape)}")
    if first < 0 or last - first != math.prod(shape) * dtype.itemsize or origin + last > size:
        raise ValueError(f"{name} at {first}-{last} does not fit its shape or the file's {size - origin} bytes")
    return _Stored(dtype, origin + first, *shape[-2:])


def _damaged(path: Path, reason: object) -> IntegrityError:
    return IntegrityError(
        f"segment {path} cannot be read: {reason}", hint="`pasctl store verify --deep` tells what is damaged"
    )


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in their order, with those that follow each other without a gap made one."""
    found: list[tuple[int, int]] = []
    for start, stop in spans:
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], stop)
        else:
            found.append((start, stop))
    return found
