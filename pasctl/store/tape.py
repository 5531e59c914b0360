"""The form of a bundle: a tar archive (POSIX.1-2001) whose every byte follows from its files' names and contents.

Headers have fixed owners, modes and times, so the same files give the same archive. The reader knows which file comes
next, makes the header that it must have, and compares: links, devices, other names and another order cannot occur in
what it takes. Nothing is ever unpacked under a name that the archive says.

Around it may be zstd or gzip, by the end of the file's name when one is written, by its first bytes when one is read.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from pasctl.errors import InputError, IntegrityError
from pasctl.store.disk import unreadable

BLOCK = 512
_CHUNK = 1 << 20
_END = bytes(2 * BLOCK)
_LARGEST = 8**11  # bytes that the size field of a header has no digits for
_ENDINGS = {".tar.zst": "zstd", ".tar.gz": "gzip", ".tgz": "gzip", ".tar": ""}
_MAGIC = {b"\x28\xb5\x2f\xfd": "zstd", b"\x1f\x8b": "gzip"}
_BROKEN = (EOFError, zlib.error, gzip.BadGzipFile)
_TYPES = {b"1": "a link", b"2": "a symbolic link", b"3": "a device", b"4": "a device", b"5": "a folder", b"6": "a pipe"}


def header(name: str, size: int) -> bytes:
    """What stands before a file's bytes: one block, or three and more where the name or the size is too long for it."""
    prefix, short = _split(name)
    records = {} if short else {"path": name}
    if size >= _LARGEST:
        records["size"] = str(size)
    before = b""
    if records:
        data = b"".join(_record(key, value) for key, value in sorted(records.items()))
        before = _block("././@PaxHeader", "", len(data), b"x") + padded(data)
    return before + _block(short or name[:100], prefix, size if size < _LARGEST else 0, b"0")


def _split(name: str) -> tuple[str, str]:
    """(prefix, name) for the two fields of a header; a name of "" where it does not fit them."""
    if len(name) <= 100:
        return "", name
    place = name.rfind("/", 0, 156)
    return (name[:place], name[place + 1 :]) if place > 0 and len(name) - place - 1 <= 100 else ("", "")


def _record(key: str, value: str) -> bytes:
    """A line of an extended header, which begins with its own length."""
    rest = f" {key}={value}\n"
    length = len(rest)
    while length < len(str(length)) + len(rest):
        length = len(str(length)) + len(rest)
    return f"{length}{rest}".encode("ascii")


def _block(name: str, prefix: str, size: int, kind: bytes) -> bytes:
    fields = [
        name.encode("ascii").ljust(100, b"\0"),
        b"0000644\0" + b"0000000\0" * 2,  # mode, owner, group
        b"%011o\0" % size,
        b"%011o\0" % 0,  # time
        b" " * 8,  # the checksum, below
        kind + bytes(100) + b"ustar\x0000" + bytes(64) + b"0000000\0" * 2,
        prefix.encode("ascii").ljust(155, b"\0") + bytes(12),
    ]
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padded(data: bytes) -> bytes:
    """Data with zeros up to a whole block."""
    return data + padding(len(data))


def padding(size: int) -> bytes:
    """The zeros after a file of so many bytes."""
    return bytes(-size % BLOCK)


def compression(path: Path) -> str:
    """The compression that a bundle's name asks for: zstd, gzip or none.

    Raises:
        InputError: the name does not say.
    """
    for ending, how in _ENDINGS.items():
        if path.name.endswith(ending) and path.name != ending:
            return how
    raise InputError(f"bundle {path}: expected a name that ends in {', '.join(_ENDINGS)}")


class _Sink(io.RawIOBase):
    """Takes what a compressor gives until it is fetched."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.parts.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """Stay open: what was written is fetched afterwards."""

    def fetch(self) -> list[bytes]:
        parts, self.parts = self.parts, []
        return parts


def compressed(chunks: Iterable[bytes], how: str) -> Iterator[bytes]:
    """Chunks after compression; the same chunks give the same bytes."""
    if not how:
        yield from chunks
        return
    sink = _Sink()
    with _compressor(sink, how) as stream:
        for chunk in chunks:
            stream.write(chunk)
            yield from sink.fetch()
    yield from sink.fetch()


def _compressor(sink: _Sink, how: str) -> Any:
    if how == "gzip":
        return gzip.GzipFile(filename="", mode="wb", fileobj=cast("IO[bytes]", sink), mtime=0, compresslevel=6)
    import pyarrow as pa

    return pa.CompressedOutputStream(pa.PythonFile(sink, mode="w"), "zstd")


class Tape:
    """An archive that is read from its beginning to its end, once."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        """Look at the first bytes.

        Raises:
            StoreError: the file cannot be read.
        """
        self.path, self._raw = path, stream
        try:
            magic = stream.read(4)
            stream.seek(0)
        except OSError as error:
            raise unreadable(path, error) from error
        how = next((how for begins, how in _MAGIC.items() if magic.startswith(begins)), "")
        self._stream: Any = stream
        if how == "gzip":
            self._stream = gzip.GzipFile(fileobj=stream, mode="rb")
        elif how:
            import pyarrow as pa

            self._stream = pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), "zstd")

    def take(self, count: int, what: str) -> bytes:
        """The next bytes.

        Raises:
            IntegrityError: the archive ends before, or is damaged.
        """
        return b"".join(self._chunks(count, what))

    def _chunks(self, count: int, what: str) -> Iterator[bytes]:
        while count:
            chunk = self._read(min(count, _CHUNK), what)
            if not chunk:
                raise self.refusal(f"it ends within {what}: it is cut off")
            count -= len(chunk)
            yield chunk

    def _read(self, count: int, what: str) -> bytes:
        try:
            return bytes(self._stream.read(count))
        except _BROKEN as error:
            raise self.refusal(f"damaged or cut off within {what}: {error}") from error
        except OSError as error:
            if error.errno is None:  # of the decompressor
                raise self.refusal(f"damaged or cut off within {what}: {error}") from error
            raise unreadable(self.path, error) from error

    def expect(self, wanted: bytes, what: str) -> None:
        """Reads what must come next.

        Raises:
            IntegrityError: something else comes.
        """
        found = self.take(len(wanted), what)
        if found != wanted:
            raise self.refusal(f"expected {what}, found {_described(found[-BLOCK:], wanted[-BLOCK:])}")

    def content(self, name: str, size: int) -> Iterator[bytes]:
        """The bytes of the next file, header and padding checked; they must be taken to their end.

        Raises:
            IntegrityError: another file comes, or the archive ends.
        """
        self.expect(header(name, size), name)
        yield from self._chunks(size, name)
        if any(self.take(-size % BLOCK, name)):
            raise self.refusal(f"expected zeros after {name}, found something else")

    def finish(self) -> None:
        """Reads the end.

        Raises:
            IntegrityError: something else comes, or something follows.
        """
        self.expect(_END, "the end of the archive")
        if self._read(1, "its end"):
            raise self.refusal("something follows after its end")

    def refusal(self, what: str) -> IntegrityError:
        """The error for this archive."""
        return IntegrityError(f"bundle {self.path}: {what}", hint="nothing of it was taken in; get the file again")


def end() -> bytes:
    """What stands after the last file."""
    return _END


def _described(found: bytes, wanted: bytes) -> str:
    """A block of an archive in words."""
    if not any(found):
        return "the end of the archive"
    try:
        member = tarfile.TarInfo.frombuf(found, "ascii", "backslashreplace")
    except (tarfile.HeaderError, ValueError):
        return "a damaged block"
    if found[156:157] in _TYPES:
        return f"{_TYPES[found[156:157]]} called {member.name!r}"
    if found[:100] + found[345:500] == wanted[:100] + wanted[345:500]:
        return f"a header with another size, owner, mode or time ({member.size} bytes)"
    return f"{member.name!r}"
