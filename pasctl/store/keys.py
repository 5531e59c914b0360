"""Keys: what a result was made from, as canonical JSON, and its sha256."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY_PREFIX = "s1:"
ABSENT = "(absent)"
_KEY = re.compile(r"s1:[0-9a-f]{64}")


def canonical_json(value: Any) -> str:
    """The one JSON text of a value: sorted keys, no spaces, ASCII only.

    Raises:
        TypeError: a key that is no str, or a type outside dict, list, tuple, str, int, float, bool, None. Subclasses
            are refused as well (np.float64 is a float, an enum may be a str): their text could change with a library.
        ValueError: NaN or infinity, for which JSON has no text.
    """
    _check(value, "$")
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def _check(value: Any, path: str) -> None:
    kind = type(value)
    if kind is dict:
        for name, inner in value.items():
            if type(name) is not str:
                raise TypeError(f"{path}: a JSON key must be str, found {name!r} ({type(name).__name__})")
            _check(inner, f"{path}.{name}")
    elif kind is list or kind is tuple:
        for index, inner in enumerate(value):
            _check(inner, f"{path}[{index}]")
    elif kind is float:
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value} has no canonical JSON")
    elif not (value is None or kind in (str, int, bool)):
        raise TypeError(f"{path}: {kind.__name__} has no canonical JSON; convert it to a plain Python value")


def make_key(document: Mapping[str, Any]) -> str:
    """The key of a key document: `s1:` and the sha256 of its canonical JSON."""
    return KEY_PREFIX + hashlib.sha256(canonical_json(dict(document)).encode("ascii")).hexdigest()


def is_key(text: object) -> bool:
    """Whether `text` is a whole key."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def key_hash(key: str) -> str:
    """The 64 hex digits of a key, which name its folder."""
    if not is_key(key):
        raise ValueError(f"not a key: {key!r} (expected {KEY_PREFIX} and 64 hex digits)")
    return key.removeprefix(KEY_PREFIX)


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Difference:
    """One place where two key documents differ; a side without that place reads `(absent)`."""

    path: str
    a: Any
    b: Any


def explain(a: Any, b: Any, path: str = "") -> list[Difference]:
    """Every place where two JSON values differ, in a fixed order; paths read `params.seed` or `items[3].key`."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        found: list[Difference] = []
        for name in sorted(a.keys() | b.keys()):
            found += explain(a.get(name, ABSENT), b.get(name, ABSENT), f"{path}.{name}" if path else name)
        return found
    if _is_list(a) and _is_list(b):
        found = []
        for index in range(max(len(a), len(b))):
            left = a[index] if index < len(a) else ABSENT
            right = b[index] if index < len(b) else ABSENT
            found += explain(left, right, f"{path}[{index}]")
        return found
    # 1, 1.0 and True are equal in Python but give three different keys
    same = type(a) is type(b) and a == b
    return [] if same else [Difference(path, a, b)]


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
