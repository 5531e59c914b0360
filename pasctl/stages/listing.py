"""Artifacts as rows of a table: their options and figures, what is asked of them, and how two of them differ."""

from __future__ import annotations

import contextlib
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pasctl.errors import InputError, IntegrityError
from pasctl.stages.headline import SOURCES, figures, headline
from pasctl.stages.made_options import made_options
from pasctl.store import Artifact, Lineage, Store
from pasctl.store.labels import varying

_FIGURES_READ = 50  # artifacts whose figures are read from a file where nothing asks for them
_READ_BYTES = 1 << 18
_COLUMNS: dict[str, Callable[[Listed], Any]] = {
    "name": lambda row: row.artifact.name,
    "key": lambda row: row.artifact.key,
    "kind": lambda row: row.artifact.kind,
    "model": lambda row: row.artifact.model,
    "stage": lambda row: row.artifact.stage,
    "size": lambda row: row.artifact.size,
    "made": lambda row: row.artifact.created_at,
    "tag": lambda row: ",".join(row.tags),
}
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "~": lambda value, part: str(part) in str(value),
}
_CONDITION = re.compile(r"\s*([\w.-]+?)\s*(!=|<=|>=|=|<|>|~)\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Listed:
    """An artifact in a list.

    Attributes:
        artifact: itself.
        tags: that it has.
        options: those in which the artifacts of its kind, model and plain label differ.
        every: all of its options.
        figures: name -> value.
        figure: the same as a short text; None if there is none.
    """

    artifact: Artifact
    tags: Sequence[str]
    options: Mapping[str, Any]
    every: Mapping[str, Any]
    figures: Mapping[str, float]
    figure: str | None

    def value(self, name: str) -> Any:
        """A column, an option or a figure of it; None if it has none of this name."""
        if name in _COLUMNS:
            return _COLUMNS[name](self)
        return self.figures[name] if name in self.figures else given(self.every.get(name))

    def to_json(self) -> dict[str, Any]:
        """The row as a JSON object."""
        artifact = self.artifact
        return {
            "name": artifact.name,
            "key": artifact.key,
            "content_digest": artifact.content_digest,
            "size": artifact.size,
            "created_at": artifact.created_at,
            "path": str(artifact.path),
            "tags": list(self.tags),
            "options": dict(self.options),
            "figure": self.figure,
            "figures": dict(self.figures),
        }


@dataclass(frozen=True)
class Condition:
    """What must hold of an artifact.

    Attributes:
        name: of a column, an option or a figure.
        sign: one of =, !=, <, <=, >, >= and ~.
        value: what it is compared with.
    """

    name: str
    sign: str
    value: str

    def holds(self, row: Listed) -> bool:
        """Whether it does; nothing but != holds of what an artifact does not have."""
        value = row.value(self.name)
        if value is None:
            return self.sign == "!="
        left, right = _comparable(value, self.value)
        return _OPERATORS[self.sign](left, right)


def parse_condition(text: str) -> Condition:
    """A condition from its text, such as `seed=1` or `composite<2.5`.

    Raises:
        InputError: it is none.
    """
    found = _CONDITION.fullmatch(text)
    if not found:
        raise InputError(
            f"--where {text!r} is no condition, expected a name, one of = != < <= > >= ~, and a value",
            hint='as in --where seed=1 or --where "composite<2.5" (quoted, since a shell takes < and > for itself)',
        )
    return Condition(found[1].replace("-", "_"), found[2], found[3])


def listed(store: Store, artifacts: Sequence[Artifact], *, asked: Sequence[str] = ()) -> list[Listed]:
    """Artifacts as rows.

    Args:
        store: where they are.
        artifacts: in their order.
        asked: names that are needed of all; else figures are read from files of the newest alone.
    """
    tags: dict[str, list[str]] = {}
    for name, key in store.tags().items():
        tags.setdefault(key, []).append(name)
    every = [made_options(artifact.stage, artifact.document, artifact.provenance) for artifact in artifacts]
    groups: dict[tuple[str, str, str], list[int]] = {}
    for place, artifact in enumerate(artifacts):
        groups.setdefault((artifact.kind, artifact.model, artifact.plain_label), []).append(place)
    differing: list[dict[str, Any]] = [{} for _ in artifacts]
    for places in groups.values():
        names = varying([every[place] for place in places])
        for place in places:
            differing[place] = {name: every[place][name] for name in names if every[place].get(name) is not None}
    known = {*_COLUMNS, *(name for options in every for name in options)}
    needed = any(name.replace("-", "_") not in known for name in asked)
    rows = []
    for place, artifact in enumerate(artifacts):
        numbers = figures(artifact.kind, _reader(artifact)) if needed or place < _FIGURES_READ else {}
        stated = artifact.provenance.get("headline")
        text = stated if isinstance(stated, str) else headline(artifact.kind, _reader(artifact)) if numbers else None
        rows.append(Listed(artifact, tags.get(artifact.key, []), differing[place], every[place], numbers, text))
    return rows


def ordered(
    rows: Sequence[Listed], conditions: Sequence[Condition], sort: str | None, *, reverse: bool
) -> list[Listed]:
    """The rows for which all conditions hold, sorted by a value, those without one last.

    Raises:
        InputError: no row has anything of a name.
    """
    for name, option in [*((each.name, "where") for each in conditions), *([(sort, "sort")] if sort else [])]:
        _require_name(rows, name.replace("-", "_"), option)
    kept = [row for row in rows if all(condition.holds(row) for condition in conditions)]
    if sort is None:
        return kept[::-1] if reverse else kept
    name = sort.replace("-", "_")
    having = [row for row in kept if row.value(name) is not None]
    having.sort(key=lambda row: _sortable(row.value(name)), reverse=reverse)
    return [*having, *(row for row in kept if row.value(name) is None)]


@dataclass(frozen=True)
class ArtifactDifference:
    """How two artifacts differ.

    Attributes:
        a: one.
        b: the other.
        options: (name, value in a, value in b) of options that differ, also of what each was made from.
        figures: (name, value in a, value in b) of all figures that either has.
    """

    a: Artifact
    b: Artifact
    options: Sequence[tuple[str, Any, Any]]
    figures: Sequence[tuple[str, float | None, float | None]]

    def to_json(self) -> dict[str, Any]:
        """The difference as a JSON object."""
        return {
            "a": {"name": self.a.name, "key": self.a.key},
            "b": {"name": self.b.name, "key": self.b.key},
            "options": [{"name": name, "a": a, "b": b} for name, a, b in self.options],
            "figures": [{"name": name, "a": a, "b": b} for name, a, b in self.figures],
        }


def difference(store: Store, a: Artifact, b: Artifact) -> ArtifactDifference:
    """How two artifacts differ: in options, theirs and those of what they were made from, and in figures."""
    sides = [dict(_options_of(store.lineage(artifact))) for artifact in (a, b)]
    names = dict.fromkeys([*sides[0], *sides[1]])
    options = [(name, sides[0].get(name), sides[1].get(name)) for name in names]
    numbers = [dict(_figures_of(artifact)) for artifact in (a, b)]
    both = dict.fromkeys([*numbers[0], *numbers[1]])
    return ArtifactDifference(
        a,
        b,
        [each for each in options if each[1] != each[2]],
        [(name, numbers[0].get(name), numbers[1].get(name)) for name in both],
    )


def given(value: Any) -> Any:
    """An option's value; of one that a user names, what the user wrote, else its digest."""
    if isinstance(value, Mapping) and "digest" in value:
        return value["given"] if value["given"] is not None else value["digest"][0]
    if isinstance(value, list):
        return given(value[0]) if len(value) == 1 else ",".join(str(given(each)) for each in value)
    return value


def _options_of(node: Lineage, seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, Any]]:
    """Options of an artifact, and of what it was made from with the kind before them; nearest first."""
    artifact = node.artifact
    if artifact is None:
        yield node.role or "input", f"{node.name} (not in this store)"
        return
    prefix = f"{artifact.kind}." if node.role else ""
    yield f"{prefix}model", artifact.model
    for name, value in made_options(artifact.stage, artifact.document, artifact.provenance).items():
        yield f"{prefix}{name}", value
    yield f"{prefix}stage", f"{artifact.stage} version {artifact.stage_version}"
    for source in node.inputs:
        yield from _options_of(source)


def _figures_of(artifact: Artifact) -> Iterator[tuple[str, float]]:
    """All figures: of results, those of each condition and reading."""
    read = _reader(artifact)
    if artifact.kind != "results":
        yield from figures(artifact.kind, read).items()
        return
    try:
        rows = read(SOURCES["results"])["conditions"]
    except (KeyError, TypeError):
        return
    for row in rows:
        label = " ".join(filter(None, (str(row["condition"]), str(row.get("setting") or ""))))
        reading = f" by {row['reading']}" if row.get("reading") else ""
        for name in ("composite", "item_correlation", "distinctive_r"):
            value = row.get(name)
            if isinstance(value, int | float):
                yield f"{label}{reading}: {name}", float(value)


def _reader(artifact: Artifact) -> Callable[[str], Any]:
    """Reads small JSON files of an artifact; None of one that is large or damaged, which `store verify` says."""
    sizes = {entry["name"]: entry["size"] for entry in artifact.manifest["files"]}

    def read(name: str) -> Any:
        if sizes.get(name, _READ_BYTES) >= _READ_BYTES:
            return None
        with contextlib.suppress(IntegrityError, OSError):
            return artifact.read_json(name)
        return None

    return read


def _require_name(rows: Sequence[Listed], name: str, option: str) -> None:
    known = {*_COLUMNS, *(each for row in rows for each in (*row.every, *row.figures))}
    if name in known or not rows:
        return
    near = get_close_matches(name, sorted(known), 3, 0.5)
    meant = f", did you mean {' or '.join(near)}?" if near else ""
    raise InputError(
        f"--{option} {name!r}: no artifact has a column, an option or a figure of this name{meant}",
        hint=f"columns are {', '.join(_COLUMNS)}; `pasctl store ls --format csv` has a column for each of the others",
    )


def _comparable(value: Any, text: str) -> tuple[Any, Any]:
    """A value and what it is compared with: as numbers if both are, else as texts."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):
            return float(value), float(text)
    written = {True: "true", False: "false"}.get(value, value) if isinstance(value, bool) else value
    return str(written), text


def _sortable(value: Any) -> tuple[bool, float, str]:
    """Numbers before texts."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return False, float(value), ""
    return True, 0.0, str(value)
