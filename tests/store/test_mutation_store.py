"""No sync, rename or digest check of the store is there for nothing: without it, one of the checks below fails.

`python -m tests.store.test_mutation_store` prints which check finds each.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store import mutation_transfer
from tests.store.disk_calls import Disk, Op, after_power_cut, write_tree
from tests.store.light_stage import KIND, document, run
from tests.store.mutants import Mutant, loaded, mutants
from tests.store.test_crash_consistency import promised, without_index

pytestmark = pytest.mark.integration

SECONDS = 6.0
MEMORY = "/dev/shm"  # noqa: S108
ALLOWED: dict[str, str] = {}
"""What may be taken out unnoticed -> why."""


def recorded(root: Path, *, links: bool) -> list[Op]:
    """The calls of the light stage, and of taking away what it made."""
    from pasctl.store import Store
    from pasctl.store.removal import remove_named

    disk = Disk(root, links=links)
    with disk.watch():
        store = Store(root)
        made = run(store, disk.mark, lease=False)
        disk.mark("removal")
        for tag in ("best", "moved"):
            store.untag(tag)
        disk.mark("untagged")
        remove_named(store, [made[1].key])
        disk.mark("removed", key=made[1].key)
    return without_index(disk.log)


def check_power_cuts(folder: Path, *, links: bool) -> None:
    """Whenever the store has said that something is done, a power cut takes nothing of it and spoils nothing else.

    What is not synced is lost: names and all, or the data alone. The cut at every other call is in
    `test_crash_consistency`.
    """
    from pasctl.store import Store

    log = recorded(folder / "recorded", links=links)
    ends = [place + 1 for place, op in enumerate(log) if op.kind == "mark"]
    for number, end in enumerate(ends):
        for keep in (False, True):
            store = Store(folder / f"{number}{keep}")
            write_tree(after_power_cut(log[:end], lambda place, keep=keep: keep, "lost"), store.root)
            assert [problem for problem in store.verify() if not problem.note] == []
            marks = [op.about for op in log[:end] if op.kind == "mark"]
            if any(mark["what"] == "removal" for mark in marks):
                check_removed(store, marks)
            else:
                promised(store, marks)


def check_removed(store: Any, marks: list[dict[str, Any]]) -> None:
    done = {mark["what"]: mark for mark in marks}
    if "untagged" in done:
        assert store.tags() == {}
    if "removed" in done:
        assert not any(artifact.key == done["removed"]["key"] for artifact in store.readable())
        from pasctl.store.refs import Name

        assert store.refs.removed(Name(KIND, "tiny", "second")) == {1: done["removed"]["key"]}


def check_result(folder: Path) -> None:
    """The stage makes what it always makes, twice, and the store is sound."""
    from pasctl.store import Store

    store = Store(folder)
    first, second = run(store), run(Store(folder))
    assert [artifact.name for artifact in first] == ["export/tiny/first@v1", "export/tiny/second@v1"]
    assert [artifact.content_digest for artifact in first] == [artifact.content_digest for artifact in second]
    assert first[1].files() == ["linked.safetensors", "nested/values.json", "x.safetensors"]
    assert store.verify(deep=True) == []
    assert store.resolve("best") == first[1]
    assert list((store.root / "staging").iterdir()) == []
    assert store.index.row(first[0].key).version == 1


def check_damage(folder: Path) -> None:
    """Bytes that were changed are found wherever they are read."""
    from pasctl.errors import IntegrityError
    from pasctl.store import Store, make_key

    store = Store(folder)
    _, made = run(store)
    path = made.path / "x.safetensors"
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    with pytest.raises(IntegrityError, match="damaged"):
        Store(folder).lookup(made.key).open_path("x.safetensors")
    assert any("sha256" in problem.what for problem in store.verify(deep=True))
    path.write_bytes(right)
    staging = store.stage(make_key(document("third")))
    staging.write_json("x.json", 1)
    (staged,) = staging.folder.glob("x.json.*")
    staged.write_bytes(b"2")
    assert not store.stage(staging.key).has("x.json")
    with pytest.raises(ValueError, match="key"):
        staging.commit(document=document("fourth"), kind=KIND, stage="x", stage_version=1, model="tiny", label="x")
    other = store.stage(staging.key)
    other.write_json("x.json", 1)
    other.write_json("x.json", 2)
    assert other.read_json("x.json") == 2
    assert len(list(other.folder.glob("x.json.*"))) == 1
    shutil.rmtree(other.folder)


def check_manifests(folder: Path) -> None:
    """A manifest that is not what it was is found."""
    from pasctl.errors import IntegrityError
    from pasctl.store import Store
    from pasctl.store.manifest import MANIFEST

    store = Store(folder)
    source, made = run(store)
    path = made.path / MANIFEST
    right = path.read_text()
    manifest = json.loads(right)
    for change in (
        {"content_digest": "0" * 64},
        {"key": source.key},
        {"files": manifest["files"][:1]},
        {"files": [manifest["files"][0] | {"sha256": "0" * 63}]},
    ):
        path.write_text(json.dumps(manifest | change))
        with pytest.raises(IntegrityError):
            store.lookup(made.key)
    path.write_text(json.dumps(manifest | {"document": manifest["document"] | {"params": {"x": 1}}}))
    assert any("key document" in problem.what for problem in store.verify(deep=True))
    inputs = {"source": manifest["inputs"]["source"] | {"content_digest": "0" * 64}}
    path.write_text(json.dumps(manifest | {"inputs": inputs}))
    assert any("content differs" in problem.what for problem in store.verify())
    path.write_text(right)
    with store.index.write() as connection:
        connection.exec_driver_sql("UPDATE artifacts SET content_digest = '0' WHERE key = ?", (made.key,))
    assert any("outdated" in problem.what for problem in store.verify())
    store.lookup(made.key)
    assert store.verify() == []


def check_names(folder: Path) -> None:
    """A version belongs to one key, and a tag is not moved by accident."""
    from pasctl.errors import InputError
    from pasctl.store import Store, make_key
    from pasctl.store.refs import Name
    from pasctl.store.removal import remove_named

    store = Store(folder)
    keys = [make_key(document(str(number))) for number in range(3)]
    name = Name(KIND, "tiny", "x")
    assert [store.refs.assign(name, key) for key in (*keys, *keys)] == [1, 2, 3, 1, 2, 3]
    assert [store.refs.version_of(name, key) for key in keys] == [1, 2, 3]
    store.refs.retire(name, keys[1])
    assert store.refs.versions(name) == {1: keys[0], 3: keys[2]}
    assert store.refs.assign(name, make_key(document("new"))) == 4
    assert [store.refs.assign(name, key) for key in keys] == [1, 2, 3]
    store.refs.set_tag("mine", keys[0])
    store.refs.set_tag("mine", keys[0])
    with pytest.raises(InputError, match="points to"):
        store.refs.set_tag("mine", keys[1])
    store.refs.set_tag("mine", keys[1], force=True)
    assert store.tags() == {"mine": keys[1]}
    again = Store(folder / "other")
    made = run(again)
    for tag in ("best", "moved"):
        again.untag(tag)
    remove_named(again, [made[1].key])
    assert again.keys() == [made[0].key]
    assert [artifact.name for artifact in run(again)] == [artifact.name for artifact in made]


def check_rest(folder: Path) -> None:
    """A folder without a manifest is no obstacle, a broken index is replaced, and a race ends with one artifact."""
    from pasctl.store import Store
    from pasctl.store.manifest import MANIFEST

    store = Store(folder)
    _, made = run(store)
    (made.path / MANIFEST).unlink()
    assert run(Store(folder))[1].content_digest == made.content_digest
    for path in folder.glob("index.sqlite*"):
        path.unlink()
    (folder / "index.sqlite").write_text("no database" * 100)
    store.reindex()
    assert len(store.index.rows()) == 2


CHECKS: dict[str, Callable[[Path], None]] = {
    "result": check_result,
    "names": check_names,
    "damage": check_damage,
    "manifests": check_manifests,
    "rest": check_rest,
    "power cut": lambda folder: check_power_cuts(folder, links=True),
    "power cut without links": lambda folder: check_power_cuts(folder, links=False),
    **mutation_transfer.CHECKS,
}


def killer(mutant: Mutant | None) -> str | None:
    """The first check that fails with a mutant, or that does not come to an end; None if none does."""
    with loaded(mutant), limited():
        for name, check in CHECKS.items():
            with tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
                try:
                    check(Path(folder))
                except (Exception, pytest.fail.Exception):  # the second is of pytest.raises
                    if mutant is None:
                        raise
                    return name
    return None


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raises TimeoutError when the block takes more seconds of the processor than any check should."""

    def stop(*_about: object) -> None:
        raise TimeoutError("does not end")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def test_the_checks_pass_without_a_mutant() -> None:
    assert killer(None) is None


def test_a_check_finds_every_mutant() -> None:
    tried = mutants()
    assert len(tried) > 40
    alive = {str(mutant) for mutant in tried if killer(mutant) is None}
    assert alive == set(ALLOWED)


if __name__ == "__main__":
    for each in mutants():
        print(f"{killer(each) or 'ALIVE'}: {each}", flush=True)
