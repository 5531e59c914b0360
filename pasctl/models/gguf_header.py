"""The architecture and sizes that a .gguf file declares, read from its first bytes.

Layout (GGUF versions 2 and 3, little-endian): magic "GGUF", u32 version, u64 tensors, u64 pairs; then each pair as key
(u64 length, UTF-8), u32 value type, value. An array is u32 element type, u64 length, elements.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from pasctl.errors import InputError, MissingError
from pasctl.models.digests import settled_stamp

_SCALAR_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_UINT32, _STRING, _ARRAY = 4, 8, 9
_NUMBERS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 10: "<Q", 11: "<q", 12: "<d"}
_MAX_NAME = 1 << 16
_MAX_LIST = 1 << 16
_MAX_DIMENSIONS = 8  # GGUF itself has 4
_MAX_SKIP = 1 << 48  # bytes
# Families whose name in GGUF is not transformers' model_type. Mistral is stored as "llama": module for module it is.
_MODEL_TYPES = {"qwen3moe": "qwen3_moe", "qwen2moe": "qwen2_moe"}


@dataclass(frozen=True)
class GgufHeader:
    """What a file says about its model; None where it does not.

    Attributes:
        family: the model_type (as in transformers) for `general.architecture`.
        context: `<architecture>.context_length` in tokens.
    """

    family: str | None = None
    context: int | None = None


def read_gguf_header(path: Path) -> GgufHeader:
    """The facts that a file's header begins with.

    Raises:
        InputError: not a GGUF file of version 2 or 3, or cut short.
        MissingError: the file cannot be read.
    """
    family = context = None
    for key, value in _pairs(path):
        if key == "general.architecture" and isinstance(value, str):
            family = value
        elif key.endswith(".context_length") and isinstance(value, int):
            context = value
        if family is not None and context is not None:
            break
    return GgufHeader(None if family is None else _MODEL_TYPES.get(family, family), context)


def read_gguf_sizes(path: Path) -> dict[str, int]:
    """All whole numbers that a file's header says, by key without the architecture: "attention.key_length".

    Raises:
        InputError: not a GGUF file of version 2 or 3, or cut short.
        MissingError: the file cannot be read.
    """
    return dict(_table(path).sizes)


Value = str | int | float | list["str | int | float"]


def read_gguf_values(path: Path, prefix: str) -> dict[str, Value]:
    """The texts, numbers, and lists of these that a file's header has under keys that begin with `prefix`.

    Raises:
        InputError: not a GGUF file of version 2 or 3, or cut short.
        MissingError: the file cannot be read.
    """
    found: dict[str, Value] = {}
    with _opened(path) as stream:
        for _ in range(_counts(stream, path)[1]):
            key, kind = _string(stream), _u32(stream)
            if key.startswith(prefix) and (kind in _NUMBERS or kind in (_STRING, _ARRAY)):
                found[key] = _value(stream, kind)
            else:
                _skip(stream, kind)
    return found


def read_gguf_tensor_names(path: Path) -> list[str]:
    """The names of a file's tensors.

    Raises:
        InputError: not a GGUF file of version 2 or 3, or cut short.
        MissingError: the file cannot be read.
    """
    return list(read_gguf_shapes(path))


def read_gguf_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of a file's tensors by name, the fastest axis first.

    Raises:
        InputError: not a GGUF file of version 2 or 3, or cut short.
        MissingError: the file cannot be read.
    """
    table = _table(path)
    with _opened(path) as stream:
        stream.seek(table.end)
        return dict(_tensor(stream) for _ in range(table.tensors))


@dataclass(frozen=True)
class _Table:
    """A header's pairs: the whole numbers by key, how many tensors there are, and where in the file they are told."""

    sizes: Mapping[str, int]
    tensors: int
    end: int


def _table(path: Path) -> _Table:
    """Read once by a process for each state of the file: a vocabulary makes the pairs long."""
    try:
        stamp = settled_stamp(path)
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    return _read_table(path) if stamp is None else _known_table(path, stamp)


@lru_cache(maxsize=8)
def _known_table(path: Path, stamp: tuple[str | int, ...]) -> _Table:
    return _read_table(path)


def _read_table(path: Path) -> _Table:
    with _opened(path) as stream:
        tensors, pairs = _counts(stream, path)
        sizes = {key.partition(".")[2]: value for key, value in _read_pairs(stream, pairs) if isinstance(value, int)}
        return _Table(sizes, tensors, stream.tell())


def _pairs(path: Path) -> Iterator[tuple[str, str | int | None]]:
    """Keys and values of a header as they come: texts and 32-bit numbers, None for others."""
    with _opened(path) as stream:
        yield from _read_pairs(stream, _counts(stream, path)[1])


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes; what goes wrong with them is told in one line."""
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not a whole GGUF file: its header breaks off or makes no sense") from error


def _counts(stream: BinaryIO, path: Path) -> tuple[int, int]:
    """How many tensors and how many pairs there are; the pairs come next."""
    magic = stream.read(4)
    if magic != b"GGUF":
        raise InputError(f"{path} is not a GGUF file: it starts with {magic!r}, expected b'GGUF'")
    version, tensors, pairs = struct.unpack("<IQQ", _exactly(stream, 20))
    if version not in (2, 3):
        raise InputError(f"{path} is GGUF version {version}, expected 2 or 3 (little-endian)")
    return tensors, pairs


def _read_pairs(stream: BinaryIO, pairs: int) -> Iterator[tuple[str, str | int | None]]:
    for _ in range(pairs):
        key = _string(stream)
        kind = _u32(stream)
        if key == "general.architecture" and kind == _STRING:
            yield key, _string(stream)
        elif kind == _UINT32:
            yield key, _u32(stream)
        else:
            _skip(stream, kind)
            yield key, None


def _tensor(stream: BinaryIO) -> tuple[str, tuple[int, ...]]:
    """Name and shape of the tensor told next: name, u32 dimensions, u64 each, u32 type, u64 offset."""
    name, dimensions = _string(stream), _u32(stream)
    if dimensions > _MAX_DIMENSIONS:
        raise struct.error(f"a tensor of {dimensions} dimensions")
    shape = tuple(_u64(stream) for _ in range(dimensions))
    _pass(stream, 12)
    return name, shape


def _value(stream: BinaryIO, kind: int) -> Value:
    if kind != _ARRAY:
        return _single(stream, kind)
    element, length = _u32(stream), _u64(stream)
    if length > _MAX_LIST:
        raise struct.error(f"a list of {length} values")
    return [_single(stream, element) for _ in range(length)]


def _single(stream: BinaryIO, kind: int) -> str | int | float:
    if kind == _STRING:
        return _string(stream)
    if kind not in _NUMBERS:
        raise struct.error(f"value type {kind}")
    form = _NUMBERS[kind]
    value: int | float = struct.unpack(form, _exactly(stream, struct.calcsize(form)))[0]
    return value


def _skip(stream: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _pass(stream, _u64(stream))
    elif kind == _ARRAY:
        element, length = _u32(stream), _u64(stream)
        if element in _SCALAR_SIZES:
            _pass(stream, length * _SCALAR_SIZES[element])
        else:
            for _ in range(length):
                _skip(stream, element)
    elif kind in _SCALAR_SIZES:
        _pass(stream, _SCALAR_SIZES[kind])
    else:
        raise struct.error(f"value type {kind}")


def _pass(stream: BinaryIO, size: int) -> None:
    """Go past some bytes, which may be the last ones; no file is as long as 64 bits can say."""
    if size > _MAX_SKIP:
        raise struct.error(f"a value of {size} bytes")
    stream.seek(size, 1)


def _string(stream: BinaryIO) -> str:
    length = _u64(stream)
    if length > _MAX_NAME:
        raise struct.error(f"a name of {length} bytes")
    return _exactly(stream, length).decode()


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:  # a name cut short would pass for another name
        raise struct.error(f"{len(found)} bytes of {size}")
    return found


def _u32(stream: BinaryIO) -> int:
    return int(struct.unpack("<I", _exactly(stream, 4))[0])


def _u64(stream: BinaryIO) -> int:
    return int(struct.unpack("<Q", _exactly(stream, 8))[0])
