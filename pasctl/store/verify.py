"""Verification: does the store hold what it says?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.errors import IntegrityError, PasctlError
from pasctl.store.artifact import Artifact
from pasctl.store.disk import TEMPORARY
from pasctl.store.keys import file_digest, is_key, key_hash, make_key
from pasctl.store.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pasctl.store.index import Index
    from pasctl.store.refs import Refs


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be. A note is worth knowing but damages nothing."""

    artifact: str
    file: str
    what: str
    note: bool = False


def verify(objects: Path, refs: Refs, index: Index, *, deep: bool = False) -> list[Problem]:
    """Every problem of a store, in a fixed order.

    Manifests parse, files are there in the right size, names and tags point to artifacts, the index says what the disk
    says, inputs are there (a missing one is a note: it may have been removed on purpose). `deep` also reads every byte
    and makes every key again.
    """
    versions = {key: (name, version) for name, version, key in _named(refs)}
    artifacts: dict[str, Artifact] = {}
    problems: list[Problem] = []
    for folder in sorted(objects.glob("*/*/*")):
        try:
            manifest = read_manifest(folder)
        except FileNotFoundError:
            problems.append(Problem(folder.name[:12], MANIFEST, f"{folder} has no manifest"))
        except (IntegrityError, OSError) as error:
            problems.append(Problem(folder.name[:12], MANIFEST, str(error)))
        else:
            key = manifest["key"]
            artifacts[key] = Artifact(key, manifest, folder, version=versions.get(key, ("", None))[1])
    for artifact in artifacts.values():
        problems += _files(artifact, deep)
        problems += _inputs(artifact, artifacts)
        if versions.get(artifact.key, ("", 0))[0] != f"{artifact.kind}/{artifact.model}/{artifact.label}":
            problems.append(
                Problem(_label(artifact), "", "has no version; `pasctl store reindex` gives it one", note=True)
            )
    problems += _refs(refs, artifacts)
    problems += _index(index, refs, artifacts, {key: version for key, (_, version) in versions.items()})
    return problems


def _label(artifact: Artifact) -> str:
    return f"{artifact.name} ({artifact.short_key})"


def _named(refs: Refs) -> Iterator[tuple[str, int, str]]:
    for name in refs.names():
        for version, key in refs.versions(name).items():
            yield str(name), version, key


def _files(artifact: Artifact, deep: bool) -> Iterator[Problem]:
    expected = {entry["name"]: entry for entry in artifact.manifest["files"]}
    for name, entry in sorted(expected.items()):
        path = artifact.path / name
        if not path.is_file():
            yield Problem(_label(artifact), name, "the file is missing")
        elif path.stat().st_size != entry["size"]:
            yield Problem(_label(artifact), name, f"expected {entry['size']} bytes, found {path.stat().st_size}")
        elif deep and (found := file_digest(path)) != entry["sha256"]:
            yield Problem(_label(artifact), name, f"expected sha256 {entry['sha256']}, found {found}")
    for path in sorted(artifact.path.rglob("*")):
        name = path.relative_to(artifact.path).as_posix()
        if path.is_file() and name not in expected and name != MANIFEST and TEMPORARY not in name:
            yield Problem(_label(artifact), name, "no file of this artifact", note=True)
    if deep and (found := make_key(artifact.document)) != artifact.key:
        yield Problem(_label(artifact), MANIFEST, f"its key document has the key {found}, not {artifact.key}")


def _inputs(artifact: Artifact, artifacts: dict[str, Artifact]) -> Iterator[Problem]:
    for role, source in sorted(artifact.inputs.items()):
        held = artifacts.get(source.key)
        if held is None:
            what = f"its input {role}, {source.name} ({key_hash(source.key)[:12]}), is not in the store"
            yield Problem(_label(artifact), "", what, note=True)
        elif held.content_digest != source.content_digest:
            what = f"its input {role}, {source.name}, was made again since and its content differs"
            yield Problem(_label(artifact), "", what, note=True)


def _refs(refs: Refs, artifacts: dict[str, Artifact]) -> Iterator[Problem]:
    for name, version, key in _named(refs):
        held = artifacts.get(key)
        if held is None:
            yield Problem(f"{name}@v{version}", "", _pointing(key))
        elif name != f"{held.kind}/{held.model}/{held.label}":
            yield Problem(f"{name}@v{version}", "", f"points to {_label(held)}, which has another name")
    for tag, key in sorted(refs.tags().items()):
        if key not in artifacts:
            yield Problem(f"tag {tag}", "", _pointing(key))


def _pointing(key: str) -> str:
    return f"points to {key_hash(key)[:12]}, which is not in the store" if is_key(key) else "holds no key"


def _index(index: Index, refs: Refs, artifacts: dict[str, Artifact], versions: dict[str, int]) -> Iterator[Problem]:
    try:
        rows = {row.key: row for row in index.rows()}
        tags = index.tags()
    except PasctlError as error:
        yield Problem("index", "index.sqlite", error.message)
        return
    for key in sorted(rows.keys() - artifacts.keys()):
        yield Problem("index", "index.sqlite", f"lists {rows[key].kind} {key_hash(key)[:12]}, which is not on disk")
    for key in sorted(artifacts.keys() - rows.keys()):
        yield Problem("index", "index.sqlite", f"does not list {_label(artifacts[key])}")
    for key in sorted(artifacts.keys() & rows.keys()):
        row, artifact = rows[key], artifacts[key]
        if (row.kind, row.content_digest, row.version) != (artifact.kind, artifact.content_digest, versions.get(key)):
            yield Problem("index", "index.sqlite", f"has an outdated row for {_label(artifact)}")
    if tags != refs.tags():
        yield Problem("index", "index.sqlite", "its tags are not those on disk")
