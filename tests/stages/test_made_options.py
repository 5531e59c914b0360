"""The options of an artifact are read from its manifest by the declaration of its stage, which nobody repeats here."""

from __future__ import annotations

from typing import Any

import pytest

from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.option import parameters
from pasctl.stages.headline import headline
from pasctl.stages.made_options import made_options, option_defaults

PERSONA_COSTS = {"condition": "persona", "p_holm": 0.01, "difference": -0.1, "higher_is_better": True}
STAGES = [each for each in declarations() if issubclass(each, StageDeclaration)]


def document(params: dict[str, Any], **numerics: Any) -> dict[str, Any]:
    return {"params": params, "numerics": numerics}


@pytest.mark.parametrize("stage", STAGES, ids=lambda each: each.command)
def test_every_option_of_the_key_is_seen(stage: type[StageDeclaration]) -> None:
    """An option that enters the key as a parameter or as numerics changes what is read; one that does not, nothing."""
    params: dict[str, Any] = {}
    numerics: dict[str, Any] = {}
    recorded = [each for each in parameters(stage) if not each.option.cli_only]
    for each in recorded:
        *outer, name = each.recorded.split(".")
        place = params
        for word in outer:
            place = place.setdefault(word, {})
        if each.option.record == "params":
            place[name] = "first"
        if each.option.record == "numerics":
            numerics[each.recorded] = "first"
    before = made_options(stage.command, document(params, **numerics), {})
    known = {each.name for each in recorded if each.option.record in ("params", "numerics")}
    known -= stage.implied | stage.unrecorded
    assert {name for name, value in before.items() if value == "first"} == known
    assert made_options(stage.command, document({**params, "wording": "other"}, **numerics), {"host": "x"}) == before


def test_an_input_that_a_user_names_has_two_sides() -> None:
    made = made_options("train-probes", document({"personas": "aa", "c": 1.0}), {"personas": "builtin:0-5"})
    assert made["personas"] == {"given": "builtin:0-5", "digest": ["aa"]}
    assert made_options("train-probes", document({"personas": "aa"}), {})["personas"]["given"] is None


def test_what_was_not_asked_for_is_none_and_what_decides_nothing_is_left_out() -> None:
    made = made_options("eval", document({"alphas": [4.0], "choice": None, "prose": None}), {})
    assert (made["alpha"], made["alpha_scope"], made["prose"]) == ([4.0], None, None)
    assert "seed" not in made  # which the document does not have
    assert "alpha_scope" not in made_options("eval", document({"alphas": [4.0]}), {})


def test_options_that_came_later_have_their_default() -> None:
    assert made_options("fit-directions", document({}), {})["granularity"] == "head"
    assert option_defaults("fit-directions")["granularity"] == "head"


def test_texts_of_a_memory_are_inputs() -> None:
    assert "texts" not in made_options("memory-run", document({"texts": ["aa"]}), {"texts": ["story.txt"]})


def test_a_stage_without_a_command_has_the_plain_values_of_its_key() -> None:
    made = made_options("export", document({"persona": "ada", "alpha": 2.0, "more": {"a": 1}}), {})
    assert made == {"persona": "ada", "alpha": 2.0}
    assert option_defaults("export") == {}


@pytest.mark.parametrize(
    ("kind", "content", "figure"),
    [
        ("results", {"conditions": [{"condition": "pas", "composite": 2.5, "personas": 4}]}, "composite 2.50, n 4"),
        ("results", {"conditions": []}, ""),
        ("results", {"conditions": [{"condition": "pas", "composite": "x", "personas": 4}]}, ""),
        ("results", ["conditions"], ""),
        ("strengths", {"chosen": {"population": 2.0}}, "alpha 2"),
        ("strengths", {"chosen": 0.123456}, "alpha 0.123"),
        ("benchmarks", {"rows": [PERSONA_COSTS, {**PERSONA_COSTS, "difference": 0.1}]}, "worse on 1 of 2"),
        ("benchmarks", {"rows": [{**PERSONA_COSTS, "p_holm": None}]}, ""),
        ("strengths", {}, ""),
        ("memory", {}, ""),
    ],
)
def test_a_headline_is_short_and_never_an_error(kind: str, content: Any, figure: str) -> None:
    assert headline(kind, lambda name: content) == figure


def test_an_option_of_a_partial_group_is_its_own_default_in_artifacts_from_before_it_existed() -> None:
    assert option_defaults("memory-run")["exact_recall"] is False
