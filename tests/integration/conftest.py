"""Stores that are made once and copied, and a process that forks pasctl."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.warm import Warm
from tests.inventory.papi_files import answers, write_folder

LARGE_PAPI_ITEMS = 225


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
    done = warm.run("eval", "--alpha", "4", "--mode", "no-change,pas", "--reading", "letters", "--store", store)
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
def large_papi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Invented items in PAPI's layout: eight shards, and work that takes long enough to be disturbed."""
    values = answers(20, keyed=True, facets=9)
    assert values.shape[1] == LARGE_PAPI_ITEMS
    return write_folder(tmp_path_factory.mktemp("papi"), values)
