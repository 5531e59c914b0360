"""Mutants of files: bytes flipped, spliced, cut; numbers set to extremes; JSON changed where it has its structure."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

TOKENS = (
    *(b"\x1b[31m", b"\x1b]0;owned\x07", b"\n", b"\r\n", b"\t", b"\0", b"\xff", b"\xfe\xff", b"\xed\xa0\x80"),
    *(
        b"\xe2\x80\xae",
        b"\xef\xbb\xbf",
        b"NaN",
        b"Infinity",
        b"-1",
        b"1e999",
        b"9" * 400,
        b"9" * 5000,
        b'"',
        b"'",
        b"\\",
        b",",
    ),
    *(
        b"\\ud800",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"[]",
        b"{}",
        b"null",
        b"true",
        b"../../x",
        b"A" * 70_000,
        *(b"&a ", b"*a", b"&", b"1-9999999999", b"{n}", b": ", b"- "),
    ),
)
NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 1 << 30, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 60, (1 << 63) - 1, 1 << 63)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 7, 1 << 31, 1 << 63, -(1 << 63), 10**30, 10**400, 0.5, -0.0, 1e308, 1e-308),
    *("", " ", "a", "\x1b[2J", "line\nbreak", "\ud800", "\u202eoverride", "\0", "E01", "5", "1e5", "x" * 5000),
    *([], {}, [[]], [None], [1, 2, 3], ["a", "b"], {"a": 1}, {"": None}, {"\ud800": 1}, {"\x1b[31m": {"x": []}}),
    *(float("nan"), float("inf"), [10**30] * 40, ["../outside.safetensors"]),
)
_MOST_BYTES = 1 << 20


def mutants(seeds: Sequence[bytes], random: Random, count: int) -> Iterator[bytes]:
    """So many mutants of some files, the same for the same random numbers."""
    for _ in range(count):
        data = random.choice(seeds)
        for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
            data = random.choice(_CHANGES)(data, seeds, random)[:_MOST_BYTES]
        yield data


def _flip(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    if not data:
        return b"\0"
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 4, 32))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def _cut(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _drop(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    start, stop = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[min(stop, start + 64) :]


def _repeat(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    start, stop = sorted(random.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start:stop] * random.choice((1, 1, 3)) + data[stop:]


def _splice(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    other = random.choice(seeds)
    return data[: random.randrange(len(data) + 1)] + other[random.randrange(len(other) + 1) :]


def _token(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    place, token = random.randrange(len(data) + 1), random.choice(TOKENS)
    return data[:place] + token + data[place + random.choice((0, len(token), 1)) :]


def _number(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    """A binary number overwritten, mostly near the beginning or the end, where headers are."""
    size, form = random.choice(((1, "B"), (2, "<H"), (4, "<I"), (8, "<Q"), (8, "<Q")))
    near = random.choice((len(data), 64, 512))
    place = random.randrange(min(len(data), near) + 1)
    place = random.choice((place, len(data) - place, place & ~3))
    value = random.choice(NUMBERS) & ((1 << 8 * size) - 1)
    return data[:place] + struct.pack(form, value) + data[place + size :]


def _json(data: bytes, _seeds: Sequence[bytes], random: Random) -> bytes:
    """A JSON document, or the JSON header of a safetensors file, with one place of its structure changed."""
    start = 8 if len(data) > 8 and data[8:9] == b"{" and data[:1] != b"{" else 0
    end = 8 + struct.unpack("<Q", data[:8])[0] if start else len(data)
    try:
        document = json.loads(data[start:end])
    except (ValueError, RecursionError):
        return _token(data, _seeds, random)
    try:
        text = json.dumps(_changed(document, random), ensure_ascii=random.random() < 0.9).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return data
    if random.random() < 0.1:
        text = _twice(text, random)
    return struct.pack("<Q", len(text)) + text + data[end:] if start else text


def _zip(data: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """An archive with one of its files changed, as workbooks are: their checksums hide what is changed from outside."""
    if data[:2] != b"PK":
        return _number(data, seeds, random)
    made = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(made, "w") as new:
            names = old.namelist()
            chosen = random.choice(names)
            for name in names:
                content = old.read(name)
                if name == chosen:
                    content = random.choice((_flip, _cut, _drop, _repeat, _token, _token))(content, [content], random)
                new.writestr(zipfile.ZipInfo(name), content)
    except (ValueError, IndexError, OSError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error):
        return data
    return made.getvalue()


def _changed(document: Any, random: Random) -> Any:
    places = list(_places(document))
    if not places or random.random() < 0.05:
        return random.choice((*VALUES, _deep(random)))
    holder, key = random.choice(places)
    what = random.random()
    if what < 0.6:
        holder[key] = _deep(random) if what < 0.03 else random.choice(VALUES)
    elif what < 0.7:
        del holder[key]
    elif what < 0.8:
        other, name = random.choice(places)
        holder[key] = json.loads(json.dumps(other[name])) if name in _keys(other) else None
    elif isinstance(holder, dict):
        holder[random.choice(("\x1b[31m", "\ud800", "", "x" * 300, "E01", "__metadata__", "id"))] = holder.pop(key)
    else:
        holder.extend([holder[key]] * random.choice((1, 50)))
    return document


def _keys(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(document: Any) -> Iterator[tuple[Any, Any]]:
    """(list or object, index or name) of every value within a document."""
    for key in list(_keys(document)) if isinstance(document, dict | list) else ():
        yield document, key
        yield from _places(document[key])


def _deep(random: Random) -> Any:
    value: Any = 1
    for _ in range(random.choice((20, 70, 300))):
        value = [value] if random.random() < 0.5 else {"a": value}
    return value


def _twice(text: bytes, random: Random) -> bytes:
    """A name a second time in an object: JSON allows it, and readers take the last without a word."""
    place = text.find(b'{"', random.randrange(len(text) + 1))
    end = text.find(b'":', place) if place >= 0 else -1
    return text[: place + 1] + text[place + 1 : end] + b'": 1, ' + text[place + 1 :] if end > 0 else text


_CHANGES: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    *(_flip, _cut, _drop, _repeat, _splice, _token, _number, _number),
    *(_json, _json, _json, _json, _zip, _zip),
)
