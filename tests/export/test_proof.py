"""A proof passes the steered model and nothing else: neither the base, nor half of the steering, nor noise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pasctl.errors import PasctlError
from pasctl.export.proof import LARGEST, PROMPTS, TEXT_TOKENS, TOLERANCE, Passage, Proof, Reference
from pasctl.export.reading import make_reference, read
from pasctl.steering import Intervention, steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_loaded

TOKENS = 150


def reference(effect: float, seed: int = 0) -> Reference:
    """Log-probabilities whose steering moves them by `effect` nats in root mean square."""
    rng = np.random.default_rng(seed)
    unsteered = -5 * rng.random(TOKENS)
    return Reference((), (), (), tuple(unsteered + effect * rng.standard_normal(TOKENS)), tuple(unsteered))


def noise(size: float, seed: int = 1) -> np.ndarray:
    return size * np.random.default_rng(seed).standard_normal(TOKENS)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_rounding_passes_and_the_base_does_not(dtype: str) -> None:
    rounding = TOLERANCE[dtype] / 3
    given = reference(effect=30 * rounding)
    passed = Proof.of(given, given.steered + noise(rounding), engine="transformers", dtype=dtype)
    assert passed.fault() is None
    assert passed.tokens == TOKENS
    assert passed.share == pytest.approx(1, abs=0.05)
    base = Proof.of(given, given.unsteered + noise(rounding), engine="transformers", dtype=dtype)
    assert base.fault() is not None
    assert base.share == pytest.approx(0, abs=0.05)


def test_figures_are_those_of_the_differences() -> None:
    given = Reference((), (), (), (-1.0, -2.0, -4.0), (-1.0, -4.0, -3.0))
    proof = Proof.of(given, (-1.5, -2.0, -4.25), engine="transformers", dtype="float32")
    assert (proof.mean, proof.largest) == pytest.approx((0.25, 0.5))
    assert (proof.effect_mean, proof.effect_largest) == pytest.approx((1.0, 2.0))
    # found - unsteered is (-.5, 2, -1.25), the effect (0, 2, -1): their product over the effect's square
    assert proof.share == pytest.approx(5.25 / 5)


@pytest.mark.parametrize(
    ("effect", "off", "words"),
    [
        (1.0, noise(0.3), "nats on average"),
        (1.0, np.eye(1, TOKENS)[0] * (LARGEST * 0.15 + 0.01), "nats at one token"),
        (0.05, noise(0.04), "cannot be told from the unsteered model"),
    ],
)
def test_each_bound_is_told(effect: float, off: np.ndarray, words: str) -> None:
    given = reference(effect)
    fault = Proof.of(given, given.steered + off, engine="transformers", dtype="bfloat16").fault()
    assert fault is not None
    assert words in fault


def test_a_part_of_the_steering_that_rounding_would_hide_is_missed() -> None:
    given = reference(effect=0.5)
    lacking = 0.8 * np.array(given.steered) + 0.2 * np.array(given.unsteered)
    proof = Proof.of(given, lacking + noise(0.03), engine="transformers", dtype="bfloat16")
    assert proof.mean < proof.tolerance
    assert "80% of the steering's effect" in str(proof.fault())


def test_what_is_not_finite_is_refused() -> None:
    given = reference(1.0)
    with pytest.raises(PasctlError, match="not finite"):
        Proof.of(given, (float("nan"), *given.steered[1:]), engine="transformers", dtype="float32")


@pytest.mark.parametrize("family", FAMILIES)
def test_reading_is_the_models_log_probabilities(family: str) -> None:
    model, displaced = tiny_loaded(family), random_intervention(3)
    passage = Passage((7, 20, 33, 41, 8), 2)
    with torch.inference_mode(), steer(model, displaced):
        logits = model.model(torch.tensor([passage.ids])).logits[0].double()
    wanted = [(logits[place - 1].log_softmax(-1))[passage.ids[place]].item() for place in (2, 3, 4)]
    assert read(model, [passage, passage], displaced) == pytest.approx(wanted * 2, abs=1e-5)


def test_the_reference_holds_the_steered_models_own_greedy_answers() -> None:
    model, displaced = tiny_loaded(), random_intervention(3)
    made = make_reference(model, displaced)
    assert len(made.passages) == len(PROMPTS) + 1
    assert len(made.text) == TEXT_TOKENS
    assert made.passages[-1] == Passage(made.text, 1)
    for prompt, passage in zip(made.prompts, made.passages, strict=False):
        assert passage.ids[: passage.start] == prompt
        with torch.inference_mode(), steer(model, displaced):
            best = model.model(torch.tensor([passage.ids])).logits[0].argmax(-1).tolist()
        assert tuple(best[passage.start - 1 : -1]) == passage.ids[passage.start :]
    assert len(made.steered) == sum(len(each.ids) - each.start for each in made.passages)


def test_steering_that_does_nothing_is_refused() -> None:
    model = tiny_loaded()
    nothing = Intervention({0: torch.zeros(1, model.geometry.width)})
    with pytest.raises(PasctlError, match="steering changes no log-probability"):
        make_reference(model, nothing)
