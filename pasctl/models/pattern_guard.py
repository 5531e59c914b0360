"""A bound on what a tokenizer's patterns compute: a regular expression comes with a model and can run for hours."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pasctl.models.guard import run_guarded

MOST_REPEATS = 2
"""Unbounded repetitions within an alternative of a pattern that is not tried."""

_PLAIN = re.compile(r"\\[pP]\{[^}]*\}|\\.|\[(?:\\.|[^\]\\])*\]", re.DOTALL)  # what one character matches
_REPEATED_GROUP = re.compile(r"\)\s*[*+{?]")
_REPEAT = re.compile(r"[*+]|\{\d*,\}")
_LONG = 400
_TEXTS = (
    "pasctl asks: how accurately does this describe you?\n\nI worry about things.",
    *(
        f"{part * (_LONG // len(part))}{end}"
        for part in ("a", "A", " ", "\n", "1", "_", "ab ", "é")
        for end in ("", "!", "x")
    ),
)
_HINT = "patterns come with the model: look at the pre_tokenizer and normalizer in its tokenizer.json"


def check_patterns(tokenizer: Any) -> None:
    """Refuse a tokenizer whose patterns take long on short texts.

    A pattern that repeats no group, as those of GPT-2, Qwen and Llama, is not tried.

    Raises:
        InputError: patterns take more time or memory than `guard` allows, or the engine gives them up.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    parts = [part for part in (getattr(backend, "pre_tokenizer", None), getattr(backend, "normalizer", None)) if part]
    patterns = {
        pattern for part in parts for pattern in _patterns(json.loads(part.__getstate__())) if not is_flat(pattern)
    }
    if patterns:
        _try(tuple(sorted(patterns)))


def is_flat(pattern: str) -> bool:
    """Whether a pattern repeats no group and little within an alternative, so that its time grows moderately."""
    marks = _PLAIN.sub("x", pattern)
    return not _REPEATED_GROUP.search(marks) and all(
        len(_REPEAT.findall(alternative)) <= MOST_REPEATS for alternative in marks.split("|")
    )


@lru_cache(maxsize=64)
def _try(patterns: tuple[str, ...]) -> None:
    what = f"the tokenizer's pattern {patterns[0][:60]!r}" if len(patterns) == 1 else "one of the tokenizer's patterns"
    run_guarded({"patterns": patterns, "texts": _TEXTS}, ("tokenizers",), f"{what}, given a short text,", _HINT)


def _patterns(state: Any) -> Iterator[str]:
    """Regular expressions in what a part of a tokenizer is made of."""
    if isinstance(state, dict):
        if isinstance(state.get("Regex"), str):
            yield state["Regex"]
        state = list(state.values())
    if isinstance(state, list):
        for part in state:
            yield from _patterns(part)
