"""The power goes behind any call: what was not synced is lost, in whole or in part. The store is sound and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.store import Store
from pasctl.store.collect import Rules, collect
from pasctl.store.removal import remove_named
from tests.store.disk_calls import Disk, Op, after_power_cut, write_tree
from tests.store.light_stage import run

pytestmark = pytest.mark.integration
RANDOM_STATES = 2  # per call, beside all of the unsynced lost, and all of it there without, or with half of, its data


@pytest.fixture
def tmp_path(in_memory: Path) -> Path:
    return in_memory


def record(root: Path, *, links: bool = True) -> tuple[list[Op], list[str]]:
    """The calls of the light stage, and the digests of what it makes."""
    disk = Disk(root, links=links)
    with disk.watch():
        made = run(Store(root), disk.mark, lease=False)
    return without_index(disk.log), [artifact.content_digest for artifact in made]


def without_index(log: list[Op]) -> list[Op]:
    """The index is SQLite's own, and is made again from the disk."""
    return [op for op in log if not any("sqlite" in name for _, name in op.entries)]


def states(log: list[Op], end: int, seed: int) -> list[dict[str, bytes | None]]:
    """What the disk may hold when the power goes behind the first calls of a log."""
    part = log[:end]
    draw = np.random.default_rng([seed, end])
    found = [
        after_power_cut(part, lambda place: False, "lost"),
        after_power_cut(part, lambda place: True, "lost"),
        after_power_cut(part, lambda place: True, "cut"),
    ]
    for _ in range(RANDOM_STATES):
        kept = set(np.flatnonzero(draw.random(end) < 0.5).tolist())
        found.append(after_power_cut(part, kept.__contains__, str(draw.choice(["lost", "cut"]))))
    return found


def promised(store: Any, marks: list[dict[str, Any]]) -> None:
    """What the store had said was done is there."""
    committed = {artifact.key for artifact in store.readable()}
    for mark in marks:
        if mark["what"] == "shard":
            assert mark["key"] in committed or store.stage(mark["key"]).has(mark["name"]), mark
        elif mark["what"] == "artifact":
            artifact = next(each for each in store.readable() if each.key == mark["key"])
            assert artifact.version == mark["version"], mark
        elif mark["what"] == "tag":
            # a tag names what it was last given to, or what it is being moved to
            order = [each["key"] for each in marks if each["what"] == "artifact"]
            assert order.index(store.tags()[mark["name"]]) >= order.index(mark["key"]), mark


@pytest.mark.parametrize("links", [True, False], ids=["hard-links", "copies"])
def test_a_power_cut_anywhere_in_a_stage(tmp_path: Path, links: bool) -> None:
    log, digests = record(tmp_path / "recorded", links=links)
    assert len(log) > 100
    tried: set[int] = set()
    for end in range(len(log) + 1):
        marks = [op.about for op in log[:end] if op.kind == "mark"]
        for tree in states(log, end, seed=0):
            signature = hash((len(marks), *sorted(tree.items(), key=lambda entry: entry[0])))
            if signature in tried:
                continue
            tried.add(signature)
            store = Store(tmp_path / str(len(tried)))
            write_tree(tree, store.root)
            where = (end, log[end - 1] if end else None)
            problems = [problem.what for problem in store.verify(deep=True) if not problem.note]
            # without links a version's name is there before the key in it; the next gc clears that
            assert problems == [] or (not links and set(problems) == {"holds no key"}), where
            if not problems:
                promised(store, marks)
            assert [artifact.content_digest for artifact in run(store, lease=False)] == digests, where
            if problems:
                collect(store)
            assert store.verify(deep=True) == [], where
    assert len(tried) > 80


def test_a_power_cut_anywhere_in_a_removal(tmp_path: Path) -> None:
    """What goes with its consumer: at no time is there less than a whole artifact that has a version."""
    root = tmp_path / "recorded"
    disk = Disk(root)
    with disk.watch():
        source, made = run(Store(root), lease=False)
        Store(root).untag("best")
        Store(root).untag("moved")
        begun = len(without_index(disk.log))
        remove_named(Store(root), [source.key], cascade=True)
    log, tried = without_index(disk.log), set[int]()
    for end in range(begun, len(log) + 1):
        for tree in states(log, end, seed=1):
            signature = hash(tuple(sorted(tree.items(), key=lambda entry: entry[0])))
            if signature in tried:
                continue
            tried.add(signature)
            store = Store(tmp_path / str(len(tried)))
            write_tree(tree, store.root)
            collect(store, Rules(grace=0.0))
            assert [problem for problem in store.verify(deep=True) if not problem.note] == [], log[end - 1]
            digests = [artifact.content_digest for artifact in run(store, lease=False)]
            assert digests == [source.content_digest, made.content_digest]
            assert store.verify(deep=True) == []
    assert len(tried) > 20
