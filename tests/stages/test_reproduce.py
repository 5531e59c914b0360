"""Command lines from manifests: all that a key holds is in them, or there is none."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import pytest

from pasctl.stages.reproduce import Made, reproduce

EVALUATED = Made(
    stage="eval",
    params={
        "alphas": [0.0, 2.5, "auto", "oracle"],
        "conditions": ["no-change", "pas"],
        "readings": ["letters", "statements"],
        "self_reports": 3,
        "prompts": ["Describe yourself in one sentence."],
        "control_people": 24,
        "positions": "answer",
        "option_orders": 2,
        "control_draws": 3,
        "choice": {"scope": "population", "budget_kl": 0.25},
        "side_effects": {"text": "0" * 64, "tokens": 256, "free_tokens": 32},
        "audit": 5,
        "prose": None,
        "wording": "1" * 64,
    },
    numerics={"dtype": "float32", "attn": "sdpa", "seed": 7},
    inputs={"directions": "directions/m/p@v1", "strengths": "strengths/m/p@v2"},
    model_kind="folder",
    facts={"model": "PATH/TO/m", "neutral_text": "builtin", "label": "p"},
)
CHOSEN = replace(
    EVALUATED,
    stage="choose-alpha",
    params={"alphas": [0.0, 1.0, 2.0], "folds": 4, "positions": "all", "text": "0" * 64, "wording": "1" * 64},
    inputs={"directions": "directions/m/p@v1", "activations": "activations/m/p@v1", "probes": "probes/m/p@v1"},
)


def changed(made: Made, **params: Any) -> Made:
    return replace(made, params={**made.params, **params})


def options(line: str) -> dict[str, str]:
    """Flag -> value of a command line; every flag of these has one."""
    words = shlex.split(line)
    return dict(zip(words[2::2], words[3::2], strict=True))


def test_an_evaluation_has_all_that_its_key_has() -> None:
    line = reproduce(EVALUATED)
    assert line.startswith("pasctl eval --")
    assert options(line) == {
        "--directions": "directions/m/p@v1",
        "--alpha": "0.0,2.5,auto,oracle",
        "--strengths": "strengths/m/p@v2",
        "--alpha-scope": "population",
        "--budget-kl": "0.25",
        "--mode": "no-change,pas",
        "--reading": "letters,statements",
        "--self-reports": "3",
        "--control-people": "24",
        "--positions": "answer",
        "--option-orders": "2",
        "--control-draws": "3",
        "--audit": "5",
        "--neutral-text": "builtin",
        "--dtype": "float32",
        "--attn": "sdpa",
        "--seed": "7",
    }


def test_what_an_evaluation_did_not_do_is_left_out_or_denied() -> None:
    plain = replace(
        changed(EVALUATED, alphas=[4.0], choice=None, side_effects=None, audit=0),
        inputs={"directions": "directions/m/p@v1"},
    )
    words = options(reproduce(plain))
    assert words["--neutral-text"] == "none"
    assert words["--alpha"] == "4.0"
    assert not {"--alpha-scope", "--budget-kl", "--strengths"} & set(words)
    unlimited = options(reproduce(changed(EVALUATED, choice={"scope": "persona", "budget_kl": None})))
    assert unlimited["--alpha-scope"] == "persona"
    assert unlimited["--budget-kl"] == "none"
    assert options(reproduce(changed(EVALUATED, shard=[2, 8])))["--shard"] == "2/8"
    assert options(reproduce(changed(EVALUATED, choice={"scope": "persona", "budget_kl": 0.0})))["--budget-kl"] == "0.0"


def test_directions_have_granularity_where_it_is_not_single_heads() -> None:
    fitted = replace(
        EVALUATED,
        stage="fit-directions",
        params={"top_k": 3, "method": "mass-mean", "center": "none"},
        numerics={"seed": 7},
        inputs={"activations": "activations/m/p@v1", "probes": "probes/m/p@v1"},
    )
    known = {
        "--probes": "probes/m/p@v1",
        "--activations": "activations/m/p@v1",
        "--top-k": "3",
        "--method": "mass-mean",
        "--center": "none",
        "--seed": "7",
    }
    assert options(reproduce(fitted)) == known
    assert options(reproduce(changed(fitted, granularity="kv-group"))) == {**known, "--granularity": "kv-group"}
    selected = changed(fitted, select="steering", alphas=[2.0, 8.0], positions="answer")
    assert options(reproduce(selected))["--alphas"] == "2.0,8.0"


def test_a_choice_has_all_that_its_key_has() -> None:
    assert options(reproduce(CHOSEN)) == {
        "--directions": "directions/m/p@v1",
        "--alphas": "0.0,1.0,2.0",
        "--folds": "4",
        "--positions": "all",
        "--neutral-text": "builtin",
        "--dtype": "float32",
        "--attn": "sdpa",
        "--seed": "7",
    }


@pytest.mark.parametrize(
    "made",
    [
        changed(EVALUATED, prose="2" * 64),
        replace(EVALUATED, facts={"model": "PATH/TO/m"}),
        changed(EVALUATED, something=1),
        replace(EVALUATED, params={"alphas": [4.0], "conditions": [], "option_order": "forward", "positions": "all"}),
        replace(EVALUATED, params={name: value for name, value in EVALUATED.params.items() if name != "audit"}),
        replace(EVALUATED, inputs={**EVALUATED.inputs, "more": "x/m/p@v1"}),
        replace(EVALUATED, model_kind="memory"),
    ],
    ids=["prose", "text unknown", "new parameter", "earlier", "a parameter is missing", "input", "model"],
)
def test_no_command_where_it_would_not_make_the_same(made: Made) -> None:
    assert reproduce(made) == ""
