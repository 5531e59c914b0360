"""Removal of artifacts: what may go, and how it goes.

A removal holds the index for writing from its look at the store to its last rename. Whoever notes a use, a tag or a
version of an artifact does so in the index too, and looks at the disk afterwards: one of the two sees the other.

An artifact goes in this order: its version is retired, its folder is renamed into trash/, its row in the index goes
with the commit, and trash/ is emptied when the index is free again. Consumers go before what they were made from. A
process killed on the way leaves an artifact without a version, which the next look gives back; or a row or a version
of something that is gone, and a full trash/, which the next removal clears.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pasctl.errors import BusyError, InputError, IntegrityError, MissingError
from pasctl.store import schema
from pasctl.store.artifact import Artifact
from pasctl.store.database import compact
from pasctl.store.disk import disk_errors, make_durable, make_folder
from pasctl.store.keys import KEY_PREFIX
from pasctl.store.manifest import LABEL_SEPARATOR, read_manifest
from pasctl.store.refs import Name
from pasctl.store.registration import register
from pasctl.store.usage import freed_bytes
from pasctl.store.uses import InUse, forget_ended, in_use

if TYPE_CHECKING:
    from pasctl.store.store import Store

TRASH = "trash"
_LISTED = 3


@dataclass(frozen=True)
class Catalog:
    """A store at one moment.

    Attributes:
        artifacts: those whose manifest can be read, by key.
        present: the keys of all object folders, readable or not.
        used_at: when each was last made or asked for, by key, as far as the index knows.
        tags: tag names by key.
        uses: what running work reads and writes.
    """

    artifacts: Mapping[str, Artifact]
    present: frozenset[str]
    used_at: Mapping[str, str]
    tags: Mapping[str, list[str]]
    uses: InUse

    def consumers(self, keys: Iterable[str]) -> dict[str, list[Artifact]]:
        """By key, the artifacts that were made directly from it."""
        users: dict[str, list[Artifact]] = {key: [] for key in keys}
        for artifact in self.artifacts.values():
            for source in artifact.inputs.values():
                if source.key in users and artifact not in users[source.key]:
                    users[source.key].append(artifact)
        return users


Choose = Callable[[Catalog], list[Artifact]]
"""Gives the artifacts to remove."""


@dataclass(frozen=True)
class Removal:
    """What was removed, or would be: artifacts, and the bytes that the disk gets back."""

    artifacts: list[Artifact]
    bytes: int


def remove(
    store: Store, choose: Choose, *, dry_run: bool = False, also: Callable[[Catalog], None] = lambda catalog: None
) -> Removal:
    """Removes the artifacts that `choose` gives; `also` does more while nobody else can begin or end work.

    Raises:
        IntegrityError: the index cannot be used, so that nobody could say what is in use.
        StoreError: the store cannot be written.
    """
    if dry_run:
        with store.index.read() as connection:
            catalog = _catalog(store, connection)
        chosen = choose(catalog)
        also(catalog)
        return Removal(_consumers_first(chosen), freed_bytes(artifact.path for artifact in chosen))
    with store.index.write() as connection, disk_errors(store.root):
        catalog = _catalog(store, connection)
        chosen = _consumers_first(choose(catalog))
        freed = freed_bytes(artifact.path for artifact in chosen)
        for artifact in chosen:
            store.refs.retire(Name.of(artifact), artifact.key)
            discard(store.root, artifact.path)
        gone = {artifact.key for artifact in chosen}
        _finish_earlier(store, connection, catalog.present - gone)
        forget_ended(connection, catalog.uses)
        also(catalog)
    for artifact in catalog.artifacts.values():
        if artifact.version is None and artifact.key not in gone:  # a removal was killed before it came further
            with contextlib.suppress(MissingError):
                register(store.refs, store.index, artifact)
    empty_trash(store.root)
    return Removal(chosen, freed)


def remove_named(store: Store, refs: Iterable[str], *, cascade: bool = False, dry_run: bool = False) -> Removal:
    """Removes the artifacts that references mean; with `cascade` also all that was made from them.

    Raises:
        MissingError: a reference matches nothing.
        InputError: something was made from one of them and `cascade` is not given; or one has a tag.
        BusyError: running work reads or writes one of them.
    """
    targets = [store.resolve(ref) for ref in refs]

    def choose(catalog: Catalog) -> list[Artifact]:
        chosen = {target.key: target for target in targets}
        for target in targets:
            if target.key not in catalog.artifacts:
                raise MissingError(f"{target.name} was removed from the store meanwhile")
        _with_consumers(catalog, chosen, cascade=cascade)
        for artifact in chosen.values():
            _require_free(catalog, artifact)
        return list(chosen.values())

    return remove(store, choose, dry_run=dry_run)


def wipe(store: Store, removed: Iterable[Artifact]) -> None:
    """Lets no file of the store quote what was removed: neither names made of its options nor free pages of the index.

    Raises:
        StoreError: the store cannot be written.
    """
    for name in {Name.of(artifact) for artifact in removed}:
        if not store.refs.versions(name):
            store.refs.forget(name, wholly=LABEL_SEPARATOR in name.label)
    compact(store.index.path)


def discard(root: Path, path: Path) -> None:
    """Renames a file or folder into trash/: from then on nobody has it, and anybody may delete it."""
    trash = root / TRASH
    make_folder(trash)
    path.rename(trash / f"{path.name[:64]}-{secrets.token_hex(8)}")
    make_durable(trash)


def empty_trash(root: Path) -> None:
    """Deletes what is in trash/; another process may be at it too.

    Raises:
        StoreError: something in there cannot be deleted.
    """
    trash = root / TRASH
    for path in sorted(trash.iterdir()) if trash.is_dir() else ():
        delete(path)


def delete(path: Path) -> None:
    """Deletes a file or a folder that nobody uses; it may be gone already, or another process may be deleting it.

    Raises:
        StoreError: the disk refuses.
    """
    with disk_errors(path), contextlib.suppress(FileNotFoundError):
        if not path.is_dir() or path.is_symlink():
            path.unlink()
            return
        for last in (False, False, True):  # calls fail where the other process was faster
            shutil.rmtree(path, ignore_errors=not last)
            if not path.exists():
                return


def _catalog(store: Store, connection: sa.Connection) -> Catalog:
    versions = {key: version for name in store.refs.names() for version, key in store.refs.versions(name).items()}
    artifacts, present = {}, set()
    for folder in store.folders():
        present.add(KEY_PREFIX + folder.name)
        with contextlib.suppress(IntegrityError, OSError):
            manifest = read_manifest(folder)
            key = manifest["key"]
            artifacts[key] = Artifact(key, manifest, folder, version=versions.get(key))
    tags: dict[str, list[str]] = {}
    for tag, key in store.refs.tags().items():
        tags.setdefault(key, []).append(tag)
    table = schema.artifacts
    used = {row.key: row.used_at for row in connection.execute(sa.select(table.c.key, table.c.used_at))}
    return Catalog(artifacts, frozenset(present), used, tags, in_use(connection))


def _with_consumers(catalog: Catalog, chosen: dict[str, Artifact], *, cascade: bool) -> None:
    """Adds all that was made from what is chosen, or refuses if there is any."""
    fresh = list(chosen)
    while fresh:
        users = catalog.consumers(fresh)
        fresh = []
        for key, made in users.items():
            outside = [artifact for artifact in made if artifact.key not in chosen]
            if outside and not cascade:
                more = f" and {len(outside) - _LISTED} more" if len(outside) > _LISTED else ""
                listed = ", ".join(artifact.name for artifact in outside[:_LISTED])
                raise InputError(
                    f"{chosen[key].name} is what {listed}{more} {'was' if len(outside) == 1 else 'were'} made from",
                    hint="--cascade removes those too; see all that would go with --cascade --dry-run",
                )
            chosen.update({artifact.key: artifact for artifact in outside})
            fresh += [artifact.key for artifact in outside]


def _require_free(catalog: Catalog, artifact: Artifact) -> None:
    if tags := catalog.tags.get(artifact.key):
        raise InputError(f"{artifact.name} has the tag {tags[0]}", hint=f"`pasctl store untag {tags[0]}` first")
    if artifact.key in catalog.uses.read | catalog.uses.written:
        raise BusyError(f"{artifact.name} is in use by a running stage", hint="run the same command when it has ended")


def _consumers_first(chosen: Iterable[Artifact]) -> list[Artifact]:
    """The artifacts in an order in which none comes before what was made from it, newest first where that is open."""
    by_key = {artifact.key: artifact for artifact in chosen}
    ordered: dict[str, Artifact] = {}

    def visit(artifact: Artifact) -> None:
        for source in artifact.inputs.values():
            if source.key in by_key and source.key not in ordered:
                visit(by_key[source.key])
        ordered.setdefault(artifact.key, artifact)

    for artifact in sorted(by_key.values(), key=lambda artifact: artifact.created_at):
        visit(artifact)
    return list(reversed(ordered.values()))


def _finish_earlier(store: Store, connection: sa.Connection, present: Iterable[str]) -> None:
    """Clears the rows of what is not on disk, and retires its versions: a removal was killed, or made by hand."""
    on_disk = set(present)
    table = schema.artifacts
    for row in connection.execute(sa.select(table.c.key)).all():
        if row.key not in on_disk:
            store.index.drop(connection, row.key)
    for name, key in _named(store):
        if key not in on_disk:
            store.refs.retire(name, key)


def _named(store: Store) -> Iterator[tuple[Name, str]]:
    for name in store.refs.names():
        for key in store.refs.versions(name).values():
            yield name, key
