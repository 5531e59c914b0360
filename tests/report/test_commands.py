"""Command lines from manifests: all that a key holds is in them, or there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pasctl.report.commands import BUILTIN, Made, reproduce

EVALUATED = Made(
    stage="eval",
    label="builtin",
    params={
        "alphas": [0.0, 2.5, "auto", "oracle"],
        "conditions": ["no-change", "pas"],
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
    model="PATH/TO/m",
    revision=None,
    inventory=None,
    texts=(),
    neutral_text=BUILTIN,
)
CHOSEN = replace(
    EVALUATED,
    stage="choose-alpha",
    params={"alphas": [0.0, 1.0, 2.0], "folds": 4, "positions": "all", "text": "0" * 64, "wording": "1" * 64},
    inputs={"directions": "directions/m/p@v1", "activations": "activations/m/p@v1", "probes": "probes/m/p@v1"},
)


def changed(made: Made, **params: Any) -> Made:
    return replace(made, params={**made.params, **params})


def test_an_evaluation_is_told_whole() -> None:
    assert reproduce(EVALUATED) == (
        "pasctl eval --directions directions/m/p@v1 --alpha 0.0,2.5,auto,oracle --strengths strengths/m/p@v2 "
        "--alpha-scope population --budget-kl 0.25 --mode no-change,pas --positions answer --option-orders 2 "
        "--control-draws 3 --audit 5 --dtype float32 --attn sdpa --seed 7"
    )


def test_what_an_evaluation_did_not_do_is_left_out_or_denied() -> None:
    plain = replace(
        changed(EVALUATED, alphas=[4.0], choice=None, side_effects=None, audit=0),
        inputs={"directions": "directions/m/p@v1"},
        neutral_text=None,
    )
    assert reproduce(plain) == (
        "pasctl eval --directions directions/m/p@v1 --alpha 4.0 --mode no-change,pas --positions answer "
        "--option-orders 2 --control-draws 3 --audit 0 --neutral-text none --dtype float32 --attn sdpa --seed 7"
    )
    unlimited = changed(EVALUATED, choice={"scope": "persona", "budget_kl": None})
    assert "--alpha-scope persona --mode" in reproduce(unlimited)
    assert "--audit 5 --shard 2/8 --dtype" in reproduce(changed(EVALUATED, shard=[2, 8]))
    assert "--budget-kl 0.0" in reproduce(changed(EVALUATED, choice={"scope": "persona", "budget_kl": 0.0}))


def test_directions_are_told_whole_and_granularity_where_it_is_not_single_heads() -> None:
    fitted = replace(
        EVALUATED,
        stage="fit-directions",
        params={"top_k": 3, "method": "mass-mean", "center": "none"},
        numerics={"seed": 7},
        inputs={"activations": "activations/m/p@v1", "probes": "probes/m/p@v1"},
    )
    told = (
        "pasctl fit-directions --probes probes/m/p@v1 --activations activations/m/p@v1 --top-k 3 --method mass-mean "
        "--center none"
    )
    assert reproduce(fitted) == f"{told} --seed 7"
    assert reproduce(changed(fitted, granularity="kv-group")) == f"{told} --granularity kv-group --seed 7"


def test_a_choice_is_told_whole() -> None:
    assert reproduce(CHOSEN) == (
        "pasctl choose-alpha --directions directions/m/p@v1 --alphas 0.0,1.0,2.0 --folds 4 --positions all "
        "--dtype float32 --attn sdpa --seed 7"
    )


@pytest.mark.parametrize(
    "made",
    [
        changed(EVALUATED, prose="2" * 64),
        replace(EVALUATED, neutral_text="mine.txt"),
        replace(EVALUATED, neutral_text=None),
        replace(CHOSEN, neutral_text="mine.txt"),
        changed(EVALUATED, something=1),
        replace(EVALUATED, params={"alphas": [4.0], "conditions": [], "option_order": "forward", "positions": "all"}),
        replace(EVALUATED, inputs={**EVALUATED.inputs, "more": "x/m/p@v1"}),
        replace(EVALUATED, model_kind="memory"),
    ],
    ids=["prose", "own text", "text unknown", "own text of a choice", "new parameter", "earlier", "input", "model"],
)
def test_no_command_where_it_would_not_make_the_same(made: Made) -> None:
    assert reproduce(made) == ""
