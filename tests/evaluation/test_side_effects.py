"""Divergence and perplexity are those of a plain softmax over full logits in float64; repetition is counted by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.evaluation.neutral import neutral_text
from pasctl.evaluation.side_effects import FREE_PROMPTS, measure, read_unsteered, repetition, text_tokens
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_loaded, tiny_model, tiny_tokenizer

Floats = NDArray[np.float64]

IDS = np.random.default_rng(2).integers(10, 400, 33).tolist()
GIVEN = [random_intervention(0), None, random_intervention(1, (1,)), random_intervention(2), random_intervention(3)]


def naive_logprobs(model: LoadedModel, intervention: Intervention | None) -> Floats:
    """float64 [T, vocabulary] by the softmax's definition."""
    with steer(model, intervention), torch.inference_mode():
        logits = model.model(torch.tensor([IDS]), use_cache=False).logits[0].double().numpy()
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(np.log(powers / powers.sum(axis=1, keepdims=True)))


def naive_perplexity(logprobs: Floats) -> float:
    return math.exp(-np.mean([logprobs[place, token] for place, token in enumerate(IDS[1:])]))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("batch_tokens", "tile"), [(1, None), (70, 7), (10_000, 1), (10_000, None)])
def test_numbers_are_those_of_a_plain_softmax(family: str, batch_tokens: int, tile: int | None) -> None:
    model = tiny_loaded(family)
    unsteered = read_unsteered(model, IDS, tile=tile)
    found = measure(model, unsteered, GIVEN, batch_tokens=batch_tokens, tile=tile)
    plain = naive_logprobs(model, None)
    steered = [naive_logprobs(model, intervention) for intervention in GIVEN]
    assert unsteered.perplexity == pytest.approx(naive_perplexity(plain), rel=1e-4)
    np.testing.assert_allclose(found.perplexity, [naive_perplexity(each) for each in steered], rtol=1e-4)
    expected = [float((np.exp(plain) * (plain - each)).sum(axis=1).mean()) for each in steered]
    assert min(expected[0], expected[2]) > 0.1
    np.testing.assert_allclose(found.kl, expected, rtol=1e-4, atol=1e-6)
    assert found.kl[1] == 0


def test_a_weak_intervention_diverges_little_and_never_below_zero() -> None:
    model = tiny_loaded()
    unsteered = read_unsteered(model, IDS)
    weak = [
        Intervention({layer: each * 10.0**-power for layer, each in random_intervention(0).displacements.items()})
        for power in (1, 2, 3, 6)
    ]
    kl = measure(model, unsteered, weak, batch_tokens=1000).kl
    assert (kl >= 0).all()
    # a divergence grows with the square of a small displacement
    assert kl[0] / kl[1] == pytest.approx(100, rel=0.2)
    assert kl[3] < 1e-6


def test_bfloat16_is_measured_near_float32() -> None:
    exact = tiny_loaded()
    rounded = LoadedModel.wrap(tiny_model(dtype=torch.bfloat16), tiny_tokenizer())
    expected, found = (measure(model, read_unsteered(model, IDS), GIVEN, batch_tokens=70) for model in (exact, rounded))
    np.testing.assert_allclose(found.kl, expected.kl, rtol=0.1, atol=0.02)
    assert found.kl.dtype == np.float64


def test_logits_that_overflow_are_refused() -> None:
    model = tiny_loaded()
    with torch.no_grad():
        model.lm_head.weight[3, 0] = torch.inf
    with pytest.raises(InputError, match="not finite") as refusal:
        read_unsteered(model, IDS)
    assert refusal.value.hint


@pytest.mark.parametrize(("template", "begins"), [("qwen3", False), ("llama", True), ("base", True)])
def test_a_plain_text_begins_as_the_models_texts_do(template: str, begins: bool) -> None:
    model = tiny_loaded(template=template)
    bos = model.tokenizer.bos_token_id
    ids = text_tokens(model, neutral_text(), 100)
    assert len(ids) == 100
    assert (ids[0] == bos) == begins
    assert bos not in ids[1:]
    assert neutral_text().startswith(model.tokenizer.decode(ids[begins:]))


def test_special_tokens_in_a_text_are_its_words_and_none_is_put_behind_it() -> None:
    model = tiny_loaded(template="llama")
    ids = text_tokens(model, "Stop at <|im_end|>", 100)
    assert not set(ids[1:]) & set(model.tokenizer.all_special_ids)
    assert model.tokenizer.decode(ids[1:]) == "Stop at <|im_end|>"


def test_a_text_of_one_token_predicts_nothing() -> None:
    model = tiny_loaded()
    with pytest.raises(InputError, match="1 tokens, expected at least 2"):
        text_tokens(model, "A", 100)
    with pytest.raises(InputError, match="1 tokens, expected at least 2"):
        read_unsteered(model, [5])


def test_repetition_counts_grams_that_occurred_before() -> None:
    assert repetition([1, 2, 3]) is None
    assert repetition([], n=1) is None
    assert repetition([1, 2, 3, 4]) == 0
    assert repetition([7] * 8) == pytest.approx(4 / 5)  # five grams, all the same
    assert repetition([1, 2, 3, 4, 1, 2, 3, 4]) == pytest.approx(1 / 5)  # 1234 twice, 2341, 3412, 4123
    assert repetition([1, 2, 1, 2, 1], n=2) == pytest.approx(2 / 4)  # 12 21 12 21
    assert repetition([1, 1, 2], n=1) == pytest.approx(1 / 3)


def test_free_prompts_are_four_different_user_turns() -> None:
    assert len(set(FREE_PROMPTS)) == 4
    assert all(0 < len(prompt) < 100 for prompt in FREE_PROMPTS)
