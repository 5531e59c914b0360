"""A store with two artifacts, one of which was made from the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.store import Artifact, Store, make_key
from tests.store.worker import build, commit, document


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def made(store: Store) -> tuple[Artifact, Artifact]:
    """Activations, and probes that were made from them."""
    source, _ = build(store)
    staging = store.stage(make_key(document(5)))
    staging.write_json("x.json", 5)
    return source, commit(staging, document(5), kind="probes", inputs={"activations": source})
