"""Full disks and read-only media, by the kernel's own refusal and not by a mock."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pasctl.errors import StoreError
from pasctl.store import Store, make_key
from tests.store.conftest import lines
from tests.store.worker import SHARDS, build, document

Start = Callable[..., "subprocess.Popen[str]"]


def in_namespace(script: str) -> tuple[str, ...]:
    """The start of a command that runs `script`, then its arguments, as root of a mount namespace of its own."""
    return ("unshare", "-rm", "sh", "-ec", f'{script}; exec "$@"', "sh")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A folder where a namespace may mount; skips where the kernel does not allow that."""
    folder = tmp_path / "medium"
    folder.mkdir()
    command = [*in_namespace(f"mount -t tmpfs -o size=1m tmpfs '{folder}'"), "true"]
    if shutil.which("unshare") is None or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("this kernel does not let us mount")
    return folder


def check_full(report: dict[str, object]) -> None:
    assert report["error"] == "StoreError"
    assert "disk full" in str(report["message"])
    assert "parts/large.safetensors" in str(report["message"])
    assert "free some space and run the same command again" in str(report["hint"])
    assert report["left"] == []  # the torn file is not left to fill the disk


def test_a_full_disk(small: Path, start: Start) -> None:
    worker = start("refused", small, 0, before=in_namespace(f"mount -t tmpfs -o size=1m tmpfs '{small}'"))
    check_full(lines(worker)[0])


def test_a_file_size_limit(tmp_path: Path, start: Start) -> None:
    check_full(lines(start("refused", tmp_path / "artifacts", 100_000))[0])


def test_a_read_only_medium_can_be_read_and_says_so_when_written(small: Path, start: Start) -> None:
    build(Store(small))
    script = f"mount --bind '{small}' '{small}'; mount -o remount,bind,ro '{small}'"
    for indexed in (True, False):
        if not indexed:
            (small / "index.sqlite").unlink()
        read, *writes = lines(start("read", small, before=in_namespace(script)))
        name = "activations/tiny/papi@v1"
        assert (read["lookup"], read["latest"], read["ls"], read["rows"]) == (name, name, [name], 8 * SHARDS)
        assert read["problems"] == []
        assert ("index.sqlite" in read["files"]) == indexed
        for write in writes:
            assert write["error"] == "StoreError"
            assert "store is read-only" in write["message"]
        assert len(writes) == 2
        (report,) = lines(start("refused", small, 0, before=in_namespace(script)))
        assert "store is read-only" in report["message"]


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "artifacts").write_text("not a folder")
    for root in (tmp_path / "artifacts", tmp_path / "artifacts" / "inner"):
        store = Store(root)
        assert store.artifacts() == []
        with pytest.raises(StoreError, match="a file stands where a folder is needed"):
            store.stage(make_key(document())).write_json("x.json", 1)
        with pytest.raises(StoreError, match="a file stands"), store.lease(make_key(document())):
            pytest.fail("there is nothing to lease")
