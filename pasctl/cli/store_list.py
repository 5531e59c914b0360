"""What `pasctl store ls` and `store diff` print: artifacts as a table, and how two of them differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pasctl.cli.output import print_json, tell, write
from pasctl.cli.store import plain
from pasctl.cli.written_table import Cell, written_table
from pasctl.errors import InputError

if TYPE_CHECKING:
    from pasctl.commands import store as declared
    from pasctl.stages.listing import Listed
    from pasctl.stages.run import Run

_SHORT = 40  # characters of an option's value in a column


def ls(options: declared.StoreList, run: Run, *, json: bool) -> None:
    """List artifacts."""
    from pasctl.stages.listing import listed, ordered, parse_condition
    from pasctl.store.refs import KINDS

    opened = run.store
    require_known("kind", options.kind, KINDS)
    conditions = [parse_condition(text) for text in options.where]
    artifacts = opened.artifacts(options.kind, options.model)
    if not artifacts and options.model is not None:
        require_known("model", options.model, sorted({artifact.model for artifact in opened.artifacts()}))
    names = [condition.name for condition in conditions] + ([options.sort] if options.sort else [])
    rows = listed(opened, artifacts, asked=names)
    rows = ordered(rows, conditions, options.sort, reverse=options.reverse)[: options.limit]
    if json or options.format == "json":
        print_json([row.to_json() for row in rows])
    elif not rows and options.format == "table":
        none = "no artifact for which all of that holds" if artifacts else "no artifacts"
        tell(f"store {opened.root} holds {none}")
    elif options.format == "csv":
        write(written_table(*_columns(rows), form="csv"))
    else:
        header = ["name", "key", "size", "made", "options", "figure", "tags"]
        write(written_table(header, [_row(row) for row in rows], form=options.format))


def diff(options: declared.StoreDiff, run: Run, *, json: bool) -> None:
    """Show how two artifacts differ."""
    from pasctl.stages.listing import difference

    found = difference(run.store, run.store.resolve(options.a), run.store.resolve(options.b))
    if json or options.format == "json":
        print_json(found.to_json())
        return
    header = ["what", found.a.name, found.b.name, "difference"]
    rows = [[what, _value(a), _value(b), ""] for what, a, b in found.options]
    rows += [[what, *(_figure(value) for value in (a, b)), _change(a, b)] for what, a, b in found.figures]
    if rows or options.format != "table":
        write(written_table(header, rows, form=options.format))
    else:
        tell(f"{found.a.name} and {found.b.name} have the same options and the same figures")


def _row(row: Listed) -> list[Cell]:
    artifact = row.artifact
    made = artifact.created_at[:19].replace("T", " ")
    options = "; ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in row.options.items())
    return [
        artifact.name,
        artifact.short_key,
        _size(artifact.size),
        made,
        options,
        row.figure or "",
        ",".join(row.tags),
    ]


def _columns(rows: Sequence[Listed]) -> tuple[list[str], list[list[Cell]]]:
    """A column for each option and figure, for other programs."""
    options = list(dict.fromkeys(name for row in rows for name in row.options))
    figures = list(dict.fromkeys(name for row in rows for name in row.figures))
    plain_columns: dict[str, Callable[[Listed], Cell]] = {
        "name": lambda row: row.artifact.name,
        "key": lambda row: row.artifact.key,
        "kind": lambda row: row.artifact.kind,
        "model": lambda row: row.artifact.model,
        "bytes": lambda row: row.artifact.size,
        "made": lambda row: row.artifact.created_at,
        "tags": lambda row: " ".join(row.tags),
    }
    body = [
        [
            *(cell(row) for cell in plain_columns.values()),
            *(_value(row.options[name]) if name in row.options else "" for name in options),
            *(row.figures.get(name, "") for name in figures),
        ]
        for row in rows
    ]
    return [*plain_columns, *options, *figures], body


def _size(count: int) -> str:
    from pasctl.report.blocks import size

    return size(count)


def _short(value: Any) -> str:
    """An option's value in a column."""
    text = _value(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def _value(value: Any) -> str:
    """An option's value; of one that a user names, what the user wrote."""
    if value is None:
        return "-"
    if isinstance(value, Mapping) and "digest" in value:
        return _value(value["given"] if value["given"] is not None else str(value["digest"][0])[:6])
    if isinstance(value, list):
        return ",".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else plain(value)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _change(a: float | None, b: float | None) -> str:
    return "" if a is None or b is None else f"{b - a:+.4g}"


def require_known(what: str, given: str | None, known: Sequence[str]) -> None:
    """Refuse a filter that nothing can pass.

    Raises:
        InputError: it is none of those known.
    """
    if given is None or given in known:
        return
    near = get_close_matches(given, known, 3, 0.5)
    meant = f", did you mean {' or '.join(near)}?" if near else ""
    there = f"expected one of {', '.join(known)}" if known else "the store holds no artifacts"
    raise InputError(f"--{what} {given!r} is unknown{meant}", hint=there)
