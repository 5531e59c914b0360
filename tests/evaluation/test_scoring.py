"""Letter log-probabilities are those of a plain forward pass of each whole prompt."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.evaluation import scoring
from pasctl.evaluation.alphas import parse_alphas
from pasctl.evaluation.conditions import CONDITIONS, parse_conditions
from pasctl.evaluation.scoring import score_letters
from pasctl.models.load import LoadedModel
from pasctl.steering import steer
from tests.activations.test_forward import some_sequences
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_loaded, tiny_model, tiny_tokenizer

LETTERS = [40, 41, 42, 43, 44]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["all", "answer"])
def test_scores_equal_a_plain_forward_pass(family: str, positions: str) -> None:
    model = tiny_loaded(family)
    prompts = some_sequences()
    intervention = random_intervention(10)
    scores = score_letters(model, prompts, LETTERS, batch_tokens=60, interventions=[intervention], positions=positions)
    [of_prompts] = scores.logprobs
    for found, prompt in zip(of_prompts, prompts, strict=True):
        with steer(model, intervention, positions=positions), torch.inference_mode():
            logits = model.model(torch.tensor([prompt]), use_cache=False).logits[0, -1]
        expected = torch.log_softmax(logits.double(), dim=-1)[LETTERS]
        np.testing.assert_allclose(found, expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("shared", [12, 300])
@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize("family", FAMILIES)
def test_many_interventions_at_once_score_as_each_alone(
    family: str, positions: str, shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scoring, "FORKS", 3)
    model = tiny_loaded(family)
    prompts = some_sequences(shared)
    given = [random_intervention(1), None, random_intervention(2), random_intervention(3), random_intervention(4)]
    together = score_letters(model, prompts, LETTERS, batch_tokens=500, interventions=given, positions=positions)
    assert together.logprobs.shape == (5, len(prompts), 5)
    for found, intervention in zip(together.logprobs, given, strict=True):
        for row, prompt in zip(found, prompts, strict=True):
            with steer(model, intervention, positions=positions), torch.inference_mode():
                logits = model.model(torch.tensor([prompt]), use_cache=False).logits[0, -1]
            expected = torch.log_softmax(logits.double(), dim=-1)[LETTERS]
            np.testing.assert_allclose(row, expected.numpy(), atol=1e-4)
    alone = score_letters(model, prompts, LETTERS, batch_tokens=500)
    assert together.tokens_asked == 5 * alone.tokens_asked
    # the prompts once for three interventions and once for two, and their last tokens once for each
    once = alone.tokens_run - len(prompts)
    expected_run = 2 * once + 5 * len(prompts) if positions == "answer" else 5 * alone.tokens_run
    assert together.tokens_run == expected_run


def test_letters_never_have_more_than_all_of_the_mass_in_bfloat16() -> None:
    model = LoadedModel.wrap(tiny_model(dtype=torch.bfloat16), tiny_tokenizer())
    # a head that all but always says letter 40
    with torch.no_grad():
        model.lm_head.weight[40] *= 30
    scores = score_letters(model, some_sequences(count=40), LETTERS, batch_tokens=1000)
    assert (np.exp(scores.logprobs.astype(np.float64)).sum(axis=-1) <= 1 + 1e-6).all()


def test_conditions_are_read_in_order_and_once() -> None:
    assert parse_conditions("pas, no-change,pas") == ("pas", "no-change")
    assert parse_conditions("all") == parse_conditions(None)
    assert set(CONDITIONS) - set(parse_conditions(None)) == {"given-prose"}
    assert parse_conditions(None, prose=True) == tuple(CONDITIONS)
    with pytest.raises(InputError, match="given-prose needs prose"):
        parse_conditions("given-prose")
    for bad in ("", "pass", "pas,,magic"):
        with pytest.raises(InputError, match="mode"):
            parse_conditions(bad)


def test_alphas_are_read_in_every_form() -> None:
    assert parse_alphas("0, 1,2.5") == (0.0, 1.0, 2.5)
    assert parse_alphas(4) == (4.0,)
    assert parse_alphas([-0.0, 0, 2]) == (0.0, 2.0)
    for bad in ("", "four", "1,nan", "inf", "1,,2"):
        with pytest.raises(InputError, match="alpha"):
            parse_alphas(bad)
    with pytest.raises(InputError, match="empty"):
        parse_alphas([])
