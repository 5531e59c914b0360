"""Contrasts from a file of pairs: JSON, JSON Lines, CSV or TSV, in the shapes that tools of the field use.

A row is one of

- two plain texts: `positive`, `negative` (repeng, EasySteer);
- a prompt with two completions: `prompt`, `positive`, `negative`;
- a question with two answers: `question`, `answer_matching_behavior`, `answer_not_matching_behavior` (CAA,
  steering-vectors);

and may name its `axis` (or `trait`) and its `group`. A JSON object with `instruction`, a list of `pos` and `neg` system
texts, and `questions` is read as every instruction with every question (persona_vectors); one with the lists `positive`
and `negative` as pairs in their order. Plain texts are read at their last token, completions on average over theirs.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pasctl.contrasts.contrast import Axis, Contrast, Example, Pair
from pasctl.errors import InputError, MissingError

HINT = (
    "each row needs positive and negative texts, as columns or JSON keys, or a prompt with both completions; "
    "see `pasctl extract --help`"
)
_LARGEST = 100 << 20  # bytes
_SIDES = (("positive", "negative"), ("answer_matching_behavior", "answer_not_matching_behavior"), ("pos", "neg"))
_PROMPTS = ("prompt", "question", "user")


def read_pairs(path: str | Path) -> Contrast:
    """Read a file of pairs.

    Raises:
        MissingError: no such file.
        InputError: it is no file of pairs; the message names the line or row.
    """
    file = Path(path)
    rows = list(_rows(file, _text(file)))
    pairs = [_pair(where, row, number) for number, (where, row) in enumerate(rows)]
    if not pairs:
        raise InputError(f"{file}: expected at least one pair, found none", hint=HINT)
    names = list(dict.fromkeys(pair.axis for pair in pairs))
    axes = tuple(
        Axis(name, f"{name}+" if len(names) > 1 else "+", f"{name}-" if len(names) > 1 else "-") for name in names
    )
    return Contrast(_name(file), axes, tuple(pairs))


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _LARGEST:
            raise InputError(
                f"{file}: expected at most {_LARGEST >> 20} MiB of pairs, found {file.stat().st_size >> 20}"
            )
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise MissingError(f"file of pairs {file} does not exist", hint=HINT) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}", hint="convert it to UTF-8 first") from error
    except OSError as error:
        raise InputError(f"{file}: not readable: {error.strerror}", hint=HINT) from error


def _rows(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where each row stands, and the row."""
    ending = file.suffix.lower()
    if ending in (".csv", ".tsv"):
        reader = csv.DictReader(io.StringIO(text), delimiter="\t" if ending == ".tsv" else ",")
        try:
            for row in reader:
                yield (
                    f"{file} line {reader.line_num}",
                    {str(name).strip().lower(): value for name, value in row.items()},
                )
        except csv.Error as error:
            raise InputError(f"{file} line {reader.line_num}: not readable as a table: {error}", hint=HINT) from error
    elif ending in (".jsonl", ".ndjson"):
        for number, line in enumerate(text.splitlines(), start=1):
            if line.strip():
                yield f"{file} line {number}", _object(_json(f"{file} line {number}", line), f"{file} line {number}")
    else:
        document = _json(str(file), text)
        many = document if isinstance(document, list) else list(_unfolded(_object(document, str(file)), file))
        for number, row in enumerate(many, start=1):
            yield f"{file} row {number}", _object(row, f"{file} row {number}")


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        said = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise InputError(f"{where}: not readable as JSON: {said}", hint=HINT) from error


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object with two texts, found {type(value).__name__}", hint=HINT)
    return value


def _unfolded(document: Mapping[str, Any], file: Path) -> Iterator[dict[str, Any]]:
    """The rows that one JSON object stands for."""
    if isinstance(document.get("instruction"), list) and isinstance(document.get("questions"), list):
        for instruction in document["instruction"]:
            for question in document["questions"]:
                sides = _object(instruction, f"{file} instruction")
                yield {"question": question, "system_pos": sides.get("pos"), "system_neg": sides.get("neg")}
        return
    plus, minus = document.get("positive"), document.get("negative")
    if isinstance(plus, list) and isinstance(minus, list):
        if len(plus) != len(minus):
            raise InputError(f"{file}: expected as many negative as positive texts, found {len(plus)} and {len(minus)}")
        yield from ({"positive": a, "negative": b} for a, b in zip(plus, minus, strict=True))
        return
    for name in ("data", "pairs", "rows"):
        if isinstance(document.get(name), list):
            yield from document[name]
            return
    raise InputError(
        f"{file}: expected a list of pairs, found an object with {', '.join(list(document)[:5])}", hint=HINT
    )


def _pair(where: str, row: Mapping[str, Any], number: int) -> Pair:
    axis, group = (str(row.get(name) or "").strip() for name in ("axis", "group"))
    axis = axis or str(row.get("trait") or "").strip() or "pairs"
    prompt = next((str(row[name]) for name in _PROMPTS if row.get(name)), None)
    if "system_pos" in row:
        texts = [_filled(where, row.get(name), name) for name in ("system_pos", "system_neg")]
        examples = [Example(system=text, user=_filled(where, prompt, "question")) for text in texts]
    else:
        names = next((names for names in _SIDES if any(name in row for name in names)), None)
        if names is None:
            raise InputError(
                f"{where}: expected positive and negative, found {', '.join(map(str, row)) or 'nothing'}", hint=HINT
            )
        texts = [_filled(where, row.get(name), name) for name in names]
        examples = [Example(None, prompt, text, "last" if prompt is None else "mean") for text in texts]
    if texts[0] == texts[1]:
        raise InputError(f"{where}: expected two different texts, found the same twice", hint=HINT)
    return Pair(axis, group or prompt or str(number), *examples)


def _filled(where: str, value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        found = "nothing" if value in (None, "") else f"{type(value).__name__} {value!r}"[:60]
        raise InputError(f"{where}: expected a text as {name}, found {found}", hint=HINT)
    return value


def _name(file: Path) -> str:
    """A short name for artifacts: the file's, and six digits of its path's content digest."""
    word = re.sub(r"[^a-z0-9]+", "-", file.stem.lower()).strip("-") or "pairs"
    return f"pairs-{word[:24]}-{hashlib.sha256(file.read_bytes()).hexdigest()[:6]}"
