"""Answers token by token: greedy against a plain loop, rows of a batch, sampling, ends."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
import torch

from pasctl.errors import InputError
from pasctl.generation import loop
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling import sample
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import MemoryTextState
from pasctl.memory.episodic import EpisodicMemory
from tests.memory.test_exactness import SMALL, text_ids
from tests.tiny import tiny_loaded

WITHIN = SMALL | {"n_local": 256}
RECALLED = SMALL | {"n_local": 64, "n_mem": 400, "positions": "true"}
QUESTIONS = [text_ids(length, seed=length) for length in (3, 21, 8)]


def read(settings: dict[str, Any], family: str = "qwen3") -> EpisodicMemory:
    memory = EpisodicMemory(tiny_loaded(family), **settings)
    memory.read_ids(text_ids(150))
    return memory


@pytest.fixture(scope="module")
def memory() -> EpisodicMemory:
    return read(WITHIN)


def decoded(
    memory: EpisodicMemory, questions: list[list[int]], ends: set[int] | None = None, **how: Any
) -> list[list[int]]:
    """Tokens of each question's answer; they are written at the same time."""
    settings = SamplingParams(**{"max_new_tokens": 12, **how})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "end_tokens", lambda model: ends or set())
        requests = [Request(question, settings, memory=memory) for question in questions]
        return [stream.tokens for stream in generate(memory.model, requests)]


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
@pytest.mark.parametrize("settings", [WITHIN, RECALLED], ids=["within the window", "recalled"])
def test_greedy_is_an_argmax_loop_over_growing_questions(family: str, settings: dict[str, Any]) -> None:
    memory = read(settings, family)
    assert (memory.reader.past.events.evicted > 5) == (settings is RECALLED)
    question, expected = QUESTIONS[1], list[int]()
    for _ in range(12):
        expected.append(int(memory.logits([[*question, *expected]])[0].argmax()))
    assert decoded(memory, [question]) == [expected]
    assert len(set(expected)) > 3


def test_when_everything_is_recalled_how_often_does_not_matter() -> None:
    memory = read(RECALLED)
    each = decoded(memory, QUESTIONS)
    assert all(decoded(memory, QUESTIONS, retrieve_every=every) == each for every in (2, 5, 100))


def test_a_row_that_has_ended_stays_silent_and_changes_no_other(memory: EpisodicMemory) -> None:
    free = decoded(memory, QUESTIONS)
    # a token that ends the first row in its middle, and the others later or never
    end = next(token for place, token in enumerate(free[0]) if 2 < place < 9 and token not in free[0][:place])
    others = [row.index(end) if end in row else len(row) for row in free[1:]]
    assert max(others) > free[0].index(end)
    together = decoded(memory, QUESTIONS, {end})
    for row, tokens in enumerate(free):
        kept = tokens[: tokens.index(end)] if end in tokens else tokens
        assert together[row] == kept
        assert decoded(memory, [QUESTIONS[row]], {end}) == [kept]


def test_sampling_repeats_itself_with_a_seed_and_differs_with_another(memory: EpisodicMemory) -> None:
    drawn = [decoded(memory, QUESTIONS, temperature=1.5, seed=seed) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != decoded(memory, QUESTIONS)


@pytest.mark.parametrize("how", [{"top_p": 1e-9, "temperature": 1.5}, {"temperature": 1e-6}], ids=["top_p", "cold"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_tiny_top_p_or_temperature_is_greedy(memory: EpisodicMemory, how: dict[str, float], seed: int) -> None:
    assert decoded(memory, QUESTIONS, seed=seed, **how) == decoded(memory, QUESTIONS)


@pytest.mark.parametrize("name", ["temperature", "top_p"])
@pytest.mark.parametrize("value", [-0.5, math.nan])
def test_what_is_no_temperature_or_share_is_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name):
        SamplingParams(**{name: value})


@pytest.mark.parametrize("top_p", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_share_of_the_likeliest(top_p: float, temperature: float) -> None:
    logits, draws = [0.3, 2.0, -1.0, 1.1, 0.0, 1.6], 20000
    weights = [math.exp(each / temperature) for each in logits]
    shares = sorted(((weight / sum(weights), token) for token, weight in enumerate(weights)), reverse=True)
    # the fewest of the likeliest tokens that have top_p together
    enough = next(place for place, total in enumerate(accumulate(s for s, _ in shares)) if total > top_p - 1e-9)
    kept = {token: share for share, token in shares[: enough + 1]}
    params = SamplingParams(temperature=temperature, top_p=top_p)
    drawn = sample(torch.tensor([logits] * draws), params, torch.Generator().manual_seed(0))
    counts = Counter(drawn)
    assert set(counts) == set(kept)
    for token, share in kept.items():
        expected = share / sum(kept.values())
        # five standard deviations
        assert abs(counts[token] / draws - expected) <= 5 * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("every", [1, 3, 100])
def test_events_are_retrieved_anew_every_n_tokens(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, passes = read(RECALLED), list[tuple[list[int], bool]]()
    begin = MemoryTextState.begin

    def noted(state: MemoryTextState, ids: list[int], *, retrieve: bool) -> list[int]:
        passes.append((ids, retrieve))
        return begin(state, ids, retrieve=retrieve)

    monkeypatch.setattr(MemoryTextState, "begin", noted)
    [tokens] = decoded(memory, QUESTIONS[:1], retrieve_every=every)
    # each token but the last is read, once, and events are retrieved with the first and each `every` later
    assert passes == [
        (QUESTIONS[0], True),
        *(([token], place % every == 0) for place, token in enumerate(tokens[:-1])),
    ]


def test_a_sampled_answer_does_not_depend_on_what_is_asked_with_it(memory: EpisodicMemory) -> None:
    how = {"temperature": 1.5, "seed": 3}
    together = decoded(memory, QUESTIONS, **how)
    assert together == [decoded(memory, [question], **how)[0] for question in QUESTIONS]
    assert together[::-1] == decoded(memory, QUESTIONS[::-1], **how)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-40, 1e-9])
def test_next_to_no_temperature_takes_the_most_likely_token(temperature: float) -> None:
    logits = torch.tensor([[0.3, 2.0, -1.0], [1e4, -1e4, 9999.0], [-torch.inf, 0.0, -torch.inf]])
    for top_p in (1.0, 0.5, 1e-300):
        params = SamplingParams(temperature=temperature, top_p=top_p)
        assert sample(logits, params, torch.Generator().manual_seed(0)) == [1, 0, 1]


@pytest.mark.parametrize("temperature", [1e20, 1e39, 1.7e308])
def test_the_hottest_temperatures_draw_all_possible_tokens_alike(temperature: float) -> None:
    logits, draws = [0.3, 2.0, -torch.inf, -1e4], 9000
    params = SamplingParams(temperature=temperature)
    counts = Counter(sample(torch.tensor([logits] * draws), params, torch.Generator().manual_seed(0)))
    assert set(counts) == {0, 1, 3}
    # five standard deviations
    assert all(abs(count - draws / 3) < 5 * math.sqrt(draws * 2 / 9) for count in counts.values())


@pytest.mark.parametrize("top_p", [5e-324, 1e-300, 1e-40])
def test_the_smallest_share_is_one_token(top_p: float) -> None:
    params = SamplingParams(temperature=1.0, top_p=top_p)
    assert sample(torch.tensor([[0.3, 2.0, -1.0]] * 50), params, torch.Generator().manual_seed(0)) == [1] * 50
