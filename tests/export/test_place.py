"""A place gets a whole export or stays as it was, and nothing of others is touched."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

import pasctl.export.place as place_module
from pasctl.errors import InputError, PasctlError
from pasctl.export.exchange import exchange
from pasctl.export.files import FORMAT, RECORD, digests, read_record, require_files
from pasctl.export.place import Place

NEEDED = '"key": "s1:0", "persona": "ada", "alpha": 2.0, "numerics": {}, "lineage": [], "proof": {}, "files": {}'
OURS = f'{{"format": "{FORMAT}", {NEEDED}}}'


def fill(folder: Path, word: str) -> None:
    (folder / RECORD).write_text(OURS)
    (folder / "word.txt").write_text(word)


def export(place: Place, word: str, *, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Export a word to a place; `meanwhile` happens before it is published."""
    with place.partial() as partial:
        fill(partial, word)
        meanwhile()
        place.publish(partial)


def stop() -> None:
    raise RuntimeError


def test_what_is_written_appears_in_one_step(tmp_path: Path) -> None:
    place = Place(tmp_path / "out")
    with place.partial() as partial:
        assert partial.parent == tmp_path
        assert partial.name.startswith(".out.partial-")
        assert place.leftovers() == [partial]
        fill(partial, "new")
        (partial / "word.txt").chmod(0o600)
        assert not place.folder.exists()
        place.publish(partial)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]
    assert (place.folder / "word.txt").stat().st_mode == (place.folder / RECORD).stat().st_mode


def test_a_block_that_fails_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "out")
    with pytest.raises(RuntimeError):
        export(place, "new", meanwhile=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_taken_and_a_link_to_one_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    place = Place(tmp_path / "link")
    place.require()
    export(place, "new")
    assert (tmp_path / "real" / "word.txt").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_only_our_own_exports_are_replaced_and_only_by_force(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "ours", tmp_path / "foreign"
    for folder in (ours, foreign):
        folder.mkdir()
        fill(folder, "old")
    (foreign / RECORD).write_text('{"format": "something else"}')
    with pytest.raises(InputError, match="holds another export"):
        Place(ours).require()
    with pytest.raises(InputError, match="no export of pasctl"):
        Place(foreign, force=True).require()
    export(Place(ours, force=True), "new")
    assert (ours / "word.txt").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foreign", "ours"]
    assert (foreign / "word.txt").read_text() == "old"


def test_a_replacement_that_fails_puts_the_old_export_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    fill(ours, "old")
    place, rename = Place(ours, force=True), Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if ".partial-" in self.name:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    monkeypatch.setattr("pasctl.export.place.exchange", lambda a, b: False)
    with pytest.raises(PasctlError, match="Input/output error"):
        export(place, "new")
    assert (ours / "word.txt").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


_STEPS = ("open", "os.rename", "os.rmdir", "os.remove", "os.mkdir", "os.chmod", "exchange", "exchanged")


def killed_at(step: int, *, folder: Path, word: str, exchanges: bool) -> bool:
    """Export in a process that is killed at a step; whether it came so far."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    try:
        seen = 0

        def hook(event: str, _arguments: object) -> None:
            nonlocal seen
            seen += event in _STEPS
            if event in _STEPS and seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

        def swap(a: Path, b: Path) -> bool:
            sys.audit("exchange")
            done = exchange(a, b) if exchanges else False
            sys.audit("exchanged")
            return done

        place_module.exchange = swap  # type: ignore[attr-defined]
        place = Place(folder, force=True)
        sys.addaudithook(hook)
        export(place, word)
    finally:
        os._exit(0)


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_replacement_killed_anywhere_leaves_the_old_export_or_the_new_one(tmp_path: Path, exchanges: bool) -> None:
    """Where names can be exchanged, always at its place; elsewhere the next export puts it back."""
    if exchanges and not _exchanges(tmp_path):
        pytest.skip("this system cannot exchange two names")
    left: list[str | None] = []
    for step in range(1, 100):
        folder = tmp_path / str(step) / "out"
        folder.mkdir(parents=True)
        fill(folder, "old")
        killed = killed_at(step, folder=folder, word="new", exchanges=exchanges)
        there = folder / "word.txt"
        left.append(there.read_text() if there.exists() else None)
        place = Place(folder, force=True)
        assert (place.restore() is None) is (left[-1] is not None)
        assert there.read_text() in ("old", "new")
        assert read_record(folder) is not None
        place.require()
        export(place, "newer")
        assert there.read_text() == "newer"
        if not killed:
            break
    assert left[-1] == "new"
    assert left[0] == "old"
    assert (None in left) is not exchanges


def _exchanges(folder: Path) -> bool:
    for name in ("a", "b"):
        (folder / name).write_text(name)
    done = exchange(folder / "a", folder / "b")
    assert (folder / "a").read_text() == ("b" if done else "a")
    return done


def test_names_that_are_missing_are_not_exchanged(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    if not _exchanges(tmp_path):
        pytest.skip("this system cannot exchange two names")
    with pytest.raises(FileNotFoundError):
        exchange(tmp_path / "a", tmp_path / "none")


def test_the_latest_whole_export_is_put_back_and_only_where_there_is_room(tmp_path: Path) -> None:
    place = Place(tmp_path / "out", force=True)
    for name, word in ((".out.replaced-b", "older"), (".out.replaced-a", "latest"), (".out.replaced-c", "in part")):
        (tmp_path / name).mkdir()
        fill(tmp_path / name, word)
    os.utime(tmp_path / ".out.replaced-b", (1, 1))
    (tmp_path / ".out.replaced-c" / RECORD).unlink()
    assert place.restore() == tmp_path / ".out.replaced-a"
    assert (place.folder / "word.txt").read_text() == "latest"
    assert place.restore() is None
    assert [path.name for path in place.leftovers()] == [".out.replaced-b", ".out.replaced-c"]


def test_what_somebody_else_puts_in_the_place_of_an_export_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not _exchanges(tmp_path):
        pytest.skip("this system cannot exchange two names")
    place = Place(tmp_path / "out", force=True)
    place.folder.mkdir()
    fill(place.folder, "old")

    def swap(a: Path, b: Path) -> bool:
        if b == place.folder and (b / "word.txt").exists():
            shutil.rmtree(b)
            b.mkdir()
            (b / "theirs").write_text("theirs")
        return exchange(a, b)

    monkeypatch.setattr("pasctl.export.place.exchange", swap)
    with pytest.raises(PasctlError, match="somebody else"):
        export(place, "new")
    assert [path.name for path in place.folder.iterdir()] == ["theirs"]


def test_what_somebody_else_puts_there_meanwhile_stays(tmp_path: Path) -> None:
    place = Place(tmp_path / "out")

    def put() -> None:
        place.folder.mkdir()
        (place.folder / "theirs").write_text("theirs")

    with pytest.raises(InputError, match="no export of pasctl"):
        export(place, "new", meanwhile=put)
    assert [path.name for path in place.folder.iterdir()] == ["theirs"]


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        Place(tmp_path / "file", force=True).require()
    with pytest.raises(InputError, match="no folder"):
        Place(tmp_path / "none" / "out").require()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk full"),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), "disk full"),
        (OSError(errno.EROFS, "Read-only file system"), "cannot be written: Read-only"),
        (Exception("Permission denied (os error 13)"), "cannot be written: Permission denied"),
    ],
)
def test_what_a_disk_refuses_is_told(error: Exception, words: str, tmp_path: Path) -> None:
    with pytest.raises(PasctlError, match=words) as caught, Place(tmp_path / "out").errors():
        raise error
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Place(tmp_path / "out").errors():
        raise ZeroDivisionError


def test_changed_lost_and_added_files_are_found(tmp_path: Path) -> None:
    fill(tmp_path, "old")
    (tmp_path / "config.json").write_text("{}")
    files = digests(tmp_path)
    del files[RECORD]
    (tmp_path / "README.md").write_text("a user's own words")
    require_files(tmp_path, files)
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(PasctlError, match=r"model\.safetensors was not exported"):
        require_files(tmp_path, files)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "word.txt").write_text("new")
    with pytest.raises(PasctlError, match=r"word\.txt is not what was exported"):
        require_files(tmp_path, files)
    (tmp_path / "word.txt").unlink()
    with pytest.raises(PasctlError, match=r"word\.txt is gone"):
        require_files(tmp_path, files)


@pytest.mark.parametrize("content", ["", "[]", "{}", f'{{"format": "{FORMAT}"}}', '{"format": "pasctl-export/9"}'])
def test_a_folder_without_a_sound_record_is_not_ours(content: str, tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / RECORD).write_text(content)
    assert read_record(tmp_path) is None
    (tmp_path / RECORD).write_text(OURS)
    assert read_record(tmp_path) is not None
