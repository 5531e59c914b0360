"""Tiles keep to a memory limit, and a limit changes nothing but the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.runner import Artifact
from pasctl.stages.tiles import direction_memory, probe_memory
from pasctl.stages.train_probes import train_probes
from tests.tiny import tiny_loaded


@pytest.fixture(scope="module")
def activations(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    made = extract(tiny_loaded(), store=tmp_path_factory.mktemp("store")).artifact
    assert made is not None
    return made


def test_a_tile_is_as_large_as_the_limit_allows(activations: Artifact) -> None:
    for memory in (probe_memory(activations), direction_memory(activations)):
        assert memory.tile(50, None) == 50
        assert memory.tile(5000, None) == 1024
        assert memory.tile(5000, memory.bytes_of(37)) == 37
        assert memory.tile(20, memory.bytes_of(37)) == 20
        with pytest.raises(InputError, match="needs at least"):
            memory.tile(5000, memory.bytes_of(1) - 1)


def test_a_limit_is_told_and_changes_no_result(activations: Artifact, tmp_path: Path) -> None:
    made = []
    for name, limit in (("free", None), ("bound", probe_memory(activations).bytes_of(3))):
        store = tmp_path / name
        extract(tiny_loaded(), store=store)
        told = train_probes(personas="builtin:0-9", store=store, max_memory=limit, dry_run=True).plan["memory_bytes"]
        assert told == probe_memory(activations).bytes_of(9 if limit is None else 3)
        train_probes(personas="builtin:0-9", store=store, max_memory=limit)
        made.append(fit_directions(store=store, max_memory=limit).artifact)
    free, bound = (artifact.read_arrays("directions.safetensors") for artifact in made if artifact is not None)
    assert np.array_equal(free["heads"], bound["heads"])
    np.testing.assert_allclose(free["theta"], bound["theta"], atol=1e-6)
