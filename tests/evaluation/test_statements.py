"""Statements score as a plain forward pass of each whole conversation does, and only the tokens planned are run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from pasctl.errors import InputError
from pasctl.evaluation import statements as module
from pasctl.evaluation.statements import plan_bytes, plan_statements, score_statements
from pasctl.models.load import LoadedModel
from pasctl.steering import steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_loaded

PROMPTS = [[5, 6, 7, 8, 9], [5, 6, 7, 20, 21, 22], [5, 6, 7, 8]]
STATEMENTS = [[30, 31], [30, 32, 33, 34], [30, 31, 33, 36], [30, 40, 41, 42, 43, 44, 45]]


def naive(model: LoadedModel, prompt: list[int], said: list[int], intervention: Any, positions: str) -> Any:
    """Log-probabilities of the statement's tokens, from one pass over all of it."""
    where = "all" if positions == "all" else torch.arange(len(prompt) - 1, len(prompt) + len(said))
    with steer(model, intervention, positions=where), torch.inference_mode():
        logits = model.model(torch.tensor([[*prompt, *said]]), use_cache=False).logits[0]
    logprobs = torch.log_softmax(logits.double(), dim=-1)
    return [float(logprobs[len(prompt) - 1 + place, token]) for place, token in enumerate(said)]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize("statements", [STATEMENTS, [[50], [51, 52], [53, 54, 55]], [[30, 31, 32]]])
def test_scores_equal_a_plain_forward_pass(family: str, positions: str, statements: list[list[int]]) -> None:
    model = tiny_loaded(family)
    given = [None, random_intervention(10), random_intervention(11)]
    scores = score_statements(model, PROMPTS, statements, batch_tokens=30, interventions=given, positions=positions)
    assert scores.logprobs.shape == (3, 3, len(statements), max(map(len, statements)))
    for of_model, intervention in zip(scores.logprobs, given, strict=True):
        for of_prompt, prompt in zip(of_model, PROMPTS, strict=True):
            for found, said in zip(of_prompt, statements, strict=True):
                expected = naive(model, prompt, said, intervention, positions)
                np.testing.assert_allclose(found[: len(said)], expected, atol=1e-4)
                assert np.isnan(found[len(said) :]).all()
    totals = scores.totals[1, 0, -1]
    assert totals == pytest.approx(sum(naive(model, PROMPTS[0], statements[-1], given[1], positions)), abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["all", "answer"])
def test_statements_behind_a_long_prompt_share_a_row_and_see_nothing_of_each_other(
    family: str, positions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_loaded(family)
    statements = [*STATEMENTS, [30, 31], [30], [30, 50, 51]]
    given = [None, random_intervention(10)]
    apart = score_statements(model, PROMPTS, statements, batch_tokens=30, interventions=given, positions=positions)
    monkeypatch.setattr(module, "PACK_PREFIX", 5)
    monkeypatch.setattr(module, "PACK_TOKENS", 7)
    plan = plan_statements(PROMPTS, statements, batch_tokens=30, own_mask=model.takes_masks)
    assert plan.packed
    assert max(len({len(statements[row]) for row in rows}) for rows in plan.batches) > 1  # of several lengths
    packed = score_statements(model, PROMPTS, statements, batch_tokens=30, interventions=given, positions=positions)
    np.testing.assert_allclose(packed.logprobs, apart.logprobs, atol=2e-5)
    assert packed.tokens_run == apart.tokens_run


def test_a_prompt_alone_is_its_own_prefix() -> None:
    model = tiny_loaded()
    [[[found]]] = score_statements(model, [[5]], [[30, 31]], batch_tokens=8).logprobs
    np.testing.assert_allclose(found, naive(model, [5], [30, 31], None, "all"), atol=1e-4)


def test_tiles_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_loaded("llama")
    whole = score_statements(model, PROMPTS, STATEMENTS, batch_tokens=4096).logprobs
    monkeypatch.setattr(module, "LOGITS_BYTES", 3 * 4 * model.vocabulary)
    tiled = score_statements(model, PROMPTS, STATEMENTS, batch_tokens=1).logprobs
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tokens_run_are_those_that_go_through_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_loaded()
    read: list[int] = []
    handle = model.backbone.register_forward_pre_hook(lambda module, ids: read.append(ids[0].numel()))
    head: list[int] = []
    logits = LoadedModel.logits
    monkeypatch.setattr(LoadedModel, "logits", lambda self, hidden: head.append(len(hidden)) or logits(self, hidden))
    scores = score_statements(model, PROMPTS, STATEMENTS, batch_tokens=40, interventions=[None, random_intervention(1)])
    handle.remove()
    # 3 shared, the prompts' rests, and for each prompt "30" and what stands between it and the last token
    once = 3 + (2 + 3 + 1) + 3 * (1 + 0 + 2 + 2 + 5)
    assert scores.tokens_run == sum(read) == 2 * once
    asked = 4 * (5 + 6 + 4) + 3 * (2 + 4 + 4 + 7)
    assert scores.tokens_asked == 2 * asked
    # lm_head: behind the prompt, behind "30", and behind each token read
    assert sum(head) == 2 * 3 * (2 + 0 + 2 + 2 + 5)
    assert plan_statements(PROMPTS, STATEMENTS, batch_tokens=40).tokens_run == once


def test_a_memory_limit_makes_passes_smaller() -> None:
    model = tiny_loaded()
    statements = [[30, place, *range(40, 60)] for place in range(100, 400)]
    free = plan_statements(PROMPTS, statements, batch_tokens=16_384, footprint=model.footprint)
    needed = plan_bytes(model.footprint, free)
    model.max_memory = needed - 1
    tight = plan_statements(PROMPTS, statements, batch_tokens=16_384, footprint=model.footprint)
    assert len(tight.batches) > len(free.batches)
    assert plan_bytes(model.footprint, tight) < needed
    model.max_memory = model.footprint.resting
    with pytest.raises(InputError, match="limited"):
        plan_statements(PROMPTS, statements, batch_tokens=16_384, footprint=model.footprint)


@pytest.mark.parametrize(("prompts", "statements"), [([], STATEMENTS), (PROMPTS, []), (PROMPTS, [[30], []])])
def test_nothing_to_score_is_refused(prompts: list[list[int]], statements: list[list[int]]) -> None:
    with pytest.raises(InputError, match="expected tokens"):
        plan_statements(prompts, statements, batch_tokens=100)
