"""Runs put together: the model itself for one text, the same bits whatever else was read, and nothing lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.reader import Reader
from pasctl.memory.runs import Run, join_runs, read_run
from pasctl.stages.stored_runs import RunFile, load_run
from tests.memory.test_exactness import SMALL, ask_ids, full_logits, text_ids
from tests.tiny import FAMILIES, tiny_loaded

OPENING = text_ids(5, seed=9)


class Maker:
    """Reads runs into files of a folder."""

    def __init__(self, folder: Path, family: str = "qwen3", opening: list[int] | None = None, **changes: Any) -> None:
        self.folder, self.count = folder, 0
        self.opening = OPENING if opening is None else opening
        self.memory = EpisodicMemory(tiny_loaded(family), **SMALL | {"n_init": len(self.opening)} | changes)

    def run(self, ids: list[int]) -> Run:
        def write(number: int, tensors: dict[str, Tensor]) -> Path:
            self.count += 1
            path = self.folder / f"{self.count}.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
            return path

        return read_run(Reader(self.memory.model, self.memory.params), self.opening, ids, write)

    def join(self, *runs: Run, **changes: Any) -> EpisodicMemory:
        memory = EpisodicMemory(self.memory.model, params=replace(self.memory.params, **changes))
        join_runs(memory.reader, self.opening, runs)
        return memory


@pytest.mark.parametrize("family", [*FAMILIES, "gemma3_text", "qwen3_next"])
def test_one_short_text_of_which_all_is_retrieved_is_full_attention(family: str, tmp_path: Path) -> None:
    """The run keeps its places, so the question sees each key at its distance in the plain text."""
    maker = Maker(tmp_path, family, n_local=64)
    text, question = text_ids(20), text_ids(7, seed=1)
    memory = maker.join(maker.run(text), n_mem=64)
    expected = full_logits(memory, maker.opening + text + question)
    found = ask_ids(memory, question)[0]
    if family == "qwen3_next":  # the states of linear attention are those of the opening
        assert not torch.allclose(found, expected[-1], atol=1e-4)
    elif family != "gemma3_text":  # and a sliding window has not seen the text
        assert torch.allclose(found, expected[-1], atol=1e-4, rtol=1e-5)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("length", [1, 2, 9, 33, 150])
@pytest.mark.parametrize("refine", ["none", "modularity"])
def test_every_token_of_a_run_is_in_one_event_and_one_segment(tmp_path: Path, length: int, refine: str) -> None:
    maker = Maker(tmp_path, refine=refine)
    run = maker.run(text_ids(length))
    assert sum(tokens for _, tokens in run.segments) == len(run.ids) == len(run.surprise) == length
    assert run.starts[0] == 0
    assert list(run.starts) == sorted(set(run.starts))
    lengths = torch.tensor([*run.starts, length]).diff()
    assert lengths.max() <= maker.memory.params.max_block
    vectors = run.representatives.values() + run.common
    assert len(vectors) == len(run.starts)
    assert torch.isfinite(vectors).all()
    assert (vectors.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
@pytest.mark.parametrize("opening", [OPENING, []])
def test_a_run_does_not_depend_on_its_neighbours(tmp_path: Path, kv_dtype: str, opening: list[int]) -> None:
    maker = Maker(tmp_path, opening=opening, kv_dtype=kv_dtype)
    texts = [text_ids(length, seed=length) for length in (40, 3, 120)]
    runs = [maker.run(text) for text in texts]
    other = maker.run(text_ids(77, seed=7))
    changed = maker.join(runs[0], other, runs[2])
    (tmp_path / "anew").mkdir()
    anew = Maker(tmp_path / "anew", opening=opening, kv_dtype=kv_dtype)
    again = anew.join(anew.run(texts[0]), anew.run(text_ids(77, seed=7)), anew.run(texts[2]))
    question = text_ids(50, seed=3)
    assert torch.equal(ask_ids(changed, question), ask_ids(again, question))
    assert not torch.equal(ask_ids(changed, question), ask_ids(maker.join(*runs), question))
    # what is retrieved are events of the files, and only of those that there are
    total = sum(len(run.starts) for run in (runs[0], other, runs[2]))
    assert changed.reader.past.events.evicted == total
    assert changed.reader.ids == [*opening, *texts[0], *text_ids(77, seed=7), *texts[2]]


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_keys_with_biases_are_read_back_as_they_were_read(tmp_path: Path, kv_dtype: str) -> None:
    """Qwen2's keys have a large part in common, which eight bits leave out; it is the text's and not the template's."""
    maker = Maker(tmp_path, "qwen2", kv_dtype=kv_dtype)
    text = text_ids(90)
    memory = maker.join(maker.run(text))
    alone = EpisodicMemory(maker.memory.model, **SMALL | {"n_init": 0, "n_local": 400})
    alone.read_ids([*maker.opening, *text])
    alone.finish()
    keys = [each.reader.past.segments.read_all_layers(5, 25)[0] for each in (memory, alone)]
    error = (keys[0] - keys[1]).abs().max() / keys[1].abs().max()
    assert error < (1e-5 if kv_dtype == "model" else 0.02)
    counts = maker.run(text).usual.counts
    assert counts.tolist() == [-(-len(text) // 8)] * len(counts)


def test_an_event_has_the_same_score_wherever_its_run_stands(tmp_path: Path) -> None:
    maker = Maker(tmp_path, contiguity=0.0)
    a, b = maker.run(text_ids(60, seed=1)), maker.run(text_ids(50, seed=2))
    question, budget = text_ids(6, seed=3), 10_000

    def scores(*runs: Run) -> dict[tuple[int, int], dict[int, float]]:
        memory = maker.join(*runs, n_mem=budget)
        state = memory.text_state(question, keep_retrieved=True)
        from pasctl.models.attention import own_attention, run_backbone

        with own_attention(memory.model), torch.inference_mode():
            state.begin(question, retrieve=True)
            run_backbone(memory.model, torch.tensor([question]), state)
        assert state._pass is not None
        first = {each.layer: dict(zip(each.events, each.scores, strict=True)) for each in state._pass.log}
        return {(0, layer): found for layer, found in first.items()}

    one, two = scores(a, b), scores(b, a)
    # of the first layer, whose queries depend on nothing that was retrieved
    layer = (0, 0)
    moved = {(event - len(a.starts)) % (len(a.starts) + len(b.starts)): s for event, s in one[layer].items()}
    assert set(moved) == set(two[layer])
    for event, score in two[layer].items():
        assert moved[event] == pytest.approx(score, rel=1e-4, abs=1e-5)


def test_a_run_of_older_versions_has_its_representatives_rounded_when_it_is_loaded(tmp_path: Path) -> None:
    """They were in the model's dtype, and what they have in common was not written down."""
    run = Maker(tmp_path).run(text_ids(150))
    exact = run.representatives.values() + run.common
    arrays = {
        "ids": run.ids,
        "surprise": run.surprise.numpy(),
        "starts": np.array(run.starts),
        "representatives": exact.numpy(),
        "usual_queries": run.usual.sums.numpy(),
        "usual_counts": run.usual.counts.numpy(),
    }
    loaded = load_run(RunFile("old.txt", "0" * 64, 150, ()), arrays)
    apart = (loaded.representatives.values() + loaded.common - exact).abs().max()
    assert 0 < float(apart) < 0.01 * float((exact - exact.mean(0)).abs().max())
