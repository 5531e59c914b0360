"""Which events are recalled, against EM-LLM's description done the slow way, and the shares of the budget."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
import torch

from pasctl.memory.retrieval import choose_events


@dataclass(frozen=True)
class Case:
    scores: list[float]
    lengths: list[int]
    budget: int
    contiguity: float
    queue: list[int]

    @property
    def share(self) -> int:
        """Tokens that similarity has."""
        return round(self.budget * (1 - self.contiguity))

    def choose(self) -> tuple[list[int], list[int], list[int]]:
        return choose_events(
            torch.tensor(self.scores),
            self.lengths,
            budget=self.budget,
            contiguity=self.contiguity,
            queue=self.queue,
        )

    def tokens(self, events: Iterable[int]) -> int:
        return sum(self.lengths[event] for event in events)


def drawn(seed: int) -> Case:
    """Scores are distinct; the queue may hold events that are found again."""
    draw = random.Random(seed)
    count, longest = draw.randint(1, 60), draw.choice([1, 4, 12])
    scores = [float(place) for place in range(count)]
    draw.shuffle(scores)
    return Case(
        scores,
        [draw.randint(1, longest) for _ in range(count)],
        draw.randint(longest, 80),
        draw.choice([0.0, 0.1, 0.3, 0.5, 0.9]),
        draw.sample(range(count), draw.randint(0, min(8, count))),
    )


CASES = [drawn(seed) for seed in range(400)]


def slow(case: Case) -> tuple[list[int], list[int]]:
    """Found events and neighbours: a share is filled in order, up to the first event that does not fit into it."""
    if case.tokens(range(len(case.lengths))) <= case.budget:
        return list(range(len(case.lengths))), []
    ranked = sorted(range(len(case.scores)), key=lambda event: -case.scores[event])

    hits: list[int] = []
    for event in ranked:
        if case.tokens([*hits, event]) > case.share:
            break
        hits.append(event)

    near: list[int] = []
    candidates = [beside for hit in hits for beside in (hit - 1, hit + 1)] + case.queue
    for event in candidates if case.contiguity else []:
        if not 0 <= event < len(case.lengths) or event in hits or event in near:
            continue
        if case.tokens([*near, event]) > case.budget - case.share:
            break
        near.append(event)

    more: list[int] = []
    for event in ranked:
        if event in hits or event in near:
            continue
        if case.tokens([*hits, *near, *more, event]) > case.budget:
            break
        more.append(event)
    return [*hits, *more], near


@pytest.mark.parametrize("first", range(0, len(CASES), 100))
def test_events_are_those_of_the_description(first: int) -> None:
    for case in CASES[first : first + 100]:
        found, near, queue = case.choose()
        expected = slow(case)
        assert (found, near) == expected, case
        if len(found) < len(case.lengths):
            assert queue == near


def test_neighbours_take_no_more_than_their_share() -> None:
    for case in CASES:
        _, near, _ = case.choose()
        assert case.tokens(near) <= case.budget - case.share, case


def test_the_best_events_are_found_while_they_fit_their_share() -> None:
    several = 0
    for case in CASES:
        ranked = sorted(range(len(case.scores)), key=lambda event: -case.scores[event])
        fitting = [place + 1 for place in range(len(ranked)) if case.tokens(ranked[: place + 1]) <= case.share]
        best = ranked[: max(fitting, default=0)]
        found, _, _ = case.choose()
        assert set(best) <= set(found)
        several += len(best) > 3
    assert several > 100


def test_no_event_is_taken_twice_and_the_budget_is_filled_but_for_one_event() -> None:
    everything = 0
    for case in CASES:
        found, near, _ = case.choose()
        taken = [*found, *near]
        assert len(set(taken)) == len(taken)
        left = case.budget - case.tokens(taken)
        assert left >= 0
        if len(taken) < len(case.lengths):
            others = [event for event in range(len(case.lengths)) if event not in taken]
            # the next best did not fit
            assert left < case.lengths[max(others, key=lambda event: case.scores[event])]
        everything += len(taken) == len(case.lengths)
    assert 50 < everything < 350
