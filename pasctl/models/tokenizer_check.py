"""Whether a tokenizer.json computes within bounds: its patterns are a program of others that runs on every text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError
from pasctl.models.model_files import read_document, tokenizer_documents

_PROBE = Path(__file__).with_name("tokenizer_probe.py")
_BOUNDS = Bounds(memory=2 << 30)
_COMPUTING = ("normalizer", "pre_tokenizer", "post_processor", "decoder", "padding", "truncation")
_EMPTY_MODEL = {"type": "BPE", "vocab": {}, "merges": []}
_FEW_PARTS = 32  # of all steps together, such as a template's tokens
_MOST_SIGNS = 64  # of patterns, on which they are tried
_SHORT = 4  # characters that a replacement may have at most

_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
KNOWN_PATTERNS = frozenset(
    {
        rf"{_WORDS}\p{{N}}{_REST}",  # Qwen2, Qwen3
        rf"{_WORDS}\p{{N}}{{1,3}}{_REST}",  # Llama 3, GPT-4
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",  # GPT-2
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",  # Mistral's tekken
        r" {2,}",
        r"\s+",
    }
)
"""Patterns that are known to take time in proportion to the text."""


def check_tokenizer(folder: Path) -> None:
    """Refuse a model folder's tokenizer.json or tekken.json that does not get through a few short texts in time.

    One that is made of known parts is not tried, which spares a process.

    Raises:
        InputError: a pattern hangs, memory runs out, the library crashes, or it is no tokenizer.
    """
    for path in tokenizer_documents(folder):
        steps = _steps(read_document(path))
        if not _is_plain(steps):
            _probe(path, steps)


def _steps(document: Mapping[str, Any]) -> dict[str, Any]:
    """What computes, of a tokenizer.json or of a tekken.json, which has one pattern."""
    steps = {name: document.get(name) for name in _COMPUTING}
    config = document.get("config")
    if isinstance(config, Mapping) and "pattern" in config:
        split = {"type": "Split", "pattern": {"Regex": config["pattern"]}, "behavior": "Isolated", "invert": False}
        return {**steps, "pre_tokenizer": split}
    return steps


def _probe(path: Path, steps: Mapping[str, Any]) -> None:
    document = {"version": "1.0", "added_tokens": [], "model": _EMPTY_MODEL, **steps}
    try:
        _try(json.dumps({"tokenizer": document, "texts": _texts(steps)}), _BOUNDS)
    except BoundsError as error:
        raise InputError(
            f"{path}: the tokenizer does not get through a few short texts: {error}",
            hint="a pattern or replacement in the file hangs or grows; take the file from the model's own repository",
        ) from error


@lru_cache(maxsize=64)
def _try(given: str, bounds: Bounds) -> None:
    run_bounded(_PROBE, given=given.encode(), bounds=bounds)


def _is_plain(steps: Mapping[str, Any]) -> bool:
    """Whether all parts are known to take time and space in proportion to the text."""
    parts = [part for step in steps.values() for part in _parts(step)]
    return len(parts) <= _FEW_PARTS and all(_is_known(part) for part in parts)


def _is_known(part: Mapping[str, Any]) -> bool:
    pattern = part.get("pattern")
    if isinstance(pattern, Mapping) and "Regex" in pattern and pattern["Regex"] not in KNOWN_PATTERNS:
        return False
    grown = [part.get(name) for name in ("content", "prepend", "replacement")]
    if any(isinstance(text, str) and len(text.encode()) > _SHORT for text in grown):
        return False
    if part.get("type") in ("Replace", "Prepend") and _grows(part):
        return False
    return not isinstance(part.get("strategy"), Mapping) and "precompiled_charsmap" not in part


def _grows(part: Mapping[str, Any]) -> bool:
    """Whether a replacement makes a text longer in signs; several of them would do so exponentially."""
    if part["type"] == "Prepend":
        return False
    pattern, content = part.get("pattern"), part.get("content")
    if not isinstance(pattern, Mapping) or not isinstance(content, str):
        return True
    return len(content) > len(str(pattern.get("String", " ")))


def _parts(value: Any) -> Iterator[Mapping[str, Any]]:
    """All objects within a value."""
    if isinstance(value, Mapping):
        yield value
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    for item in inner:
        yield from _parts(item)


def _texts(steps: Mapping[str, Any]) -> list[str]:
    """Texts of what the steps look for or put in: replacements feed each other, patterns retry on their own signs."""
    parts = [part for step in steps.values() for part in _parts(step)]
    words = [part.get(name) for part in parts for name in ("String", "content")]
    texts = [word[:1000] * 20 for word in words if isinstance(word, str)]
    patterns = [part["Regex"] for part in parts if isinstance(part.get("Regex"), str)]
    signs = sorted(set("".join(patterns)))[:_MOST_SIGNS]
    mixed = "".join(signs)
    return [*texts, mixed * 20, *(text for sign in signs for text in (mixed + sign * 1000, sign * 1000 + mixed))]
