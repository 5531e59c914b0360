"""Events that tie are taken by their position, whatever noise their scores carry."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import Answer
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.retrieval import TIE, choose_events, rank_events, score_events
from tests.tiny import tiny_loaded

SMALL: dict[str, Any] = {
    "n_init": 4,
    "n_local": 64,
    "n_mem": 48,
    "chunk": 16,
    "min_block": 4,
    "max_block": 12,
    "repr_topk": 2,
    "segmenter": "fixed",
}


def ranked_slowly(scores: Tensor) -> list[int]:
    """The same order another way: by sums in float64 and a walk from the best to the worst."""
    values = [float(score) for score in scores]
    tolerance = TIE * (max(values) - min(values))
    runs: list[list[int]] = []
    for event in sorted(range(len(values)), key=lambda event: (-values[event], event)):
        if runs and values[runs[-1][-1]] - values[event] <= tolerance:
            runs[-1].append(event)
        else:
            runs.append([event])
    return [event for run in runs for event in sorted(run)]


def noisy(scores: Tensor, seed: int, steps: int = 1) -> Tensor:
    """Scores moved by up to some float32 steps, each its own way."""
    draw, moved = torch.Generator().manual_seed(seed), scores.clone()
    for _ in range(steps):
        way = torch.randint(-1, 2, scores.shape, generator=draw).float() * torch.inf
        moved = torch.where(way.isnan(), moved, torch.nextafter(moved, way))
    return moved


def repeated(seed: int, events: int = 300) -> Tensor:
    """Scores of text that repeats itself: few values, each many times, and a few events of their own."""
    draw = torch.Generator().manual_seed(seed)
    kinds = 40 * torch.randn(5, generator=draw)
    scores = kinds[torch.randint(5, (events,), generator=draw)]
    scores[torch.randint(events, (6,), generator=draw)] += 7
    return scores


@pytest.mark.parametrize("seed", range(20))
def test_the_order_is_that_of_a_walk(seed: int) -> None:
    draw = random.Random(seed)
    scores = torch.tensor([draw.choice([1.0, 1.0 + 4e-6, 1.0 - 9e-6, draw.gauss(0, 1)]) for _ in range(80)])
    slow = ranked_slowly(scores)
    assert rank_events(scores, 80) == slow
    for most in (1, 10, 40):
        some = rank_events(scores, most)
        assert some == slow[: len(some)]
        assert len(some) >= most


def test_scores_that_are_apart_keep_their_order() -> None:
    scores = torch.randn(500, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    scores = (scores.argsort().argsort() * 1e-3).float()
    assert rank_events(scores, 500) == scores.argsort(descending=True).tolist()


def test_without_a_budget_nothing_is_taken() -> None:
    scores = repeated(0)
    assert rank_events(scores, 0) == []
    lengths = [1] * len(scores)
    assert choose_events(scores, lengths, budget=0, contiguity=0.3, queue=[1]) == ([], [], [])


def test_of_equal_events_the_earliest_are_taken() -> None:
    hits, near, _ = choose_events(torch.ones(1000), [10] * 1000, budget=100, contiguity=0.0, queue=[])
    assert (hits, near) == (list(range(10)), [])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("contiguity", [0.0, 0.3])
def test_noise_of_a_float32_step_changes_no_choice(seed: int, contiguity: float) -> None:
    scores, draw = repeated(seed), random.Random(seed)
    lengths = [draw.randint(4, 12) for _ in range(len(scores))]
    queue = draw.sample(range(len(scores)), 5)

    def chosen(of: Tensor) -> tuple[list[int], list[int], list[int]]:
        return choose_events(of, lengths, budget=200, contiguity=contiguity, queue=queue)

    for noise in range(5):
        assert chosen(noisy(scores, noise)) == chosen(scores)
        assert chosen(noisy(scores, noise, steps=8)) == chosen(scores)


@pytest.mark.parametrize("size", [0.0, 30.0, 900.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_all_events_have_in_common_decides_nothing(size: float, dtype: torch.dtype) -> None:
    """A common part of thousands of deviations leaves the order that float64 gives, to the last event and without ties.

    Products with all of a key have a rounding error of about 1 in 1e7 of them, which is 0.01 here; and were a tie a
    share of the largest product, events would tie that are 0.5 apart.
    """
    draw = torch.Generator().manual_seed(0)
    common = torch.zeros(2, 64)
    common[:, :4] = size
    keys = (common + torch.randn(2000, 2, 64, generator=draw)).to(dtype)
    query = (common / 15 + torch.randn(1, 2, 64, generator=draw)).to(dtype)
    exact = torch.einsum("bgd,egd->be", query.double(), keys.double())[0]
    scores = score_events(query, keys, keys[:256].float().mean(0))[0]
    assert scores.dtype == torch.float32
    order = rank_events(scores, 50)[:50]
    gaps = exact[order[:-1]] - exact[order[1:]]
    assert float(gaps.min()) > -2e-5 * float(exact.max() - exact.min())
    assert set(order) == set(exact.topk(50).indices.tolist())


def test_a_constant_in_all_scores_changes_no_order() -> None:
    """Multiples of 1/64, so that the constant costs no bits."""
    scores = (torch.randn(400, generator=torch.Generator().manual_seed(0)) * 64).round() / 64
    for constant in (0.0, 100.0, -30000.0):
        assert rank_events(scores + constant, 400) == ranked_slowly(scores)


@pytest.fixture(scope="module")
def repetitive() -> EpisodicMemory:
    """A memory of one sentence again and again, cut at its period: all its events are alike."""
    memory = EpisodicMemory(tiny_loaded(), **SMALL)
    period = torch.randint(6, 400, (8,), generator=torch.Generator().manual_seed(1)).tolist()
    memory.read_ids(period * 60)
    return memory


QUESTIONS = ["Who worries?", "What is vivid?", "Is the party here? Is it over?", "Answer: A", "Why do I get stressed?"]


def recalled(answer: Answer) -> list[tuple[int, tuple[int, ...]]]:
    """Layer and events of each retrieval, in order; steps count those of the company as well."""
    return [(each.layer, each.events) for each in answer.recalled]


@pytest.mark.parametrize("together", [2, 3, 5])
def test_a_question_gets_the_same_events_and_answer_in_any_company(repetitive: EpisodicMemory, together: int) -> None:
    how = SamplingParams(max_new_tokens=8)
    alone = {question: repetitive.ask_all([question], how)[0] for question in QUESTIONS}
    for first in range(len(QUESTIONS)):
        company = [QUESTIONS[(first + step) % len(QUESTIONS)] for step in range(together)]
        for question, answer in zip(company, repetitive.ask_all(company, how), strict=True):
            assert recalled(answer) == recalled(alone[question])
            assert answer.tokens == alone[question].tokens


def test_a_question_gets_the_same_events_with_any_number_of_threads(repetitive: EpisodicMemory) -> None:
    threads, answers = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            answers.append(repetitive.ask_all([QUESTIONS[0]], SamplingParams(max_new_tokens=8))[0])
    finally:
        torch.set_num_threads(threads)
    assert recalled(answers[0]) == recalled(answers[1])
    assert answers[0].tokens == answers[1].tokens
