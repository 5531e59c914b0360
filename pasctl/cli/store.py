"""`pasctl store`: look at what the stages made, name it, and check it."""

from __future__ import annotations

import json as jsonlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pasctl.cli import options as o
from pasctl.cli.output import print_json
from pasctl.cli.tables import align, results_table
from pasctl.errors import IntegrityError
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.store import Artifact, Lineage, Store

app = typer.Typer(
    help="Look at the store: list, show, compare, trace, tag, check.", no_args_is_help=True, rich_markup_mode=None
)

Ref = Annotated[
    str,
    typer.Argument(help="kind/model/label[@vN], a tag, a key or its first digits, or latest.", metavar="REF"),
]


def _open(path: str) -> Store:
    from pasctl.store import Store

    return Store(path)


@app.command("ls")
def ls(
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="activations, probes, directions, strengths, results, export, memory, answers or trials."
        ),
    ] = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="Of this model: its name in REFs.")] = None,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """List artifacts, newest first."""
    opened = _open(store)
    artifacts = opened.artifacts(kind, model)
    tags: dict[str, list[str]] = {}
    for name, key in opened.tags().items():
        tags.setdefault(key, []).append(name)
    if json:
        print_json([_summary(artifact, tags) for artifact in artifacts])
        return
    if not artifacts:
        print(f"store {store} holds no artifacts", file=sys.stderr)
        return
    rows = [["name", "key", "size", "made", "tags"]]
    for artifact in artifacts:
        made = artifact.created_at[:19].replace("T", " ")
        rows.append(
            [artifact.name, artifact.short_key, size(artifact.size), made, ",".join(tags.get(artifact.key, []))]
        )
    print(align(rows))


@app.command("show")
def show(ref: Ref, store: o.StoreDir = "artifacts", json: o.Json = False) -> None:
    """Show what an artifact is, what it was made from, and its figures."""
    opened = _open(store)
    artifact = opened.resolve(ref)
    if json:
        print_json({**artifact.manifest, "name": artifact.name, "path": str(artifact.path)})
        return
    print(f"{artifact.name}  {artifact.key}")
    print(f"content   {artifact.content_digest}")
    print(f"made      {artifact.created_at} by {artifact.stage} version {artifact.stage_version}")
    print(f"size      {size(artifact.size)} in {len(artifact.files())} files")
    for role, source in artifact.inputs.items():
        print(f"input     {role}: {source.name}")
    for user in opened.consumers(artifact.key):
        print(f"used by   {user.name}")
    for section in ("params", "model", "numerics"):
        for name, value in (artifact.document.get(section) or {}).items():
            print(f"{section:<9} {name} = {_plain(value)}")
    for name, value in artifact.provenance.items():
        print(f"run       {name} = {_plain(value)}")
    if artifact.kind == "results":
        print()
        print(results_table(artifact.read_json("metrics.json")))


@app.command("explain")
def explain(
    a: Annotated[str, typer.Argument(metavar="A")],
    b: Annotated[str, typer.Argument(metavar="B")],
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Say what differs between the keys of two artifacts."""
    differences = _open(store).explain(a, b)
    if json:
        print_json([{"path": each.path, "a": each.a, "b": each.b} for each in differences])
    elif not differences:
        print("the same key")
    else:
        print(align([["what", "A", "B"], *([each.path, _plain(each.a), _plain(each.b)] for each in differences)]))


@app.command("lineage")
def lineage(ref: Ref, store: o.StoreDir = "artifacts", json: o.Json = False) -> None:
    """Show what an artifact was made from, down to the first stage."""
    opened = _open(store)
    tree = opened.lineage(opened.resolve(ref))
    if json:
        print_json(_lineage_json(tree))
    else:
        _print_lineage(tree, 0)


@app.command("tag")
def tag(
    ref: Ref,
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits, dot, dash, underscore.", metavar="NAME")],
    force: Annotated[bool, typer.Option("--force", help="Move a tag that names something else.")] = False,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Give an artifact a name of your own."""
    artifact = _open(store).tag(ref, name, force=force)
    if json:
        print_json({"tag": name, "name": artifact.name, "key": artifact.key})
    else:
        print(f"{name} -> {artifact.name}")


@app.command("verify")
def verify(
    deep: Annotated[bool, typer.Option("--deep", help="Read every file and compare its digest.")] = False,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Check that the store holds what its manifests and its index say."""
    problems = _open(store).verify(deep=deep)
    if json:
        print_json([{"artifact": p.artifact, "file": p.file, "what": p.what, "note": p.note} for p in problems])
    else:
        for problem in problems:
            print(f"{'note' if problem.note else 'problem'}: {problem.artifact} {problem.file or ''}: {problem.what}")
    broken = sum(not problem.note for problem in problems)
    if broken:
        raise IntegrityError(
            f"store {store} has {broken} problem{'s' if broken > 1 else ''}",
            hint="remove the folders named and run the stages again; `pasctl store reindex` mends the index",
        )
    if not json:
        print(f"store {store} is sound{'' if deep else ' (names and sizes; --deep reads every byte)'}")


@app.command("reindex")
def reindex(store: o.StoreDir = "artifacts", json: o.Json = False) -> None:
    """Build the index anew from what is on disk."""
    counts = _open(store).reindex()
    figures = {name: getattr(counts, name) for name in ("artifacts", "names", "tags", "broken")}
    if json:
        print_json(figures)
    else:
        print(", ".join(f"{name} {value}" for name, value in figures.items()))


@app.command("path")
def path(ref: Ref, store: o.StoreDir = "artifacts", json: o.Json = False) -> None:
    """Print the folder of an artifact, for other programs."""
    artifact = _open(store).resolve(ref)
    if json:
        print_json({"name": artifact.name, "path": str(artifact.path)})
    else:
        print(artifact.path)


def _summary(artifact: Artifact, tags: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "name": artifact.name,
        "key": artifact.key,
        "content_digest": artifact.content_digest,
        "size": artifact.size,
        "created_at": artifact.created_at,
        "tags": tags.get(artifact.key, []),
        "path": str(artifact.path),
    }


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
    print(f"{'  ' * depth}{node.name}{gone}")
    for each in node.inputs:
        _print_lineage(each, depth + 1)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else jsonlib.dumps(value, ensure_ascii=False)
