"""What `pasctl store` prints: what the stages made, its names, and whether it is intact."""

from __future__ import annotations

import contextlib
import json as jsonlib
from collections.abc import Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, tell, write, write_line, write_path
from pasctl.cli.tables import results_table
from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.commands import store as declared
    from pasctl.stages.run import Run
    from pasctl.store import Artifact, Lineage, Store

_FIGURES_READ = 50  # artifacts whose figure is read from a file, where the manifest does not say it
_READ_BYTES = 1 << 18
_OF_STORE = ("objects", "staging", "refs", "index.sqlite")
_SHORT = 40  # signs of an option's value in a column


def ls(options: declared.StoreList, run: Run, *, json: bool) -> None:
    """List artifacts, newest first."""
    from pasctl.store.refs import KINDS

    opened = run.store
    _require_known("kind", options.kind, KINDS)
    artifacts = opened.artifacts(options.kind, options.model)
    if not artifacts and options.model is not None:
        _require_known("model", options.model, sorted({artifact.model for artifact in opened.artifacts()}))
    listed = list(zip(artifacts, _said(opened, artifacts), strict=True))
    if json:
        print_json([{**_summary(artifact), **said} for artifact, said in listed])
    elif not listed:
        tell(f"store {run.store.root} holds no artifacts")
    else:
        header = ["name", "key", "size", "made", "options", "figure", "tags"]
        write(align([header, *(_row(artifact, said) for artifact, said in listed)]))


def show(options: declared.StoreShow, run: Run, *, json: bool) -> None:
    """Show what an artifact is, what it was made from, and its figures."""
    opened = run.store
    artifact = opened.resolve(options.ref)
    if json:
        print_json({**artifact.manifest, "name": artifact.name, "path": str(artifact.path)})
        return
    write_line(f"{artifact.name}  {artifact.key}")
    write_line(f"content   {artifact.content_digest}")
    write_line(f"made      {artifact.created_at} by {artifact.stage} version {artifact.stage_version}")
    write_line(f"size      {size(artifact.size)} in {len(artifact.files())} files")
    for role, source in artifact.inputs.items():
        write_line(f"input     {role}: {source.name}")
    for user in opened.consumers(artifact.key):
        write_line(f"used by   {user.name}")
    for section in ("params", "model", "numerics"):
        for name, value in (artifact.document.get(section) or {}).items():
            write_line(f"{section:<9} {name} = {_plain(value)}")
    for name, value in artifact.provenance.items():
        write_line(f"run       {name} = {_plain(value)}")
    if artifact.kind == "results":
        write()
        write(results_table(artifact.read_json("metrics.json")))


def explain(options: declared.StoreExplain, run: Run, *, json: bool) -> None:
    """Say what differs between the keys of two artifacts."""
    differences = run.store.explain(options.a, options.b)
    if json:
        print_json([{"path": each.path, "a": each.a, "b": each.b} for each in differences])
    elif not differences:
        write_line("the same key")
    else:
        write(align([["what", "A", "B"], *([each.path, _plain(each.a), _plain(each.b)] for each in differences)]))


def lineage(options: declared.StoreLineage, run: Run, *, json: bool) -> None:
    """Show what an artifact was made from, down to the first stage."""
    opened = run.store
    tree = opened.lineage(opened.resolve(options.ref))
    if json:
        print_json(_lineage_json(tree))
    else:
        _print_lineage(tree, 0)


def tag(options: declared.StoreTag, run: Run, *, json: bool) -> None:
    """Give an artifact a name of your own."""
    artifact = run.store.tag(options.ref, options.name, force=options.force)
    if json:
        print_json({"tag": options.name, "name": artifact.name, "key": artifact.key})
    else:
        write_line(f"{options.name} -> {artifact.name}")


def verify(options: declared.StoreVerify, run: Run, *, json: bool) -> None:
    """Check that the store holds what its manifests and its index say."""
    root = run.store.root
    if not any((root / name).exists() for name in _OF_STORE):
        raise MissingError(f"there is no store at {root}", hint="give its folder with --store")
    problems = run.store.verify(deep=options.deep)
    if json:
        print_json([{**asdict(problem), "note": problem.note} for problem in problems])
    else:
        for problem in problems:
            about = " ".join(filter(None, (problem.artifact, problem.file)))
            advice = f" ({problem.advice})" if problem.advice else ""
            write_line(f"{problem.grade}: {about}: {problem.what}{advice}")
    damaged = sum(problem.damaged for problem in problems)
    if damaged:
        raise IntegrityError(
            f"store {root}: {damaged} thing{'s are' if damaged > 1 else ' is'} damaged",
            hint="each line above says what to do; everything else in the store can be used",
        )
    if not json:
        stale = sum(problem.grade == "stale" for problem in problems)
        also = f", {stale} stale" if stale else ""
        write_line(
            f"store {root} is sound{also}{'' if options.deep else ' (names and sizes; --deep reads every byte)'}"
        )


def reindex(options: declared.StoreReindex, run: Run, *, json: bool) -> None:
    """Build the index anew from what is on disk."""
    counts = run.store.reindex()
    figures = {name: getattr(counts, name) for name in ("artifacts", "names", "tags", "broken")}
    if json:
        print_json(figures)
    else:
        write_line(", ".join(f"{name} {value}" for name, value in figures.items()))


def path(options: declared.StorePath, run: Run, *, json: bool) -> None:
    """Print the folder of an artifact, for other programs."""
    artifact = run.store.resolve(options.ref)
    if json:
        print_json({"name": artifact.name, "path": str(artifact.path)})
    else:
        write_path(artifact.path)


def _require_known(what: str, given: str | None, known: Sequence[str]) -> None:
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


def _summary(artifact: Artifact) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "key": artifact.key,
        "content_digest": artifact.content_digest,
        "size": artifact.size,
        "created_at": artifact.created_at,
        "path": str(artifact.path),
    }


def _said(opened: Store, artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """What is said of each artifact beside its manifest: its tags, the options that others differ in, its figure."""
    tags: dict[str, list[str]] = {}
    for name, key in opened.tags().items():
        tags.setdefault(key, []).append(name)
    return [
        {
            "tags": tags.get(artifact.key, []),
            "options": options,
            "figure": _figure(artifact, read=place < _FIGURES_READ),
        }
        for place, (artifact, options) in enumerate(zip(artifacts, _options(artifacts), strict=True))
    ]


def _options(artifacts: Sequence[Artifact]) -> list[dict[str, Any]]:
    """Of each artifact, the options that are not the same in all artifacts of its kind, model and plain label."""
    from pasctl.stages.made_options import made_options
    from pasctl.store.labels import varying

    known = [made_options(artifact.stage, artifact.document, artifact.provenance) for artifact in artifacts]
    groups: dict[tuple[str, str, str], list[int]] = {}
    for place, artifact in enumerate(artifacts):
        groups.setdefault((artifact.kind, artifact.model, artifact.plain_label), []).append(place)
    said: list[dict[str, Any]] = [{} for _ in artifacts]
    for places in groups.values():
        names = varying([known[place] for place in places])
        for place in places:
            said[place] = {name: known[place][name] for name in names if known[place].get(name) is not None}
    return said


def _figure(artifact: Artifact, *, read: bool) -> str | None:
    """The headline figure: what the manifest says, else, of the newest, what a small file of the artifact says."""
    from pasctl.stages.headline import SOURCES, headline

    stated = artifact.provenance.get("headline")
    if isinstance(stated, str):
        return stated
    sizes = {entry["name"]: entry["size"] for entry in artifact.manifest["files"]}
    if not read or sizes.get(SOURCES.get(artifact.kind, ""), _READ_BYTES) >= _READ_BYTES:
        return None
    with contextlib.suppress(IntegrityError, OSError):  # which `store verify` says
        return headline(artifact.kind, artifact.read_json) or None
    return None


def _row(artifact: Artifact, said: dict[str, Any]) -> list[str]:
    made = artifact.created_at[:19].replace("T", " ")
    options = "; ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in said["options"].items())
    return [
        artifact.name,
        artifact.short_key,
        size(artifact.size),
        made,
        options,
        said["figure"] or "",
        ",".join(said["tags"]),
    ]


def _short(value: Any) -> str:
    """An option's value in a column."""
    if isinstance(value, dict) and "digest" in value:
        return _short(value["given"] if value["given"] is not None else str(value["digest"][0])[:6])
    if isinstance(value, list):
        return _short(",".join(map(_short, value)))
    text = f"{value:g}" if isinstance(value, float) else _plain(value)
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 3]}..."


def _lineage_json(node: Lineage) -> dict[str, Any]:
    return {
        "role": node.role,
        "key": node.key,
        "name": node.name,
        "present": node.artifact is not None,
        "inputs": [_lineage_json(each) for each in node.inputs],
    }


def _print_lineage(node: Lineage, depth: int) -> None:
    gone = "" if node.artifact is not None else "  (not in this store)"
    write_line(f"{'  ' * depth}{node.name}{gone}")
    for each in node.inputs:
        _print_lineage(each, depth + 1)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
