"""The index of events: its figures against plain loops, its choice against all events, and taking it up again."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pasctl.memory import index as index_module
from pasctl.memory import vectors as vectors_module
from pasctl.memory.checkpoint import states_of
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.events import Events
from pasctl.memory.index import Clusters, Index, main_directions
from pasctl.memory.params import MemoryParams
from pasctl.memory.rounded import Rounded
from pasctl.memory.vectors import BLOCK, LayerVectors
from tests.memory.test_exactness import text_ids
from tests.tiny import tiny_loaded

SMALL = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=2, max_block=4)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slabs that a short text fills."""
    for name, value in {"SLAB": 256, "CLUSTERS": 16, "QUERIES": 8}.items():
        monkeypatch.setattr(index_module, name, value)
    monkeypatch.setattr(vectors_module, "SLAB", 256)
    for module in (index_module, vectors_module):
        monkeypatch.setattr(module, "CANDIDATES", 256)
    monkeypatch.setattr(vectors_module, "LEAST_SLABS", 2)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def looked_for(count: int, seed: int = 0) -> Tensor:
    """Queries [count, 2, 12] that lie in two directions, as a text's chunks do."""
    return (drawn(count, 2, seed=seed) @ drawn(2, 24, seed=99)).view(count, 2, 12)


@pytest.fixture
def events() -> Events:
    """2,000 events of a layer whose index has learned what chunks look for."""
    events = Events(0, 2, 12, [CPU], index=["words"])
    events.common = {0: torch.zeros(2, 1, 12)}
    events.starts = list(range(2001))
    vectors, queries = drawn(2000, 2, 12, seed=1), looked_for(8)
    for stop in (150, 700, 2000):
        first = events.evicted
        events.leave(stop)
        events.represent(0, first, vectors[first:stop])
    for query in queries:
        events.recall(0, query[None], [], outside=2000, budget=20, contiguity=0.3, by_word=True, by_index=True)
    return events


def test_the_fit_of_clusters_has_the_mean_and_nearly_the_variance_of_the_fit_of_events() -> None:
    vectors, index = drawn(512, 24), Index()
    directions = index.directions = main_directions(looked_for(8).flatten(1))
    for start in (0, 256):
        index.add(Clusters.of(vectors[start : start + 256], directions))
    for query in looked_for(5, seed=3).flatten(1):
        fit, mean, variance = index.fit(query)
        every = [float(vector @ query) for vector in vectors]
        assert float(mean) == pytest.approx(sum(every) / 512, abs=0.02)
        assert float(variance) == pytest.approx(sum((one - float(mean)) ** 2 for one in every) / 512, rel=0.1)
        for cluster in range(32):
            slab, number = divmod(cluster, 16)
            members = [e for e in range(256) if int(index.slabs[slab].cluster[e]) == number]
            fits = [every[slab * 256 + e] for e in members]
            assert float(fit[cluster]) == pytest.approx(sum(fits) / max(1, len(fits)), abs=0.05)


def test_members_are_the_events_of_the_clusters_that_fit_best() -> None:
    index = Index()
    for seed in (0, 1):
        index.add(Clusters.of(drawn(256, 24, seed=seed), main_directions(looked_for(8).flatten(1))))
    fit = drawn(32, seed=5)
    wanted = set[int]()
    for cluster in sorted(range(32), key=lambda number: -float(fit[number])):
        if len(wanted) >= 100:
            break
        slab, number = divmod(cluster, 16)
        wanted |= {slab * 256 + e for e in range(256) if int(index.slabs[slab].cluster[e]) == number}
    assert index.members(fit, 100).tolist() == sorted(wanted)


def test_the_index_chooses_the_events_that_comparing_all_of_them_chooses(events: Events) -> None:
    shared = wanted = 0
    for query in looked_for(40, seed=7):
        how: dict[str, Any] = {"outside": 2000, "budget": 20, "contiguity": 0.3, "by_word": True}
        before = events.compared
        found, scores, queue = events.recall(0, query[None], [], by_index=True, **how)
        assert events.compared - before < 2000 / 3
        every, exact, _ = events.recall(0, query[None], [], **how)
        assert len(found) == len(every) == 20
        assert set(queue) <= set(found)
        shared, wanted = shared + len(set(found) & set(every)), wanted + len(every)
        alike = dict(zip(every, exact, strict=True))
        assert [alike[event] for event in found if event in alike] == pytest.approx(
            [score for event, score in zip(found, scores, strict=True) if event in alike], rel=0.1, abs=0.05
        )
    assert shared >= 0.97 * wanted


@pytest.mark.parametrize("outside", [512, 513, 700, 1999, 2000])
def test_events_that_left_later_are_not_found(events: Events, outside: int) -> None:
    fresh = Events(0, 2, 12, [CPU], index=["mean"])
    fresh.common = {0: torch.zeros(2, 1, 12)}
    fresh.starts = list(range(2001))
    fresh.leave(outside)
    fresh.represent(0, 0, events.representatives(0)[:outside, 0])
    for query in looked_for(9, seed=2):
        found, _, _ = fresh.recall(0, query[None], [], outside=outside, budget=20, contiguity=0.3, by_index=True)
        assert found == sorted(set(found))
        assert found[-1] < outside


def test_a_fork_shares_the_index_and_changes_nothing_in_it(events: Events) -> None:
    fork, [index] = events.fork(), events.indexes
    fork.starts = [*fork.starts, *range(2001, 2601)]
    fork.leave(2600)
    fork.represent(0, 2000, drawn(600, 2, 12, seed=4))
    assert [len(each) for each in (*fork.indexes, *events.indexes)] == [2560, 1792]
    assert all(a is b for a, b in zip(index.slabs, fork.indexes[0].slabs, strict=False))


@pytest.mark.parametrize("on_disk", [False, True])
def test_slabs_that_are_joined_hold_what_was_put_in_order(on_disk: bool) -> None:
    vectors = drawn(1900, 2, 12, seed=4)
    rows = Rounded.of(vectors, torch.zeros(2, 12))
    layer, forks = LayerVectors(None, on_disk=on_disk), list[tuple[int, LayerVectors]]()
    for stop in range(100, 2000, 100):
        while layer.room < stop:
            layer.add_room(Rounded.room(BLOCK, 2, 12, device=CPU))
        layer.put(stop - 100, rows[stop - 100 : stop])
        layer.settle(stop)
        forks.append((stop, layer.fork(stop)))
    assert len(layer._slabs) == (7 if on_disk else 3)  # 7 is 4 + 2 + 1
    for stop, each in [*forks, (1900, layer)]:  # what goes on changes nothing in those before it
        for first, last in ((0, stop), (stop // 3, stop // 2), (max(0, stop - 300), stop)):
            got = torch.cat([part.steps for part in each.get(first, last)])
            assert torch.equal(got, rows.steps[first:last])
        some = torch.arange(0, stop, 7)
        assert torch.equal(each._rows(some).values(), rows[some].values())


def test_words_and_parts_of_chunks_are_compared_with_all_events(events: Events) -> None:
    before = events.compared
    events.recall(0, looked_for(3), [], outside=2000, budget=20, contiguity=0.3, by_word=True)
    assert events.compared - before == 2000


class _Files:
    """Writes segments, and what reading goes on from behind each, as the store does."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.segments, self.ends = folder, list[Path](), list[Path]()

    def __call__(self, number: int, tensors: dict[str, Tensor]) -> Path:
        ends = states_of(tensors)
        for name, paths in (("segment", self.segments), ("end", self.ends)):
            part = ends if name == "end" else {key: t for key, t in tensors.items() if key not in ends}
            paths.append(self.folder / f"{name}{number}")
            save_file({key: tensor.contiguous() for key, tensor in part.items()}, paths[-1])
        return self.segments[-1]


@pytest.mark.parametrize("family", ["qwen3", "gpt_oss"])
def test_a_text_that_is_taken_up_again_has_the_same_index(tmp_path: Path, family: str) -> None:
    """Before the first queries are all known, before and behind the first slab, and at the end."""
    model, text, files = tiny_loaded(family), text_ids(2600), _Files(tmp_path)
    whole = EpisodicMemory(model, params=SMALL, writer=files)
    whole.read_ids(text)
    whole.finish()
    slabs = len(whole.reader.past.events.indexes[0].slabs)
    assert slabs >= 2
    expected = whole.logits([text[:9]])
    for count in (3, len(files.segments) // 4, len(files.segments) // 2, len(files.segments)):
        again = EpisodicMemory(model, params=SMALL)
        again.restore(files.segments[:count], files.ends[count - 1])
        again.read_ids(text[len(again.reader.ids) :])
        again.finish()
        assert [len(index.slabs) for index in again.reader.past.events.indexes] == [slabs] * len(
            whole.reader.past.events.indexes
        )
        assert torch.equal(again.reader.surprise, whole.reader.surprise)
        assert torch.equal(again.logits([text[:9]]), expected)


def test_a_memory_without_an_index_is_asked_as_one_that_compares_all(tmp_path: Path) -> None:
    """As an older version wrote it: nothing of an index is there, and a question makes none."""
    model, text, files = tiny_loaded(), text_ids(2600), _Files(tmp_path)
    exact = EpisodicMemory(model, params=MemoryParams(**{**vars(SMALL), "exact_recall": True}), writer=files)
    exact.read_ids(text)
    exact.finish()
    assert not any("index" in name for path in files.segments for name in load_file(path))
    opened = EpisodicMemory(model, params=SMALL)
    opened.restore(files.segments, files.ends[-1])
    assert torch.equal(opened.logits([text[:9]]), exact.logits([text[:9]]))
    assert not any(len(index) for index in opened.reader.past.events.indexes)


@pytest.mark.parametrize("representatives", ["cpu", "disk"])
def test_where_representatives_are_kept_changes_nothing(representatives: Any) -> None:
    model, text = tiny_loaded(), text_ids(2600)
    usual, other = (
        EpisodicMemory(model, params=SMALL),
        EpisodicMemory(model, params=replace(SMALL, representatives=representatives)),
    )
    for memory in (usual, other):
        memory.read_ids(text)
    assert len(usual.reader.past.events.indexes[0].slabs) >= 2
    assert torch.equal(other.reader.surprise, usual.reader.surprise)
    assert torch.equal(other.logits([text[:9]]), usual.logits([text[:9]]))
    assert other.describe() == usual.describe()
    if sys.platform == "linux":
        maps = Path("/proc/self/maps").read_text().count("pasctl-representatives-")
        assert (maps > 0) == (representatives == "disk")
