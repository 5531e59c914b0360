"""Events as the reader makes them, for every segmenter and refinement: their lengths, and what they depend on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.params import REFINEMENTS, SEGMENTERS
from tests.memory.test_exactness import SMALL
from tests.tiny import tiny_loaded, tiny_tokenizer

TOKENS = 300
# everything of the text is in the window
WIDE = SMALL | {"n_local": 512, "n_mem": 0}
PROSE = (
    "I am the life of the party. I worry about things! Who gets stressed out easily? Vivid imagination\n"
    "Answer: B. No. Options (A) Very Accurate (B) Moderately Accurate (C) Neither system user assistant "
    "life party stressed vivid statement question accurate describe person imagine answer option worry? "
) * 5


@pytest.fixture(scope="module")
def text() -> list[int]:
    ids: list[int] = tiny_tokenizer()(PROSE, add_special_tokens=False)["input_ids"][:TOKENS]
    assert len(ids) == TOKENS
    return ids


def read(text: list[int], **settings: Any) -> EpisodicMemory:
    memory = EpisodicMemory(tiny_loaded(), **settings)
    memory.read_ids(text)
    return memory


def starts_of(memory: EpisodicMemory) -> list[int]:
    events = memory.reader.past.events
    return [*events.starts, *events.pending]


@pytest.mark.parametrize("segmenter", SEGMENTERS)
@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("settings", [SMALL, WIDE | {"chunk": 300}], ids=["pieces", "whole"])
def test_events_have_allowed_lengths_and_tile_the_text(
    text: list[int], segmenter: str, refine: str, settings: dict[str, Any]
) -> None:
    memory = read(text, **settings, segmenter=segmenter, refine=refine)
    starts = starts_of(memory)
    assert starts[0] == SMALL["n_init"]
    lengths = [stop - start for start, stop in pairwise([*starts, TOKENS])]
    assert all(SMALL["min_block"] <= length <= SMALL["max_block"] for length in lengths[:-1])
    assert 0 < lengths[-1] <= SMALL["max_block"]
    # spans are what is recalled: those of all events that have left follow each other from token n_init on
    events = memory.reader.past.events
    spans = [events.span(number) for number in range(events.evicted)]
    assert [token for span in spans for token in range(*span)] == list(range(SMALL["n_init"], starts[events.evicted]))
    assert (events.evicted > 0) == (settings["n_local"] < TOKENS)


@pytest.mark.parametrize("segmenter", ["fixed", "random", "sentence"])
def test_events_by_position_or_words_do_not_depend_on_the_chunk(text: list[int], segmenter: str) -> None:
    found = [starts_of(read(text, **SMALL | {"chunk": chunk}, segmenter=segmenter)) for chunk in (3, 8, 16)]
    found.append(starts_of(read(text, **WIDE | {"chunk": 300}, segmenter=segmenter)))
    assert found == found[:1] * 4
    # nor on the model
    other = EpisodicMemory(tiny_loaded("llama"), **SMALL, segmenter=segmenter)
    other.read_ids(text)
    assert starts_of(other) == found[0]


@pytest.mark.parametrize("refine", REFINEMENTS)
@pytest.mark.parametrize("segmenter", ["surprise", "random"])
def test_with_everything_in_the_window_no_chunk_changes_the_events(
    text: list[int], segmenter: str, refine: str
) -> None:
    found = [
        starts_of(read(text, **WIDE | {"chunk": chunk}, segmenter=segmenter, refine=refine)) for chunk in (7, 16, 300)
    ]
    assert found == found[:1] * 3


@pytest.mark.parametrize("segmenter", SEGMENTERS)
def test_what_follows_does_not_change_an_event(text: list[int], segmenter: str) -> None:
    whole = starts_of(read(text, **SMALL, segmenter=segmenter))
    for tokens in (96, 200):  # whole chunks, so that both recall the same
        begun = starts_of(read(text[:tokens], **SMALL, segmenter=segmenter))
        assert begun == [start for start in whole if start < tokens]


def test_fixed_events_are_of_one_length_and_random_ones_of_one_seed(text: list[int]) -> None:
    fixed = starts_of(read(text, **SMALL, segmenter="fixed"))
    assert fixed == list(range(SMALL["n_init"], TOKENS, 2 * SMALL["min_block"]))
    first, again, other = (starts_of(read(text, **SMALL, segmenter="random", seed=seed)) for seed in (0, 0, 1))
    assert first == again != other


def test_events_begin_behind_the_ends_of_sentences(text: list[int]) -> None:
    starts = starts_of(read(text, **SMALL | {"min_block": 1, "max_block": 10}, segmenter="sentence"))
    pieces = [tiny_tokenizer().decode([token]).rstrip(" ") for token in text]
    ends = {place + 1 for place, piece in enumerate(pieces) if piece.endswith((".", "!", "?", "\n"))}
    # an event begins there, or where one before it had grown to its most
    for before, start in pairwise(starts):
        assert start in ends or start - before == 10
    assert {end for end in ends if SMALL["n_init"] < end < TOKENS} <= set(starts)


def test_events_begin_where_surprise_is_high(text: list[int]) -> None:
    memory = read(text, **WIDE)
    surprise = memory.reader.surprise.double()
    for before, start in pairwise(starts_of(memory)):
        past = surprise[:start]
        spiked = surprise[start] > past.mean() + SMALL["gamma"] * past.std(correction=0)
        assert bool(spiked) or start - before == SMALL["max_block"]


def test_refinement_moves_each_boundary_to_the_best_place(text: list[int]) -> None:
    long = WIDE | {"max_block": 16}  # nothing that refinement can do to events of four tokens makes one too long
    memory = read(text, **long, segmenter="fixed", refine="modularity")
    starts, fixed = starts_of(memory), starts_of(read(text, **long, segmenter="fixed"))
    assert len(starts) == len(fixed)
    assert starts != fixed
    keys = torch.stack([window.key[0].transpose(0, 1).flatten(1) for window in memory.reader.windows]).double()
    graph = torch.einsum("lid,ljd->ij", keys, keys).clamp_min(0).fill_diagonal_(0)
    for number in range(1, len(starts) - 2):
        # when this boundary was placed, the one behind it still stood where it was proposed
        before, after = starts[number - 1], fixed[number + 1]
        scores = {split: _modularity(graph, before, split, after) for split in range(before + 2, after - 1)}
        assert scores[starts[number]] == pytest.approx(max(scores.values()), abs=1e-9)


def _modularity(graph: torch.Tensor, before: int, split: int, after: int) -> float:
    run = graph[before:after, before:after]
    total = float(run.sum())
    sides = [range(split - before), range(split - before, after - before)]
    return sum(
        float(run[side.start : side.stop, side.start : side.stop].sum()) / total
        - (float(run[side.start : side.stop].sum()) / total) ** 2
        for side in sides
    )
