"""Options of several tokens have the probability of all answers that begin with their name and with no longer one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from pasctl.evaluation.option_scoring import OptionPrompts, option_cost, score_options
from pasctl.evaluation.scoring import score_letters
from pasctl.models.load import LoadedModel
from pasctl.steering import steer
from tests.activations.test_forward import some_sequences
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_loaded

Ids = tuple[int, ...]
PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7, 20, 21, 22], [5, 6, 7, 8]]
NUMBERS: list[Ids] = [(40,), (41,), (49,), (41, 40), (41, 41)]  # 0, 1, 9, 10, 11 as most tokenizers write them
WITH_SPACE: list[Ids] = [(60, *ids) for ids in NUMBERS]
TEXTS: list[Ids] = [(30, 31, 32), (33, 31, 34, 35), (30, 36), (37, 38), (37, 38, 39, 40), (37, 38, 39, 40, 41, 42)]


def next_probabilities(model: LoadedModel, prompt: Sequence[int], said: Ids, intervention: Any, positions: str) -> Any:
    """Of every token of the vocabulary behind a prompt and what was said, by one pass over all of it."""
    where = "all" if positions == "all" else torch.arange(len(prompt) - 1, len(prompt) + len(said))
    with steer(model, intervention, positions=where), torch.inference_mode():
        logits = model.model(torch.tensor([[*prompt, *said]]), use_cache=False).logits[0, -1]
    return logits.double().softmax(-1).numpy()


def answers(
    model: LoadedModel, prompt: Sequence[int], names: Sequence[Ids], intervention: Any = None, positions: str = "all"
) -> list[float]:
    """The oracle: every token that may follow is gone through, down to where it is clear which name was answered."""

    def walk(said: Ids, name: Ids | None, chance: float) -> Iterator[tuple[Ids | None, float]]:
        following = {other[len(said)] for other in names if len(other) > len(said) and other[: len(said)] == said}
        if not following:
            yield name, chance
            return
        for token, share in enumerate(next_probabilities(model, prompt, said, intervention, positions)):
            longer = (*said, token)
            if token in following:
                yield from walk(longer, longer if longer in names else name, chance * share)
            else:
                yield name, chance * share

    total = dict.fromkeys(names, 0.0)
    for name, chance in walk((), None, 1.0):
        if name is not None:
            total[name] += chance
    return [total[name] for name in names]


def asked(names: Sequence[Ids], prompts: Sequence[Sequence[int]] = PROMPTS) -> OptionPrompts:
    """All names behind every prompt."""
    return OptionPrompts(prompts, names, np.tile(np.arange(len(names)), (len(prompts), 1)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize("names", [NUMBERS, WITH_SPACE, TEXTS], ids=["numbers", "with a space", "texts"])
def test_options_equal_a_walk_through_all_answers(family: str, positions: str, names: list[Ids]) -> None:
    model = tiny_loaded(family)
    given = [None, random_intervention(10)]
    scores = score_options(model, asked(names), batch_tokens=30, interventions=given, positions=positions)
    assert scores.logprobs.shape == (2, len(PROMPTS), len(names))
    assert scores.logprobs.dtype == np.float32
    for of_model, intervention in zip(scores.logprobs, given, strict=True):
        for row, prompt in zip(of_model, PROMPTS, strict=True):
            expected = answers(model, prompt, names, intervention, positions)
            np.testing.assert_allclose(row, np.log(expected), atol=2e-4)


def test_names_of_one_token_are_scored_as_letters_to_the_last_bit() -> None:
    model, prompts = tiny_loaded(), some_sequences()
    given = [None, random_intervention(1)]
    options = asked([(token,) for token in range(40, 45)], prompts)
    for positions in ("all", "answer"):
        how: dict[str, Any] = {"batch_tokens": 60, "interventions": given, "positions": positions}
        found = score_options(model, options, **how)
        expected = score_letters(model, prompts, list(range(40, 45)), **how)
        np.testing.assert_array_equal(found.logprobs, expected.logprobs)
        assert (found.tokens_asked, found.tokens_run) == (expected.tokens_asked, expected.tokens_run)


def test_a_prompt_has_its_own_options_alone() -> None:
    model = tiny_loaded("llama")
    places = np.array([[0, 1, 3], [3, 1, 0], [2, 0, -1]])
    [found] = score_options(model, OptionPrompts(PROMPTS, NUMBERS, places), batch_tokens=30).logprobs
    for row, own, prompt in zip(found, places, PROMPTS, strict=True):
        own = np.sort(own[own >= 0])
        expected = answers(model, prompt, [NUMBERS[place] for place in own])
        np.testing.assert_allclose(row[own], np.log(expected), atol=2e-4)
        assert np.isnan(np.delete(row, own)).all()


def test_a_model_that_is_sure_of_the_longest_leaves_the_others_little_and_never_more_than_all() -> None:
    model = tiny_loaded("llama")
    head = torch.nn.Linear(model.geometry.hidden, model.vocabulary)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        head.bias[41] = 60.0
    model.model.set_output_embeddings(head.requires_grad_(False))
    [found] = score_options(model, asked([(41,), (41, 41), (41, 41, 41)]), batch_tokens=30).logprobs
    chances = np.exp(found.astype(np.float64))
    assert np.isfinite(found).all()
    assert (chances.sum(axis=-1) <= 1 + 1e-6).all()
    assert (chances[:, 2] > 1 - 1e-6).all()


@pytest.mark.parametrize("names", [NUMBERS, [(40,), (41,)]], ids=["sequences", "letters"])
def test_the_cost_is_what_is_run(names: list[Ids]) -> None:
    model = tiny_loaded()
    options = asked(names)
    scores = score_options(model, options, batch_tokens=30, interventions=[None, random_intervention(3)])
    alone = option_cost(model.footprint, options, interventions=1, batch_tokens=30, own_mask=model.takes_masks)
    assert (2 * alone.tokens_asked, 2 * alone.tokens_run) == (scores.tokens_asked, scores.tokens_run)
    assert alone.memory_bytes > model.footprint.resting
