"""Answers token by token: greedy against a plain loop, rows of a batch, sampling, ends."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate
from typing import Any

import pytest
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.asking import Asking, decode
from pasctl.generation.sampling_params import SamplingParams
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
) -> list[list[int | None]]:
    """Tokens, a list a row."""
    settings = SamplingParams(**{"max_new_tokens": 12, **how})
    steps = decode(Asking(memory.reader, len(questions)), questions, ends or set(), settings)
    return [list(row) for row in zip(*steps, strict=True)]


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
        silence = [None] * (len(together[row]) - len(kept))
        assert together[row] == [*kept, *silence]
        [alone] = decoded(memory, [QUESTIONS[row]], {end})
        assert alone == [*kept, None][: len(tokens)]


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


class Scripted:
    """Stands for `Asking`: gives logits that do not depend on what is asked, and notes the steps."""

    def __init__(self, *logits: Tensor) -> None:
        self.logits = list(logits)
        self.steps: list[tuple[list[int], bool]] = []

    def ask(self, questions: Any) -> Tensor:
        return self.logits[0]

    def step(self, tokens: list[int], *, retrieve: bool) -> Tensor:
        self.steps.append((list(tokens), retrieve))
        return self.logits[len(self.steps) % len(self.logits)]


@pytest.mark.parametrize("top_p", [0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_their_share_of_the_likeliest(top_p: float, temperature: float) -> None:
    logits, draws = [0.3, 2.0, -1.0, 1.1, 0.0, 1.6], 20000
    weights = [math.exp(each / temperature) for each in logits]
    shares = sorted(((weight / sum(weights), token) for token, weight in enumerate(weights)), reverse=True)
    # the fewest of the likeliest tokens that have top_p together
    enough = next(place for place, total in enumerate(accumulate(s for s, _ in shares)) if total > top_p - 1e-9)
    kept = {token: share for share, token in shares[: enough + 1]}
    [drawn] = decode(
        Scripted(torch.tensor([logits] * draws)),  # type: ignore[arg-type]
        [[0]] * draws,
        set(),
        SamplingParams(max_new_tokens=1, temperature=temperature, top_p=top_p),
    )
    counts = Counter(drawn)
    assert set(counts) == set(kept)
    for token, share in kept.items():
        expected = share / sum(kept.values())
        # five standard deviations
        assert abs(counts[token] / draws - expected) <= 5 * math.sqrt(expected * (1 - expected) / draws)


@pytest.mark.parametrize("every", [1, 3, 100])
def test_events_are_recalled_anew_each_so_many_tokens(every: int) -> None:
    script = Scripted(*torch.eye(4)[:, None])
    tokens = list(decode(script, [[0]], set(), SamplingParams(max_new_tokens=11, retrieve_every=every)))  # type: ignore[arg-type]
    assert tokens == [[place % 4] for place in range(11)]
    # each token but the last is read, once, and recalled for with the first and each `every` later
    assert script.steps == [([place % 4], place % every == 0) for place in range(10)]


def test_decoding_stops_when_all_rows_have_ended() -> None:
    rows = torch.tensor([[1, 2, 3, 0, 5, 5], [1, 0, 4, 4, 4, 4], [1, 2, 2, 2, 9, 2]])
    script = Scripted(*torch.nn.functional.one_hot(rows.T, 10).float())
    steps = list(decode(script, [[0]] * 3, {0, 9}, SamplingParams(max_new_tokens=50)))  # type: ignore[arg-type]
    assert steps == [[1, 1, 1], [2, None, 2], [3, None, 2], [None, None, 2], [None, None, None]]
    assert len(script.steps) == 4
