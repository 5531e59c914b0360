"""What `pasctl store` prints: what the stages made, its names, and whether it is intact."""

from __future__ import annotations

import json as jsonlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, write, write_line, write_path
from pasctl.cli.tables import results_table
from pasctl.errors import IntegrityError, MissingError
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.commands import store as declared
    from pasctl.stages.run import Run
    from pasctl.store import Lineage

_OF_STORE = ("objects", "staging", "refs", "index.sqlite")


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
            write_line(f"{section:<9} {name} = {plain(value)}")
    for name, value in artifact.provenance.items():
        write_line(f"run       {name} = {plain(value)}")
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
        write(align([["what", "A", "B"], *([each.path, plain(each.a), plain(each.b)] for each in differences)]))


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


def plain(value: Any) -> str:
    """A value of a manifest as text."""
    return value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
