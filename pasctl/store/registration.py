"""Registration: what gives an artifact on disk its version and its row in the index, while others may remove it.

A removal holds the index for writing. So whoever has just written a row looks at the disk behind it: an artifact that
is gone was removed before, and a version that is gone was retired before.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pasctl.errors import MissingError, StoreError
from pasctl.store.artifact import Artifact
from pasctl.store.manifest import MANIFEST
from pasctl.store.refs import Name, Refs

if TYPE_CHECKING:
    from pasctl.store.index import Index

_TRIES = 100  # each is lost to a removal of the same artifact


def register(refs: Refs, index: Index, artifact: Artifact) -> Artifact:
    """The artifact with its version, entered in the index. Doing it again changes nothing.

    Raises:
        MissingError: another process has removed the artifact.
        StoreError: the store cannot be written.
    """
    name = Name.of(artifact)
    for _ in range(_TRIES):
        versioned = replace(artifact, version=refs.assign(name, artifact.key))
        index.put(versioned)
        if not is_present(artifact):
            withdraw(refs, index, artifact)
            raise removed(artifact)
        if refs.version_of(name, artifact.key) == versioned.version:
            return versioned
    raise StoreError(f"{name} gets no version: what is written below refs/ is not there afterwards")


def withdraw(refs: Refs, index: Index, artifact: Artifact) -> None:
    """Takes back what `register` gave, unless the artifact has been made again meanwhile."""
    with index.write() as connection:
        if not is_present(artifact):
            refs.retire(Name.of(artifact), artifact.key)
            index.drop(connection, artifact.key)


def is_present(artifact: Artifact) -> bool:
    """Whether an artifact is where it was."""
    return (artifact.path / MANIFEST).is_file()


def removed(artifact: Artifact) -> MissingError:
    """The error for an artifact that another process has removed since it was looked up."""
    return MissingError(f"{artifact.name} was removed from the store meanwhile", hint="run its stage again")
