"""Verification: does the store hold what it says?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pasctl.errors import IntegrityError, PasctlError
from pasctl.store.artifact import Artifact
from pasctl.store.disk import TEMPORARY
from pasctl.store.keys import file_digest, is_key, key_hash, make_key
from pasctl.store.manifest import MANIFEST, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from pasctl.store.index import Index
    from pasctl.store.refs import Refs

Grade = Literal["note", "stale", "damaged"]
REINDEX = "`pasctl store reindex` mends that"
_ODD = (PasctlError, OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError)
"""What reading somebody else's files may raise; each is a finding, and the next file is looked at."""


@dataclass(frozen=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        artifact: what it is about.
        file: of the artifact; "" where it is about no file.
        what: what was expected, and what was found.
        grade: "note": worth knowing, all results are there and found; "stale": a name, tag, input or row of the index
            that means nothing any more, or something else; "damaged": bytes are not those that were committed.
        advice: what to do about it; "" where nothing need be done.
    """

    artifact: str
    file: str
    what: str
    grade: Grade
    advice: str = ""

    @property
    def note(self) -> bool:
        """Whether it is merely worth knowing."""
        return self.grade == "note"

    @property
    def damaged(self) -> bool:
        """Whether bytes are not those that were committed."""
        return self.grade == "damaged"


def verify(objects: Path, refs: Refs, index: Index, *, deep: bool = False) -> list[Problem]:
    """Every problem of a store, in a fixed order; what cannot be read is one of them.

    Manifests parse, files are there in the right size, names and tags point to artifacts, the index says what the disk
    says, inputs are there (a missing one is a note: it may have been removed on purpose). `deep` also reads every byte
    and makes every key again.
    """
    problems: list[Problem] = []
    versions: dict[str, tuple[str, int]] = {}
    problems += _survived("refs", _versions(refs, versions))
    artifacts: dict[str, Artifact] = {}
    for folder in sorted(objects.glob("*/*/*")):
        problems += _survived(folder.name[:12], _manifest(folder, versions, artifacts))
    for artifact in artifacts.values():
        problems += _survived(_label(artifact), _files(artifact, deep))
        problems += _survived(_label(artifact), _inputs(artifact, artifacts))
        if versions.get(artifact.key, ("", 0))[0] != f"{artifact.kind}/{artifact.model}/{artifact.label}":
            problems.append(Problem(_label(artifact), "", "has no version", "note", REINDEX))
    problems += _survived("refs", _refs(refs, artifacts))
    numbers = {key: version for key, (_, version) in versions.items()}
    problems += _survived("index", _index(index, refs, artifacts, numbers))
    return problems


def _survived(artifact: str, findings: Iterable[Problem]) -> Iterator[Problem]:
    """The findings; and where looking for them fails, that."""
    try:
        yield from findings
    except _ODD as error:
        words = error.message if isinstance(error, PasctlError) else f"{type(error).__name__}: {error}"
        yield Problem(artifact, "", f"cannot be checked: {words}", "damaged", "look at its permissions and at the disk")


def _versions(refs: Refs, versions: dict[str, tuple[str, int]]) -> Iterator[Problem]:
    """Fills in name and version by key; finds nothing by itself."""
    for name, version, key in _named(refs):
        versions[key] = (name, version)
    yield from ()


def _manifest(folder: Path, versions: dict[str, tuple[str, int]], artifacts: dict[str, Artifact]) -> Iterator[Problem]:
    """Enters the artifact of a folder."""
    try:
        manifest = read_manifest(folder)
    except FileNotFoundError:
        yield Problem(folder.name[:12], MANIFEST, f"{folder} has no manifest", "damaged", _again(folder))
    except NotADirectoryError:
        yield Problem(folder.name[:12], "", f"{folder} is a file, expected an artifact's folder", "note")
    except (IntegrityError, OSError, ValueError, RecursionError) as error:
        words = error.message if isinstance(error, IntegrityError) else f"{folder / MANIFEST}: {error}"
        yield Problem(folder.name[:12], MANIFEST, words, "damaged", _again(folder))
    else:
        key = manifest["key"]
        artifacts[key] = Artifact(key, manifest, folder, version=versions.get(key, ("", None))[1])


def _again(folder: Path) -> str:
    return f"put the file back from a copy, or move {folder} out of the store and run the stage again"


def _label(artifact: Artifact) -> str:
    return f"{artifact.name} ({artifact.short_key})"


def _named(refs: Refs) -> Iterator[tuple[str, int, str]]:
    for name in refs.names():
        for version, key in refs.versions(name).items():
            yield str(name), version, key


def _files(artifact: Artifact, deep: bool) -> Iterator[Problem]:
    expected = {entry["name"]: entry for entry in artifact.manifest["files"]}
    for name, entry in sorted(expected.items()):
        try:
            fault = _fault(artifact.path / name, entry["size"], entry["sha256"] if deep else None)
        except (OSError, ValueError) as error:
            fault = f"cannot be read: {error}"
        if fault is not None:
            yield Problem(_label(artifact), name, fault, "damaged", _again(artifact.path))
    for path in sorted(artifact.path.rglob("*")):
        name = path.relative_to(artifact.path).as_posix()
        if path.is_file() and name not in expected and name != MANIFEST and TEMPORARY not in name:
            yield Problem(_label(artifact), name, "no file of this artifact", "note")
    if deep and (other := make_key(artifact.document)) != artifact.key:
        what = f"its key document has the key {other}, not {artifact.key}"
        yield Problem(_label(artifact), MANIFEST, what, "damaged", _again(artifact.path))


def _fault(path: Path, size: int, sha256: str | None) -> str | None:
    """What is wrong with a file; None if nothing is."""
    if not path.is_file():
        return "the file is missing"
    if path.stat().st_size != size:
        return f"expected {size} bytes, found {path.stat().st_size}"
    if sha256 is not None and (other := file_digest(path)) != sha256:
        return f"expected sha256 {sha256}, found {other}"
    return None


def _inputs(artifact: Artifact, artifacts: dict[str, Artifact]) -> Iterator[Problem]:
    for role, source in sorted(artifact.inputs.items()):
        held = artifacts.get(source.key)
        if held is None:
            what = f"its input {role}, {source.name} ({key_hash(source.key)[:12]}), is not in the store"
            yield Problem(_label(artifact), "", what, "note")
        elif held.content_digest != source.content_digest:
            what = f"its input {role}, {source.name}, was made again since and its content differs"
            yield Problem(_label(artifact), "", what, "stale", "run its stage again for a result of the new one")


def _refs(refs: Refs, artifacts: dict[str, Artifact]) -> Iterator[Problem]:
    for name, version, key in _named(refs):
        held = artifacts.get(key)
        if held is None:
            yield Problem(f"{name}@v{version}", "", _pointing(key), "stale")
        elif name != f"{held.kind}/{held.model}/{held.label}":
            what = f"points to {_label(held)}, which has another name"
            yield Problem(f"{name}@v{version}", "", what, "stale", f"remove refs/names/{name}/v{version}")
    for tag, key in sorted(refs.tags().items()):
        if key not in artifacts:
            yield Problem(f"tag {tag}", "", _pointing(key), "stale", f"`pasctl store tag REF {tag} --force` moves it")


def _pointing(key: str) -> str:
    return f"points to {key_hash(key)[:12]}, which is not in the store" if is_key(key) else "holds no key"


def _index(index: Index, refs: Refs, artifacts: dict[str, Artifact], versions: dict[str, int]) -> Iterator[Problem]:
    file = "index.sqlite"
    try:
        rows = {row.key: row for row in index.rows()}
        tags = index.tags()
    except PasctlError as error:
        grade: Grade = "damaged" if isinstance(error, IntegrityError) else "stale"
        yield Problem("index", file, error.message, grade, REINDEX if grade == "damaged" else error.hint or "")
        return
    for key in sorted(rows.keys() - artifacts.keys()):
        what = f"lists {rows[key].kind} {key_hash(key)[:12]}, which is not on disk"
        yield Problem("index", file, what, "stale", REINDEX)
    for key in sorted(artifacts.keys() - rows.keys()):
        yield Problem("index", file, f"does not list {_label(artifacts[key])}", "note", REINDEX)
    for key in sorted(artifacts.keys() & rows.keys()):
        row, artifact = rows[key], artifacts[key]
        if (row.kind, row.content_digest, row.version) != (artifact.kind, artifact.content_digest, versions.get(key)):
            yield Problem("index", file, f"has an outdated row for {_label(artifact)}", "note", REINDEX)
    if tags != refs.tags():
        yield Problem("index", file, "its tags are not those on disk", "note", REINDEX)
