"""What a strength that a user gives is expected to cost, and the one budget that strengths are chosen within."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.commands.shared import parse_budget
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.evaluation.defaults import BUDGET_KL
from pasctl.evaluation.dose import kl_at


def test_kl_that_grows_with_the_square_is_told_everywhere() -> None:
    strengths = np.array([0.0, 3.0, 1.0, 2.0])
    for rate in (0.01, 0.7):
        for strength in (0.0, 0.3, 1.0, 1.7, 3.0, 10.0):
            assert kl_at(strength, strengths, rate * strengths**2) == pytest.approx(rate * strength**2)


def test_kl_at_a_strength_that_was_measured_is_what_was_measured() -> None:
    strengths, kl = np.array([0.5, 1.0, 2.0]), np.array([0.2, 0.1, 4.0])  # without 0, and not in order
    for strength, known in zip(strengths, kl, strict=True):
        assert kl_at(float(strength), strengths, kl) == pytest.approx(known)
    assert 0 < kl_at(0.25, strengths, kl) < 0.2
    between = [kl_at(float(strength), strengths, kl) for strength in np.linspace(1, 2, 9)]
    assert between == sorted(between)


def test_a_budget_is_a_number_or_none() -> None:
    assert [parse_budget(each) for each in (0.25, "0.25", "0", "none", None)] == [0.25, 0.25, 0.0, None, None]
    for wrong in ("-1", "much", -0.5, "nan"):
        with pytest.raises(InputError, match="KL budget: expected nats/token of at least 0, or none"):
            parse_budget(wrong)


def test_every_command_that_steers_has_the_same_budget() -> None:
    from pasctl.declaration import Declaration
    from pasctl.option import parameters
    from pasctl.stages.pipeline import PipelineParams

    assert SteeringTarget().budget_kl == BUDGET_KL
    assert SteeringTarget(budget_kl="none").budget_kl is None  # type: ignore[arg-type]
    from pasctl.commands import declarations

    with_budget: dict[str, object] = {}
    known: list[type[Declaration]] = [*declarations(), PipelineParams]
    for declared in known:
        for each in parameters(declared):
            if each.name == "budget_kl":
                with_budget[declared.command] = each.default
    assert {"choose-alpha", "eval", "run", "chat", "serve", "export create"} <= set(with_budget)
    assert set(with_budget.values()) == {BUDGET_KL}
