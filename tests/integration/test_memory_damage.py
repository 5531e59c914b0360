"""Memories that are damaged, and reading that is disturbed: one line, the right exit code, nothing lost."""

from __future__ import annotations

import json
import shutil
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import memory_run
from pasctl.stages.text import Text
from tests.conftest import PasctlRun
from tests.integration.refusal import assert_refused
from tests.integration.test_damage import _with_mounts
from tests.integration.test_memory import SMALL, WORDS
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

PARAMS = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=4, max_block=12)
SEGMENT = PARAMS.n_local - PARAMS.chunk  # tokens of one
NAME = "memory/tiny-a/story"
STORY = "".join(WORDS.format(n=n, m=n * 7 % 13) for n in range(40))


@pytest.fixture(scope="module")
def master(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a memory."""
    store = tmp_path_factory.mktemp("read") / "store"
    options = ModelOptions(dtype="float32")
    memory_run(str(tiny_folder), [Text("story.txt", STORY)], params=PARAMS, options=options, store=store)
    return store


@pytest.fixture
def store(master: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(master, tmp_path / "store"))


@pytest.fixture(scope="module")
def reading(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    """The command that reads a text of some hundred segments; the store's folder goes behind it."""
    path = tmp_path_factory.mktemp("long") / "story.txt"
    path.write_text("".join(WORDS.format(n=n, m=n * 7 % 13) for n in range(200)), encoding="utf-8")
    return ("memory-run", path, "--model", tiny_folder, *SMALL, "--json", "--store")


@pytest.fixture(scope="module")
def digest(warm: Warm, reading: tuple[object, ...], tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a run that nothing disturbs makes."""
    done = warm.run(*reading, tmp_path_factory.mktemp("undisturbed") / "store")
    assert done.returncode == 0, done.stderr
    assert done.document["counts"]["tokens_resumed"] == 0
    return str(done.document["content_digest"])


def segments(store: Path) -> list[Path]:
    return sorted((store / "objects" / "memory").rglob("segments/*.safetensors"))


def staged(store: Path) -> int:
    """Segments of an unfinished memory that are whole."""
    return len(list((store / "staging").glob("*/segments/*.safetensors.*")))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_key(path: Path) -> None:
    """Turn one bit in the middle of the keys, as no shape or size would tell."""
    content = bytearray(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    first, last = json.loads(content[8 : 8 + length])["k"]["data_offsets"]
    content[8 + length + (first + last) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "place"),
    [(truncate, 0), (truncate, 3), (truncate, -1), (flip_a_key, 3), (Path.unlink, 3)],
    ids=["first truncated", "inner truncated", "last truncated", "inner flipped", "inner missing"],
)
def test_a_damaged_segment_is_named_and_never_asked(
    warm: Warm, store: Path, damage: Callable[[Path], None], place: int
) -> None:
    assert warm.run("store", "verify", "--deep", "--store", store).returncode == 0
    segment = segments(store)[place]
    damage(segment)
    name = f"segments/{segment.name}"

    deep = warm.run("store", "verify", "--deep", "--json", "--store", store)
    assert deep.returncode == 4
    assert [problem["file"] for problem in deep.document if not problem["note"]] == [name]
    told = warm.run("store", "verify", "--deep", "--store", store)
    assert (told.returncode, name in told.stdout) == (4, True)

    # the first question leaves nothing behind that the second could be taken in by
    for question in ("Who worries?", "And who?"):
        assert_refused(warm.run("memory-ask", NAME, question, "--store", store), 4, segment.name)
    longer = store.with_name("more.txt")
    longer.write_text("And so on.")
    assert_refused(warm.run("memory-run", longer, "--extend", NAME, "--store", store), 4, segment.name)
    assert not list((store / "objects").glob("answers/*"))


def test_a_damaged_segment_of_unfinished_reading_is_read_again(
    warm: Warm, reading: tuple[object, ...], digest: str, tmp_path: Path
) -> None:
    """A disk that lost the end of a segment: it and what follows are read again."""
    store = tmp_path / "store"
    process = warm.start(*reading, store)
    process.wait_for(lambda: staged(store) >= 8)
    process.signal(signal.SIGKILL)
    assert process.wait().returncode == -signal.SIGKILL
    [torn] = store.glob("staging/*/segments/000005.safetensors.*")
    truncate(torn)
    resumed = warm.run(*reading, store)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.document["counts"]["tokens_resumed"] == 5 * SEGMENT
    assert resumed.document["content_digest"] == digest


def test_an_interrupt_while_reading_ends_in_one_line_and_keeps_the_segments(
    warm: Warm, reading: tuple[object, ...], digest: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    process = warm.start(*reading, store)
    process.wait_for(lambda: staged(store) >= 5)
    process.signal(signal.SIGINT)
    done = process.wait()
    assert (done.returncode, done.stdout) == (130, ""), done.stderr
    told = [line for line in done.stderr.splitlines() if not line.startswith(("loading ", "reading "))]
    assert len(told) == 1, done.stderr
    assert told[0].startswith("interrupted")
    kept = staged(store)
    assert kept >= 5
    assert not segments(store)

    resumed = warm.run(*reading, store)
    assert resumed.returncode == 0, resumed.stderr
    assert f"resuming after token {kept * SEGMENT:,} of" in resumed.stderr
    assert resumed.document["counts"]["tokens_resumed"] == kept * SEGMENT
    assert resumed.document["content_digest"] == digest


def test_an_interrupt_while_answering_leaves_the_memory_as_it_was(warm: Warm, store: Path) -> None:
    process = warm.start("memory-ask", NAME, "Who worries?", "--max-new-tokens", 100000, "--store", store)
    process.wait_for(lambda: process._out.stat().st_size > 0)
    process.signal(signal.SIGINT)
    done = process.wait()
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("interrupted")
    assert warm.run("store", "verify", "--deep", "--store", store).returncode == 0
    asked = warm.run("memory-ask", NAME, "Who worries?", "--max-new-tokens", 2, "--json", "--store", store)
    assert asked.document["reused"] is False


def test_a_full_disk_loses_nothing_that_was_read(
    run_pasctl: PasctlRun, reading: tuple[object, ...], digest: str, tmp_path: Path
) -> None:
    """The first run uses up a disk's inodes, which no plan foresees; with more the same command goes on from there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = (
        'mount -t tmpfs -o size=256m,nr_inodes=16 tmpfs "$0" || exit 99\n'
        '"$@" >"$0.out" 2>"$0.err"; echo $? >"$0.code"\n'
        'mount -o remount,nr_inodes=10000 "$0" && exec "$@"'
    )
    second = run_pasctl(*reading, disk / "artifacts", before=_with_mounts(script, disk))
    code, out, err = (disk.with_name(f"disk.{name}").read_text() for name in ("code", "out", "err"))
    assert_refused(subprocess.CompletedProcess([], int(code), out, err), 1, "disk full", "segments/")
    assert second.returncode == 0, second.stderr
    assert "resuming after token" in second.stderr
    made = json.loads(second.stdout)
    resumed, more = divmod(made["counts"]["tokens_resumed"], SEGMENT)
    assert more == 0
    assert 1 <= resumed <= 14
    assert made["content_digest"] == digest
