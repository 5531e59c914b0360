from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from pasctl.errors import BusyError
from pasctl.store import Holder, Store, leases, make_key
from pasctl.store.schema import leases as table
from tests.store.conftest import lines
from tests.store.worker import build, document

Start = Callable[..., "subprocess.Popen[str]"]
KEY = make_key(document())


def held(store: Store) -> list[dict[str, object]]:
    with store.index.read() as connection:
        return [dict(row) for row in connection.execute(table.select()).mappings()]


def plant(store: Store, **changes: object) -> None:
    """A lease as another process would have left it."""
    fields = leases._myself() | {"key": KEY, "owner": "somebody"} | changes
    with store.index.write() as connection:
        connection.execute(table.insert().values(**fields))


def test_a_lease_is_held_inside_the_block_only(store: Store) -> None:
    with store.lease(KEY) as done:
        assert done is None
        (row,) = held(store)
        assert (row["key"], row["pid"]) == (KEY, os.getpid())
        with store.lease(make_key({})) as other:
            assert other is None
    assert held(store) == []
    with pytest.raises(RuntimeError, match="boom"), store.lease(KEY):
        raise RuntimeError("boom")
    assert held(store) == []


def test_a_finished_artifact_needs_no_lease(store: Store) -> None:
    artifact, _ = build(store)
    with store.lease(KEY) as done:
        assert done == artifact
        assert held(store) == []


def test_the_second_process_waits_says_for_whom_and_gets_the_artifact(store: Store, start: Start) -> None:
    worker = start("hold", store.root, 1.0)
    assert worker.stdout is not None
    assert '"held": true' in worker.stdout.readline()
    told: list[Holder] = []
    with store.lease(KEY, on_wait=told.append) as done:
        assert done is not None
        assert done.name == "activations/tiny/papi@v1"
    (holder,) = told
    assert holder.pid == worker.pid
    assert str(worker.pid) in str(holder)
    assert lines(worker)[-1]["digest"] == done.content_digest


def test_the_lease_of_a_killed_process_is_taken_over_at_once(store: Store, start: Start) -> None:
    worker = start("hold", store.root, 60)
    assert worker.stdout is not None
    worker.stdout.readline()
    killer = threading.Timer(0.5, worker.kill)
    killer.start()
    told: list[Holder] = []
    begun = time.monotonic()
    with store.lease(KEY, on_wait=told.append) as done:
        assert done is None
        assert 0.4 < time.monotonic() - begun < 5
        assert told[0].pid == worker.pid
        assert build(store)[1] > 0
    killer.join()


def test_a_holder_that_lives_makes_the_others_busy_after_the_timeout(store: Store, start: Start) -> None:
    worker = start("hold", store.root, 60)
    assert worker.stdout is not None
    worker.stdout.readline()
    with pytest.raises(BusyError, match=f"process {worker.pid} on .* after 0.5 s"), store.lease(KEY, timeout=0.5):
        pytest.fail("the lease is another process'")


@pytest.mark.parametrize("gone", [{"pid": 2**22 + 1}, {"started": "1"}])
def test_holders_that_are_gone_do_not_count(store: Store, gone: dict[str, object]) -> None:
    """A dead process, and a process id that was given to another process."""
    plant(store, **gone)
    with store.lease(KEY, timeout=0) as done:
        assert done is None


DAY = 86_400.0
AWAY = {"realm": "another machine", "host": "node7", "pid": 2**22 + 1}
CLOCKS = [-1e5 * DAY, -DAY, 0.0, DAY, 1e9 * DAY]


@pytest.mark.parametrize("ahead", CLOCKS)
def test_another_machine_that_falls_silent_is_taken_over_whatever_its_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.6)
    plant(store, **AWAY, since=time.time() + ahead, expires=time.time() + ahead)
    told: list[Holder] = []
    with pytest.raises(BusyError, match="node7"), store.lease(KEY, timeout=0.1):
        pytest.fail("the lease may still be the other machine's")
    begun = time.monotonic()
    with store.lease(KEY, on_wait=told.append, timeout=10) as done:
        assert done is None
        assert 0.5 < time.monotonic() - begun < 5
    assert told == []  # nobody was seen to live


@pytest.mark.parametrize("ahead", CLOCKS)
def test_another_machine_that_beats_keeps_its_lease_whatever_its_clock_says(
    store: Store, monkeypatch: pytest.MonkeyPatch, ahead: float
) -> None:
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 1.0)
    plant(store, **AWAY, since=time.time() + ahead, expires=time.time() + ahead)
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.2)
    stop = threading.Event()
    beating = threading.Thread(target=leases._beat, args=(store.index, KEY, "somebody", stop))
    beating.start()
    told: list[Holder] = []
    try:
        with pytest.raises(BusyError, match="node7"), store.lease(KEY, on_wait=told.append, timeout=2.5):
            pytest.fail("the lease is another machine's")
    finally:
        stop.set()
        beating.join()
    assert [holder.host for holder in told] == ["node7"]


def test_a_process_of_this_machine_that_hangs_is_taken_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "EXPIRY_SECONDS", 0.5)
    plant(store, expires=time.time() + DAY)
    with store.lease(KEY, timeout=10) as done:
        assert done is None


@pytest.mark.parametrize("clock", [lambda: 1e9, lambda: -time.monotonic()], ids=["stands still", "runs backwards"])
def test_every_heartbeat_is_seen_whatever_the_own_clock_does(
    store: Store, monkeypatch: pytest.MonkeyPatch, clock: Callable[[], float]
) -> None:
    plant(store)
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(leases.time, "time", clock)
    stop, seen = threading.Event(), []
    beating = threading.Thread(target=leases._beat, args=(store.index, KEY, "somebody", stop))
    beating.start()
    for _ in range(20):
        seen.append(held(store)[0]["expires"])
        time.sleep(0.1)
    stop.set()
    beating.join()
    assert len(set(seen)) == len(seen)


def test_the_heartbeat_keeps_a_lease_alive(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.05)
    with store.lease(KEY):
        first = held(store)[0]["expires"]
        time.sleep(0.3)
        assert held(store)[0]["expires"] > first  # type: ignore[operator]


def test_a_lost_lease_is_not_taken_back(store: Store) -> None:
    with store.lease(KEY), store.index.write() as connection:
        connection.execute(table.update().values(owner="somebody"))
    assert [row["owner"] for row in held(store)] == ["somebody"]


def test_where_no_lease_can_be_written_the_work_goes_on(store: Store) -> None:
    store.root.mkdir()
    (store.root / "index.sqlite").write_text("no database" * 100)
    with store.lease(KEY) as done:
        assert done is None
