"""A hub model by its id, with no network: from the hub's cache, or not at all, and then in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import PasctlRun
from tests.integration.refusal import assert_refused
from tests.tiny import hub_cache_layout

REPO = "Qwen/Qwen3-0.6B"
# the ways to have no network: told so, or nobody answers (port 9 of this machine, where nothing listens)
OFFLINE = {"HF_HUB_OFFLINE": "1"}
UNREACHABLE = {"HF_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.integration
def test_hub_id_loads_from_the_cache_without_network(run_pasctl: PasctlRun, tiny_folder: Path, tmp_path: Path) -> None:
    home, store = tmp_path / "huggingface", tmp_path / "artifacts"
    sha = hub_cache_layout(home / "hub", REPO, tiny_folder)
    extract = ["extract", "--model", REPO, "--json"]

    made = run_pasctl(*extract, store=store, env=OFFLINE | {"HF_HOME": str(home)})
    assert made.returncode == 0, made.stderr
    first = json.loads(made.stdout)
    assert first["reused"] is False
    assert first["name"] == "activations/qwen3-0.6b/builtin@v1"

    shown = run_pasctl("store", "show", first["name"], "--json", store=store)
    identity = json.loads(shown.stdout)["document"]["model"]
    assert (identity["repo"], identity["sha"]) == (REPO, sha)

    # the key does not depend on how the network is away, nor on naming the commit
    for more, env in (([], UNREACHABLE), (["--revision", "main"], OFFLINE), (["--revision", sha], OFFLINE)):
        again = run_pasctl(*extract, *more, store=store, env=env | {"HF_HOME": str(home)})
        assert again.returncode == 0, again.stderr
        assert (json.loads(again.stdout)["key"], json.loads(again.stdout)["reused"]) == (first["key"], True)


@pytest.mark.parametrize("env", [OFFLINE, UNREACHABLE], ids=["told so", "unreachable"])
def test_no_network_and_no_cache_says_what_to_do(run_pasctl: PasctlRun, tmp_path: Path, env: dict[str, str]) -> None:
    done = run_pasctl("extract", "--model", REPO, store=tmp_path / "artifacts", env=env | {"HF_HOME": str(tmp_path)})
    assert_refused(done, 3, REPO)
    assert "hf download" in done.stderr
    assert not (tmp_path / "artifacts").exists()


def test_another_revision_than_the_cached_one_is_missing(
    run_pasctl: PasctlRun, tiny_folder: Path, tmp_path: Path
) -> None:
    hub_cache_layout(tmp_path / "hub", REPO, tiny_folder)
    done = run_pasctl(
        "extract", "--model", REPO, "--revision", "v2", store=tmp_path / "a", env=OFFLINE | {"HF_HOME": str(tmp_path)}
    )
    assert_refused(done, 3, REPO, "v2")


@pytest.mark.integration
def test_cache_without_weights_is_told_as_such(run_pasctl: PasctlRun, tiny_folder: Path, tmp_path: Path) -> None:
    sha = hub_cache_layout(tmp_path / "hub", REPO, tiny_folder)
    for link in (tmp_path / "hub").glob("*/snapshots/*/model.safetensors"):
        link.unlink()
    done = run_pasctl("extract", "--model", REPO, store=tmp_path / "a", env=OFFLINE | {"HF_HOME": str(tmp_path)})
    assert_refused(done, 3, REPO, sha[:8], "model.safetensors")
