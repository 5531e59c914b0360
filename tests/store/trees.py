"""Stores compared from outside: files on the disk, and what an artifact was made from."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from pasctl.store import Artifact, Lineage, Store


def digests(folder: Path) -> dict[str, str]:
    """sha256 by path of every file below a folder."""
    found = {}
    for inner, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(inner, name)
            with open(path, "rb") as stream:
                found[os.path.relpath(path, folder)] = hashlib.sha256(stream.read()).hexdigest()
    return found


def lineage(store: Store, artifact: Artifact) -> Any:
    """Keys, content digests and roles, back to the beginning."""

    def told(node: Lineage) -> Any:
        digest = node.artifact.content_digest if node.artifact else None
        return (node.role, node.key, digest, [told(each) for each in node.inputs])

    return told(store.lineage(artifact))


def state(store: Store) -> Any:
    """Everything of a store that a refusal must leave as it was: artifacts, names, tags, what the index says."""
    rows = {row.key: (row.kind, row.version, row.content_digest) for row in store.index.rows()}
    root = store.root
    return (
        *(digests(root / name) for name in ("objects", "refs", "staging")),
        rows,
        store.index.tags(),
    )
