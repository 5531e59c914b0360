"""Stores that are damaged, full or read-only, and readers that go away: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import PasctlRun
from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm


def _shard(store: Path) -> Path:
    return min(store.glob("objects/activations/*/*/head_outputs/*.safetensors"))


def _flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_corrupt_shard_is_refused_by_stages_and_named_by_verify(warm: Warm, finished_store: Path) -> None:
    sound = warm.run("store", "verify", "--deep", "--store", finished_store)
    assert (sound.returncode, sound.stderr) == (0, "")
    shard = _shard(finished_store)
    _flip_last_byte(shard)
    name = f"head_outputs/{shard.name}"
    # neither a new key nor the order of stages lets damaged numbers through
    assert_refused(warm.run("train-probes", "--seed", "9", "--store", finished_store), 4, name)
    assert_refused(warm.run("fit-directions", "--top-k", "3", "--store", finished_store), 4, name)
    assert warm.run("store", "verify", "--store", finished_store).returncode == 0  # sizes are as they were
    deep = warm.run("store", "verify", "--deep", "--json", "--store", finished_store)
    assert deep.returncode == 4
    (problem,) = [problem for problem in deep.document if not problem["note"]]
    assert problem["file"] == name
    assert shard.parents[1].name[:12] in problem["artifact"]  # the key tells versions apart
    assert [line for line in deep.stderr.splitlines() if line.startswith("error: ")]


def test_shortened_shard_is_found_without_reading_it(warm: Warm, finished_store: Path) -> None:
    shard = _shard(finished_store)
    shard.write_bytes(shard.read_bytes()[:-1])
    done = warm.run("store", "verify", "--store", finished_store)
    assert done.returncode == 4
    assert f"head_outputs/{shard.name}" in done.stdout


def test_corrupt_index_says_reindex_and_reindex_mends_it(warm: Warm, finished_store: Path) -> None:
    before = warm.run("store", "ls", "--json", "--store", finished_store)
    for leftover in finished_store.glob("index.sqlite*"):
        leftover.unlink()
    (finished_store / "index.sqlite").write_bytes(b"this is no database " * 500)
    for command in (["store", "ls"], ["train-probes", "--personas", "builtin:0-4"]):
        done = warm.run(*command, "--store", finished_store)
        assert_refused(done, 4, "index.sqlite")
        assert "reindex" in done.stderr.splitlines()[-1]
    mended = warm.run("store", "reindex", "--json", "--store", finished_store)
    assert mended.returncode == 0, mended.stderr
    assert mended.document["artifacts"] == 4
    assert warm.run("store", "ls", "--json", "--store", finished_store).document == before.document
    assert warm.run("store", "verify", "--deep", "--store", finished_store).returncode == 0


def test_lost_index_is_rebuilt_without_being_asked(warm: Warm, finished_store: Path) -> None:
    before = warm.run("store", "ls", "--json", "--store", finished_store)
    for leftover in finished_store.glob("index.sqlite*"):
        leftover.unlink()
    assert warm.run("store", "ls", "--json", "--store", finished_store).document == before.document


@pytest.mark.integration
def test_read_only_store_answers_what_it_has_and_refuses_new_work(
    run_pasctl: PasctlRun, finished_store: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    mounted = _with_mounts('mount --bind "$0" "$0" && mount -o remount,ro,bind "$0"', finished_store)
    new = run_pasctl("extract", "--model", tiny_folder, "--seed", "5", store=finished_store, before=mounted)
    assert_refused(new, 1, "read-only")
    assert "loading" not in new.stderr  # told before the model is loaded, not after
    old = run_pasctl("train-probes", "--personas", "builtin:0-4", "--json", store=finished_store, before=mounted)
    assert old.returncode == 0, old.stderr
    assert json.loads(old.stdout)["reused"] is True


@pytest.mark.integration
def test_a_disk_without_room_is_refused_before_the_work(
    run_pasctl: PasctlRun, tiny_folder: Path, tmp_path: Path
) -> None:
    """The first run would fill a disk of 256 KiB; with more room the same command works. Failpoints fill it halfway."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=256k tmpfs "$0" || exit 99\n'
        '"$@" >"$0.out" 2>"$0.err"; echo $? >"$0.code"\n'
        'mount -o remount,size=64m "$0" && exec "$@"'
    )
    wide = ("--items", "all", "--answers", "all", "--option-order", "forward", "--dtype", "float32", "--json")
    mounted = _with_mounts(script, disk)
    second = run_pasctl("extract", "--model", tiny_folder, *wide, store=disk / "artifacts", before=mounted)
    first = subprocess.CompletedProcess(
        [],
        int(disk.with_name("disk.code").read_text()),
        disk.with_name("disk.out").read_text(),
        disk.with_name("disk.err").read_text(),
    )
    assert_refused(first, 1, "KiB free, and this will write")
    assert second.returncode == 0, second.stderr
    counts = json.loads(second.stdout)["counts"]
    assert counts["items_resumed"] == 0, counts
    assert counts["tokens_run"] > 0, counts


def _with_mounts(script: str, *arguments: object) -> tuple[str, ...]:
    """A command prefix that runs `script` in a mount namespace of its own; $0 is the first argument, $@ the command."""
    if shutil.which("unshare") is None or shutil.which("mount") is None:
        pytest.skip("needs unshare and mount")
    probe = subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
    )
    if probe.returncode != 0:
        pytest.skip(f"this machine allows no mounts: {probe.stderr.decode().strip()}")
    whole = script if "$@" in script else f'{script} && exec "$@"'
    return ("unshare", "-rm", "sh", "-c", whole, *map(str, arguments))


@pytest.mark.parametrize(
    "arguments", [["store", "ls"], ["store", "ls", "--json"], ["store", "show", "results"]], ids=" ".join
)
def test_reader_that_goes_away_is_no_error(
    arguments: list[str], clean_environment: dict[str, str], finished_store: Path
) -> None:
    assert _with_closed_reader([*arguments, "--store", str(finished_store)], clean_environment) == (141, "")


def test_reader_of_help_that_goes_away_is_no_error(clean_environment: dict[str, str]) -> None:
    assert _with_closed_reader(["--help"], clean_environment) == (141, "")


def _with_closed_reader(arguments: list[str], env: dict[str, str]) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout nobody reads."""
    command = [sys.executable, "-m", "pasctl", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        return process.wait(timeout=60), err
