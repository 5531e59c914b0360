"""A model that two processes share gives what it gives in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner, Result

import pasctl
from pasctl.cli.app import app
from pasctl.errors import InputError
from pasctl.models.parallel import require_shareable
from pasctl.models.ranks import Ranks
from tests.models.parallel_worker import FAMILIES, STORY
from tests.tiny import save_tiny

LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2")


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def worker(folder: Path, *launcher: str, options: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    quiet = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, *launcher, "-m", "tests.models.parallel_worker", str(folder), *options]
    return subprocess.Popen(command, env=os.environ | quiet, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With what a process alone and two ranks have made of the same models."""
    folder = tmp_path_factory.mktemp("parallel")
    for family in FAMILIES:
        save_tiny(folder / family, family)
    (folder / "story.txt").write_text(STORY)
    running = [worker(folder), worker(folder, *LAUNCHER, options=("--tp",))]
    for process in running:
        try:
            _, errors = process.communicate(timeout=240)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        assert process.returncode == 0, errors
    return folder


@pytest.mark.integration
@pytest.mark.parametrize("family", FAMILIES)
def test_two_ranks_give_what_one_process_does(folder: Path, family: str) -> None:
    expected = load_file(folder / "alone" / f"{family}.safetensors")
    first, second = (load_file(folder / f"rank-{rank}" / f"{family}.safetensors") for rank in (0, 1))
    assert first.keys() == second.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (first[name] - tensor).abs().max() <= 1e-5 * max(1.0, float(tensor.abs().max())), name
        assert torch.equal(first[name], second[name]), name


@pytest.mark.integration
def test_stages_make_the_same_artifacts_and_the_first_rank_writes_them(folder: Path) -> None:
    alone, first, second = (
        json.loads((folder / name / "stages.json").read_text()) for name in ("alone", "rank-0", "rank-1")
    )
    assert first == second == alone
    assert alone["reused"] == [False, True, False, False, False, False]
    stores = [pasctl.Store(folder / name) for name in ("own", "shared")]
    keys = [sorted(artifact.key for artifact in store.artifacts()) for store in stores]
    assert keys[0] == keys[1]
    assert not list((folder / "shared" / "staging").glob("*/*"))


def test_what_cannot_be_shared_out_is_refused_in_one_line(tmp_path: Path) -> None:
    def refused(path: Path, count: int = 2) -> str:
        with pytest.raises(InputError) as caught:
            require_shareable(path, "it", Ranks(0, count), trust_remote_code=False)
        return caught.value.message

    qwen = save_tiny(tmp_path / "qwen3", "qwen3")
    require_shareable(qwen, "it", Ranks(0, 2), trust_remote_code=False)
    assert "6 heads cannot be shared out evenly among 4 processes" in refused(qwen, 4)
    assert "2 key-value heads cannot be shared out evenly among 3" in refused(qwen, 3)
    assert "no plan to share out a lfm2 model" in refused(save_tiny(tmp_path / "lfm2", "lfm2"))
    assert "a file" in refused(tmp_path / "model.gguf")


def test_tp_without_torchrun_says_how_to_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    folder, store = save_tiny(tmp_path / "model"), ("--store", tmp_path / "store")
    refused = invoke("extract", "--model", folder, "--tp", *store)
    assert (refused.exit_code, "torchrun --nproc-per-node 2 -m pasctl" in refused.stderr) == (2, True)
    for command in (("chat", "--model", folder), ("export", "create", "latest", "-o", tmp_path / "out")):
        refused = invoke(*command, "--tp", *store)
        assert (refused.exit_code, "works in one process" in refused.stderr) == (2, True), command
