"""Payload formats: numpy arrays as safetensors, plain values as JSON, tables as Parquet.

The same content gives the same bytes, whatever produced it. None of the formats can run code when it is read.

The safetensors format is written here and not by its library: the library's raw interface, the one that takes bfloat16
without PyTorch, is not the same in versions 0.5 and 0.8, and its errors carry no errno that would tell a full disk. The
format is eight bytes of header length, a JSON header, then the arrays; a test compares both ways with the library.
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np

from pasctl.json_file import parse_json, read_json

if TYPE_CHECKING:
    import pyarrow as pa

_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {text: name for name, text in _DTYPES.items() if name != "BF16"}
_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors library
_MOST_JSON = 1 << 31  # bytes; a file of ours, whose digest has been checked
_MOST_SIDES = 32  # of an array; the limit of numpy 1
_CHUNK = 1 << 24


@dataclass(frozen=True, eq=False)
class Bf16:
    """A bfloat16 array, which numpy does not know, as its bit patterns.

    `bits` is uint16 of the array's shape. In PyTorch: `Bf16(t.view(torch.uint16).numpy())`, and back with
    `torch.from_numpy(b.bits).view(torch.bfloat16)`.
    """

    bits: np.ndarray

    def __post_init__(self) -> None:
        if self.bits.dtype != np.uint16:
            raise TypeError(f"Bf16 takes the bit patterns as uint16, found {self.bits.dtype}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.bits.shape

    def to_float32(self) -> np.ndarray:
        """The same numbers as float32, exactly: bfloat16 is the upper half of a float32."""
        return (self.bits.astype(np.uint32) << 16).view(np.float32)


Tensor: TypeAlias = np.ndarray | Bf16


def as_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Tensors as plain numpy arrays: bfloat16 comes as the float32 of the same value."""
    return {name: tensor.to_float32() if isinstance(tensor, Bf16) else tensor for name, tensor in tensors.items()}


class FormatError(ValueError):
    """A payload file whose bytes are not what its format promises."""


def encode_json(value: Any) -> bytes:
    """JSON for people: sorted keys, one space of indent, ASCII, a last newline. NaN raises ValueError."""
    text = json.dumps(value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def decode_json(path: Path) -> Any:
    """The value in a JSON file."""
    try:
        return read_json(path, most_bytes=_MOST_JSON)
    except ValueError as error:
        raise FormatError(f"no JSON: {error}") from error


def encode_table(table: pa.Table) -> bytes:
    """A pyarrow table as Parquet, zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def decode_table(path: Path) -> pa.Table:
    """The pyarrow table in a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:  # read_table would take folder names such as `a=1` for columns
            table = file.read()
        table.validate(full=True)  # a damaged page may decode to texts that are none
        return table
    except MemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise FormatError(f"no Parquet: {error}") from error


def encode_tensors(
    tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Iterator[bytes | memoryview]:
    """A safetensors file in chunks: header, then the arrays, widest dtype first (so each is aligned), then by name."""
    arrays = {name: _plain(name, tensor) for name, tensor in tensors.items()}
    order = sorted(arrays, key=lambda name: (-arrays[name][1].itemsize, name))
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    end = 0
    for name in order:
        dtype, array = arrays[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for name in order:
        data = arrays[name][1].reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _CHUNK):
            yield data[start : start + _CHUNK]


def _plain(name: str, tensor: Tensor) -> tuple[str, np.ndarray]:
    if name == "__metadata__":
        raise ValueError("a tensor cannot be called __metadata__: safetensors uses that name")
    array = tensor.bits if isinstance(tensor, Bf16) else tensor
    if not isinstance(array, np.ndarray):
        raise TypeError(f"tensor {name}: expected a numpy array or Bf16, found {type(tensor).__name__}")
    little = np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")
    dtype = "BF16" if isinstance(tensor, Bf16) else _NAMES.get(little.dtype.str)
    if dtype is None:
        raise TypeError(f"tensor {name}: dtype {array.dtype} cannot be stored (safetensors: {', '.join(_DTYPES)})")
    return dtype, little


def decode_tensors(path: Path, only: Iterable[str] | None = None) -> dict[str, Tensor]:
    """The arrays in a safetensors file, all or those named in `only`, as writable copies."""
    size = path.stat().st_size
    with path.open("rb") as stream:
        header, start = _header(stream, size)
        wanted = list(header) if only is None else list(only)
        tensors: dict[str, Tensor] = {}
        for name in wanted:
            if name not in header:
                raise FormatError(f"no tensor {name!r} (has {', '.join(header)})")
            dtype, shape, offset = _entry(name, header[name], size - start)
            stream.seek(start + offset)
            array = np.fromfile(stream, dtype=_DTYPES[dtype], count=math.prod(shape)).reshape(shape)
            if sys.byteorder == "big":
                array = array.astype(array.dtype.newbyteorder("="))
            tensors[name] = Bf16(array) if dtype == "BF16" else array
    return tensors


def _header(stream: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    """The header without its metadata, and where the arrays' bytes begin."""
    prefix = stream.read(8)
    length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else size
    if length > min(size - 8, _MAX_HEADER):
        raise FormatError(f"no safetensors: header of {length} bytes in a file of {size}")
    try:
        header = parse_json(stream.read(length), unique=True)
    except ValueError as error:
        raise FormatError(f"no safetensors: {error}") from error
    if not isinstance(header, dict):
        raise FormatError("no safetensors: the header is no JSON object")
    header.pop("__metadata__", None)
    return header, 8 + length


def _entry(name: str, entry: Any, room: int) -> tuple[str, list[int], int]:
    """(dtype, shape, offset) of one tensor, checked against the room that the file has."""
    try:
        dtype, shape, (begin, end) = entry["dtype"], list(entry["shape"]), entry["data_offsets"]
        width = np.dtype(_DTYPES[dtype]).itemsize
        if len(shape) > _MOST_SIDES or not all(type(each) is int for each in (*shape, begin, end)):
            raise TypeError("a shape and offsets are whole numbers")
        # numpy makes no array that would not fit into memory if its empty sides had one element
        fits = all(side >= 0 for side in shape) and math.prod(max(1, side) for side in shape) * width < 1 << 62
        fits = fits and 0 <= begin <= end <= room and end - begin == math.prod(shape) * width
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError(f"tensor {name}: bad header entry {entry!r:.200}") from error
    if not fits:
        raise FormatError(f"tensor {name}: {entry!r:.200} does not fit the file's {room} bytes of data")
    return dtype, shape, begin
