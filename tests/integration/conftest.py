"""Stores that are made once and copied, and a process that forks pasctl."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.warm import Warm
from tests.inventory import papi_files

LARGE_PAPI_ITEMS = 300


@pytest.fixture(scope="session")
def warm(clean_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Starts pasctl in forks of one process that has everything loaded."""
    server = Warm(clean_environment, tmp_path_factory.mktemp("warm"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def fitted_master(warm: Warm, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with activations, probes and directions of the tiny model, for four simulated respondents."""
    store = tmp_path_factory.mktemp("fitted") / "artifacts"
    for command in (
        ["extract", "--model", tiny_folder, "--dtype", "float32"],
        ["train-probes", "--personas", "builtin:0-4"],
        ["fit-directions"],
    ):
        done = warm.run(*command, "--store", store)
        assert done.returncode == 0, done.stderr
    return store


@pytest.fixture(scope="session")
def finished_master(warm: Warm, fitted_master: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with results."""
    store = tmp_path_factory.mktemp("finished") / "artifacts"
    shutil.copytree(fitted_master, store)
    done = warm.run("eval", "--mode", "no-change,pas", "--store", store)
    assert done.returncode == 0, done.stderr
    return store


@pytest.fixture
def fitted_store(fitted_master: Path, tmp_path: Path) -> Path:
    """A copy of `fitted_master` to do as one likes with."""
    return Path(shutil.copytree(fitted_master, tmp_path / "artifacts"))


@pytest.fixture
def finished_store(finished_master: Path, tmp_path: Path) -> Path:
    """A copy of `finished_master` to do as one likes with."""
    return Path(shutil.copytree(finished_master, tmp_path / "artifacts"))


@pytest.fixture(scope="session")
def large_papi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """300 invented items in PAPI's layout: ten shards, and work that takes long enough to be disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        facets = [(trait, number) for trait in "OCEAN" for number in range(1, 7)]
        keys = (1, 1, 1, -1, -1) * 2
        patch.setattr(papi_files, "FACETS", facets)
        patch.setattr(papi_files, "KEYS", keys)
        patch.setattr(papi_files, "N_ITEMS", LARGE_PAPI_ITEMS)
        yield papi_files.write_folder(tmp_path_factory.mktemp("papi"), papi_files.answers(20, keyed=True))
