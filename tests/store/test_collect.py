"""Removal: what goes, what stays, and that it can be raced and killed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pasctl.errors import BusyError, InputError, IntegrityError, MissingError, StoreError
from pasctl.store import Artifact, Store, leases, make_key
from pasctl.store.collect import Rules, collect, parse_age
from pasctl.store.processes import realm_tag
from pasctl.store.removal import remove_named
from pasctl.store.schema import leases as lease_table
from pasctl.store.sweep import noted_export
from pasctl.store.usage import measure, require_room
from tests.store.conftest import lines
from tests.store.gc_worker import SEEDS, make, make_chain
from tests.store.worker import build, commit, document

WORKER = Path(__file__).with_name("gc_worker.py")
Start = Callable[..., "subprocess.Popen[str]"]
EVERYTHING = Rules(older_than=0.0, grace=0.0)


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def names(artifacts: list[Artifact]) -> list[str]:
    return sorted(artifact.name for artifact in artifacts)


def on_disk(store: Store) -> list[str]:
    return names(list(store.readable()))


def check_clean(store: Store) -> None:
    assert store.verify(deep=True) == []
    assert not list(store.root.glob("trash/*"))
    assert sorted(row.key for row in store.index.rows()) == store.keys()


# which artifacts go


def test_without_rules_no_artifact_goes(store: Store) -> None:
    chain = make_chain(store, 0)
    build(store, seed=1)
    build(store, seed=2)
    assert collect(store, Rules(grace=0.0)).removal.artifacts == []
    assert len(on_disk(store)) == len(chain) + 2


def test_keep_latest_counts_versions_of_each_name(store: Store) -> None:
    made = [build(store, seed=seed, label=label)[0] for seed, label in enumerate(["a", "b", "a", "a", "b"])]
    gone = collect(store, Rules(keep_latest=2, grace=0.0)).removal.artifacts
    assert names(gone) == ["activations/tiny/a@v1"]
    assert store.lookup(made[0].key) is None
    assert names(collect(store, Rules(keep_latest=1, grace=0.0)).removal.artifacts) == [
        "activations/tiny/a@v2",
        "activations/tiny/b@v1",
    ]
    check_clean(store)


def test_older_than_asks_when_an_artifact_was_last_used(store: Store) -> None:
    old, used, new = (build(store, seed=seed)[0] for seed in range(3))
    with store.index.write() as connection:
        for artifact in (old, used):
            connection.exec_driver_sql(
                "UPDATE artifacts SET created_at = '2020', used_at = '2020' WHERE key = ?", (artifact.key,)
            )
    for artifact in (old, used):
        text = (artifact.path / "manifest.json").read_text()
        (artifact.path / "manifest.json").write_text(text.replace(artifact.created_at, "2020-01-01T00:00:00+00:00"))
    store.touch(used)
    assert names(collect(store, Rules(older_than=86400.0)).removal.artifacts) == [old.name]
    assert on_disk(store) == names([used, new])


def test_both_rules_name_what_both_say_and_a_kind_bounds_them(store: Store) -> None:
    make_chain(store, 0)
    make_chain(store, 1)
    assert collect(store, Rules(keep_latest=1, older_than=3600.0, grace=0.0)).removal.artifacts == []
    gone = collect(store, Rules(older_than=0.0, kind="directions", grace=0.0)).removal.artifacts
    assert {artifact.kind for artifact in gone} == {"directions"}
    assert len(gone) == 2


def test_lineage_of_what_stays_stays(store: Store) -> None:
    first, second, third = make_chain(store, 0)
    make_chain(store, 1)
    store.tag(third, "mine")
    assert collect(store, EVERYTHING).removal.artifacts
    assert on_disk(store) == names([first, second, third])
    check_clean(store)


def test_what_was_just_made_stays(store: Store) -> None:
    build(store)
    assert collect(store, Rules(older_than=0.0)).removal.artifacts == []
    assert names(collect(store, EVERYTHING).removal.artifacts) == ["activations/tiny/papi@v1"]


def test_a_dry_run_says_the_same_and_does_nothing(store: Store) -> None:
    make_chain(store, 0)
    before = sorted(store.root.rglob("*"))
    planned = collect(store, EVERYTHING, dry_run=True)
    assert [path for path in sorted(store.root.rglob("*")) if "index.sqlite-" not in path.name] == before
    done = collect(store, EVERYTHING)
    assert names(planned.removal.artifacts) == names(done.removal.artifacts)
    assert planned.bytes == done.bytes > 0


def test_rules_that_say_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="'texst' is unknown"):
        Rules(kind="texst", keep_latest=1)
    with pytest.raises(InputError, match="--kind alone"):
        Rules(kind="texts")
    with pytest.raises(InputError, match="keep latest"):
        Rules(keep_latest=0)
    assert [parse_age(text) for text in ("30d", "1.5h", "2w", "90s", "3m")] == [2592000, 5400, 1209600, 90, 180]
    for text in ("", "30", "d", "-1d", "1y", "nan"):
        with pytest.raises(InputError, match="age"):
            parse_age(text)


# names


def test_the_number_of_a_removed_version_is_given_to_its_own_key_only(store: Store) -> None:
    made = [build(store, seed=seed)[0] for seed in range(3)]
    remove_named(store, [made[2].name])
    check_clean(store)
    assert store.resolve("activations/tiny/papi").key == made[1].key
    with pytest.raises(MissingError, match="no version v3"):
        store.resolve(made[2].name)
    assert build(store, seed=3)[0].name == "activations/tiny/papi@v4"
    assert build(store, seed=2)[0].name == made[2].name
    check_clean(store)


def test_a_name_without_versions_is_none(store: Store) -> None:
    build(store)
    other, _ = build(store, seed=1, label="other")
    remove_named(store, [other.name])
    assert store.resolve("activations/tiny").name == "activations/tiny/papi@v1"
    assert store.reindex().names == 1


def test_untag(store: Store) -> None:
    artifact, _ = build(store)
    store.tag(artifact, "mine")
    assert store.untag("mine")
    assert not store.untag("mine")
    assert not store.untag("../names")
    assert (store.tags(), store.index.tags()) == ({}, {})
    check = store.verify(deep=True)
    assert check == []


# rm


def test_rm_refuses_what_others_were_made_from(store: Store) -> None:
    first, second, third = make_chain(store, 0)
    with pytest.raises(InputError, match=r"activations/tiny/race@v1 is what probes/tiny/race@v1 was made from"):
        remove_named(store, [first.name])
    with pytest.raises(InputError, match=second.name):
        remove_named(store, [third.name, first.name])
    planned = remove_named(store, [first.name], cascade=True, dry_run=True)
    assert len(on_disk(store)) == 3
    done = remove_named(store, [first.name], cascade=True)
    assert [artifact.key for artifact in done.artifacts] == [third.key, second.key, first.key]  # consumers first
    assert done == planned
    assert on_disk(store) == []
    check_clean(store)


def test_rm_of_a_whole_chain_needs_no_cascade(store: Store) -> None:
    chain = make_chain(store, 0)
    assert len(remove_named(store, [artifact.name for artifact in chain]).artifacts) == 3
    check_clean(store)


def test_rm_refuses_what_has_a_tag(store: Store) -> None:
    first, _, third = make_chain(store, 0)
    store.tag(third, "mine")
    with pytest.raises(InputError, match="has the tag mine") as caught:
        remove_named(store, [first.name], cascade=True)
    assert "untag mine" in (caught.value.hint or "")
    assert len(on_disk(store)) == 3


def test_rm_of_nothing(store: Store) -> None:
    with pytest.raises(MissingError):
        remove_named(store, ["activations/tiny/papi"])


# what runs


def test_what_running_work_reads_and_writes_stays(store: Store) -> None:
    first, second, _ = make_chain(store, 0)
    key = make_key(document(7))
    with store.lease(key, reads=[second]) as done:
        assert done is None
        store.stage(key).write_json("parts/0.json", 0)
        os.utime(store.stage(key).folder, (0, 0))
        gone = collect(store, EVERYTHING).removal.artifacts
        assert [artifact.kind for artifact in gone] == ["directions"]
        assert on_disk(store) == names([first, second])
        with pytest.raises(BusyError, match="in use"):
            remove_named(store, [second.name])
        assert store.stage(key).has("parts/0.json")
    assert len(collect(store, EVERYTHING).removal.artifacts) == 2


def test_parts_that_running_work_takes_over_stay(store: Store) -> None:
    staging = store.stage(make_key(document(1)))
    staging.write_json("x.json", 1)
    commit(staging, document(1), parts=["p1"])
    key = make_key(document(2))
    with store.lease(key):
        assert set(store.find_parts(["p1"], reader=key)) == {"p1"}
        assert collect(store, EVERYTHING).removal.artifacts == []
    assert len(collect(store, EVERYTHING).removal.artifacts) == 1


def test_an_input_that_was_removed_before_is_said(store: Store) -> None:
    artifact, _ = build(store)
    remove_named(store, [artifact.name])
    with pytest.raises(MissingError, match=r"papi@v1 was removed"), store.lease(make_key({}), reads=[artifact]):
        pytest.fail("the input is gone")
    with store.index.read() as connection:
        assert connection.execute(lease_table.select()).all() == []
    with pytest.raises(MissingError, match="was removed"):
        store.tag(artifact, "mine")
    assert store.tags() == {}


def test_a_killed_reader_keeps_nothing(store: Store) -> None:
    artifact, _ = build(store)
    key = make_key(document(7))
    fields = leases._myself() | {"key": key, "owner": "somebody", "pid": 2**22 + 1}
    with store.lease(key, reads=[artifact]), store.index.write() as connection:
        connection.execute(lease_table.delete())
        connection.execute(lease_table.insert().values(**fields))
        connection.exec_driver_sql("CREATE TABLE kept AS SELECT * FROM uses")
    with store.index.write() as connection:
        connection.exec_driver_sql("INSERT INTO uses SELECT * FROM kept")
        connection.exec_driver_sql("DROP TABLE kept")
    assert len(collect(store, EVERYTHING).removal.artifacts) == 1
    with store.index.read() as connection:
        assert connection.exec_driver_sql("SELECT * FROM uses").all() == []


@pytest.mark.parametrize(("silent", "stays"), [(0.0, True), (2 * 86400.0, True), (8 * 86400.0, False)])
def test_work_on_another_machine_counts_in_spite_of_its_clock(store: Store, silent: float, stays: bool) -> None:
    artifact, _ = build(store)
    key = make_key(document(7))
    with store.lease(key, reads=[artifact]):
        with store.index.write() as connection:
            connection.execute(
                lease_table.update().values(realm="another", pid=2**22 + 1, expires=time.time() - silent, owner="other")
            )
        assert (collect(store, EVERYTHING).removal.artifacts == []) is stays


def test_without_an_index_nothing_is_removed(store: Store) -> None:
    artifact, _ = build(store)
    for path in store.root.glob("index.sqlite*"):
        path.unlink()
    (store.root / "index.sqlite").write_text("no database" * 100)
    for act in (lambda: collect(store, EVERYTHING), lambda: remove_named(store, [artifact.key])):
        with pytest.raises(IntegrityError, match="no usable index"):
            act()
    assert artifact.path.is_dir()


# leftovers


def test_temporary_files_of_ended_processes_go_and_others_stay(store: Store, start: Start) -> None:
    build(store)
    process = start("leave", store.root, worker=WORKER)
    assert process.wait(60) == 0
    left = list(store.root.rglob(".tmp-*"))
    assert len(left) == 5
    mine = replace_pid(left[0], os.getpid())
    foreign = left[0].with_name(".tmp-1-00000000-" + "0" * 16)
    foreign.write_text("of another machine, which writes it now")
    user = store.root / "chats" / ".tmp-notes"
    user.write_text("no name that the store gives")
    collected = collect(store)
    assert sorted(leftover.path for leftover in collected.leftovers) == sorted(left)
    assert collected.bytes == 4 * len("a whole conversation") + 2
    assert sorted(store.root.rglob(".tmp-*")) == sorted([mine, foreign, user])
    os.utime(foreign, (time.time() - 7200,) * 2)
    assert [leftover.path for leftover in collect(store).leftovers] == [foreign]
    assert collect(store).leftovers == []
    check = store.verify(deep=True)
    assert check == []


@pytest.mark.parametrize("stands", [True, False])
def test_unfinished_exports_go_and_an_earlier_one_only_where_one_stands(
    store: Store, tmp_path: Path, stands: bool
) -> None:
    place = tmp_path / "out"
    staging = store.stage(make_key(document()))
    staging.write_json("proof.json", {})
    commit(staging, document(), kind="export", provenance={"folder": str(place)})
    gone = f"{2**22 + 1}-{realm_tag()}-{'0' * 16}"
    partial, replaced = (tmp_path / f".out.{what}-{gone}" for what in ("partial", "replaced"))
    others = [tmp_path / f".other.partial-{gone}", tmp_path / f".out.partial-{os.getpid()}-{realm_tag()}-{'0' * 16}"]
    for folder in (partial, replaced, *others, *([place] if stands else [])):
        folder.mkdir()
        (folder / "model.safetensors").write_text("weights")
    assert {leftover.path for leftover in collect(store).leftovers} == {partial, *([replaced] if stands else [])}
    assert not partial.exists()
    assert replaced.exists() is not stands
    assert all(folder.exists() for folder in others)


KILLED = """
import os, sys
from pathlib import Path
from pasctl.store.disk import temporary_path, unique_suffix
from pasctl.store.sweep import noted_export

root, place = map(Path, sys.argv[1:])
with noted_export(root, place):
    partial = place.with_name(f".{place.name}.partial-{unique_suffix()}")
    partial.mkdir()
    (partial / "model.safetensors").write_text("weights")
    temporary_path(place.parent).write_text("a control vector")
    os._exit(9)
"""


def test_an_export_killed_before_its_first_artifact_leaves_nothing_after_gc(store: Store, tmp_path: Path) -> None:
    place = tmp_path / "exports of mine" / "out"
    place.parent.mkdir()
    mine = place.parent / ".tmp-notes"
    mine.write_text("no name that pasctl gives")
    done = subprocess.run([sys.executable, "-c", KILLED, str(store.root), str(place)], check=False)
    assert done.returncode == 9
    assert len(list(place.parent.iterdir())) == 3
    with noted_export(store.root, tmp_path / "other"):  # one that runs
        told = collect(store, dry_run=True).leftovers
        assert [leftover.path.parent for leftover in told] == [place.parent, place.parent, store.root / "exports"]
        assert len(list(place.parent.iterdir())) == 3
        assert [leftover.path for leftover in collect(store).leftovers] == [leftover.path for leftover in told]
        assert list(place.parent.iterdir()) == [mine]
        assert len(list((store.root / "exports").iterdir())) == 1
        assert collect(store).leftovers == []
    assert list((store.root / "exports").iterdir()) == []
    assert store.verify(deep=True) == []


@pytest.mark.parametrize("folder", ["/nowhere/at/all", "x" * 5000, "\0", "relative"])
def test_an_export_to_a_place_that_is_no_more_stops_no_collection(store: Store, folder: str) -> None:
    staging = store.stage(make_key(document()))
    staging.write_json("proof.json", {})
    commit(staging, document(), kind="export", provenance={"folder": folder})
    assert collect(store).leftovers == []


def replace_pid(path: Path, pid: int) -> Path:
    _, _, rest = path.name.removeprefix(".tmp-").partition("-")
    copy = path.with_name(f".tmp-{pid}-{rest[:-4]}ffff")
    copy.write_text("mine")
    return copy


def test_unfinished_work_stays_for_thirty_days_or_as_long_as_asked(store: Store) -> None:
    key = make_key(document(3))
    store.stage(key).write_json("parts/0.json", 0)
    for days, rules, goes in (
        (29, Rules(), False),
        (2, Rules(older_than=86400.0), True),
        (31, Rules(), True),
        (2, Rules(older_than=86400.0, kind="texts"), False),
    ):
        staging = store.stage(key)
        staging.write_json("parts/0.json", 0)
        for path in (staging.folder, *staging.folder.rglob("*")):
            os.utime(path, (time.time() - days * 86400,) * 2)
        gone = [leftover.path for leftover in collect(store, rules).leftovers]
        assert gone == ([staging.folder] if goes else []), (days, rules)
        assert staging.folder.exists() is not goes


def test_unfinished_work_of_a_finished_artifact_goes(store: Store) -> None:
    artifact, _ = build(store)
    folder = store.root / "staging" / artifact.key[3:]
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / ("x.json." + "0" * 64)).write_text("{}")
    assert [leftover.path for leftover in collect(store).leftovers] == [folder]
    assert list((store.root / "staging").iterdir()) == []


def test_an_empty_place_is_left_alone(store: Store) -> None:
    assert collect(store).bytes == 0
    assert not store.root.exists()


# killed on the way, and raced


@pytest.mark.integration
def test_a_removal_killed_anywhere_is_finished_by_the_next(tmp_path: Path, start: Start) -> None:
    """SIGKILL at every call that changes the disk: the store is sound after the next gc, and work can go on."""
    records = lines(start("kill_removal", tmp_path / "runs", worker=WORKER))
    assert len(records) > 15
    assert [record["killed"] for record in records] == [True] * (len(records) - 1) + [False]
    for record in records:
        store = Store(tmp_path / "runs" / str(record["step"]))
        collect(store, Rules(grace=0.0))
        check_clean(store)
        kept = on_disk(store)
        assert "directions/tiny/race@v2" in kept, record
        again = make_chain(store, 0)
        assert names(again) == ["activations/tiny/race@v1", "directions/tiny/race@v1", "probes/tiny/race@v1"]
        assert [artifact.content_digest for artifact in again] == record["digests"]
        check_clean(store)


@pytest.mark.integration
def test_what_is_referenced_never_goes_while_others_collect(store: Store, tmp_path: Path, start: Start) -> None:
    stop, raced = tmp_path / "stop", tmp_path / "raced"
    removers = [start("remove", store.root, stop, number, raced, worker=WORKER) for number in range(2)]
    producers = [start("produce", store.root, 6, number, raced, worker=WORKER) for number in range(3)]
    made = sum(lines(process)[0]["made"] for process in producers)
    stop.touch()
    removed = sum(lines(process)[0]["removed"] for process in removers)
    assert made >= 6
    assert removed >= 6
    collect(store, Rules(grace=0.0))
    check_clean(store)
    oracle = Store(tmp_path / "undisturbed")
    expected = {artifact.key: artifact.content_digest for seed in range(SEEDS) for artifact in make_chain(oracle, seed)}
    for artifact in store.readable():
        assert artifact.content_digest == expected[artifact.key]
        for source in artifact.inputs.values():
            assert store.lookup(source.key) is not None
    tags = store.tags()
    assert tags
    assert all(store.lookup(key) is not None for key in tags.values())


# room


def test_du_counts_linked_files_once(store: Store) -> None:
    artifact, _ = build(store)
    key = make_key(document(9))
    with store.lease(key):
        staging = store.stage(key)
        staging.adopt("head_outputs.safetensors", artifact)
        staging.write_json("own.json", "x" * 1000)
        other = commit(staging, document(9), kind="memory")
    usage = measure(store)
    size = (artifact.path / "head_outputs.safetensors").stat().st_size
    assert usage.kinds["activations"].shared == usage.kinds["memory"].shared == size
    assert {hexes: room.bytes for _, hexes, room in usage.artifacts} == {
        each.key[3:]: sum(path.stat().st_size for path in each.path.iterdir()) for each in (artifact, other)
    }
    everything = {path.stat().st_ino: path.stat().st_size for path in store.root.rglob("*") if path.is_file()}
    assert usage.disk == sum(everything.values())
    planned = remove_named(store, [other.name], dry_run=True)
    before = disk_bytes(store.root / "objects")
    remove_named(store, [other.name])
    assert before - disk_bytes(store.root / "objects") == planned.bytes < other.size


def disk_bytes(folder: Path) -> int:
    return sum({path.stat().st_ino: path.stat().st_size for path in folder.rglob("*") if path.is_file()}.values())


def test_work_without_room_is_refused_before_it_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=1 << 30))
    begun = tmp_path / "begun"
    require_room(tmp_path / "new" / "store", 1 << 30, begun)
    with pytest.raises(StoreError, match=r"new/store has 1\.0 GiB free, and this will write 2\.0 GiB") as caught:
        require_room(tmp_path / "new" / "store", 2 << 30, begun)
    assert "pasctl store gc" in (caught.value.hint or "")
    begun.mkdir()
    with (begun / "shard").open("wb") as stream:
        stream.truncate(1 << 30)  # what is there takes its room already
    require_room(tmp_path / "new" / "store", 2 << 30, begun)


def test_versions_are_compared_by_number(store: Store) -> None:
    """A clock that went back must not make the latest version the oldest."""
    first, _ = build(store, seed=0)
    second, _ = build(store, seed=1)
    text = (first.path / "manifest.json").read_text()
    later = replace(first, manifest=first.manifest | {"created_at": "2999-01-01T00:00:00+00:00"})
    (first.path / "manifest.json").write_text(text.replace(first.created_at, later.created_at))
    assert collect(store, Rules(keep_latest=1, grace=0.0)).removal.artifacts == []  # used in 2999: never old
    (first.path / "manifest.json").write_text(text)
    assert names(collect(store, Rules(keep_latest=1, grace=0.0)).removal.artifacts) == [first.name]
    assert store.lookup(second.key) is not None
    assert make(store, "first", "activations", 0).name == "activations/tiny/race@v1"
