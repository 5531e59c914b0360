"""`pasctl eval`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasctl.commands.shared import (
    AlphasLike,
    Budgeted,
    CrossValidated,
    OfDirections,
    Positioned,
    Ref,
    Seeded,
)
from pasctl.declaration import StageDeclaration
from pasctl.evaluation.defaults import CONTROL_DRAWS, SELF_REPORTS
from pasctl.option import option

TRANSFORMERS = "transformers"
ENGINE_URL = "http://127.0.0.1:8000/v1"


@dataclass(frozen=True, kw_only=True)
class Evaluate(
    OfDirections,
    CrossValidated,
    Budgeted,
    Positioned,
    Seeded,
    StageDeclaration,
    command="eval",
    function="evaluate",
    action="pasctl.stages.evaluate:plan",
    makes="results",
    then="pasctl report latest --output page.html",
    version=6,
    panel="Steering",
    place=5,
    unrecorded=frozenset(("alphas", "folds")),
    sometimes=frozenset(("self_reports",)),
    implied=frozenset(("prompts",)),
    examples=(
        "pasctl eval",
        "pasctl eval --reading statements,letters",
        "pasctl eval --engine vllm --mode no-change,pas --neutral-text none",
        "pasctl eval --alpha 0,4 --mode no-change,pas,random-direction --report out.html",
    ),
):
    """Ask the questionnaire under every condition, and compare with the personas' own answers.

    The model answers the report items unchanged, prompted with the persona, and steered; baselines that need no model
    stand alongside.
    """

    alpha: AlphasLike = option(
        "auto",
        help="Strength, or several: 0,1,2,4,6,8; auto: chosen on held-out fit items; oracle: on the reported items, "
        "an upper bound.",
        metavar="A[,A...]",
        key="alphas",
    )
    modes: str | None = option(
        None,
        help="Conditions: no-change, few-shot, personality-prompt, given-prose, pas, pas+few-shot, random-direction, "
        "shuffled-answers. Default: all.",
        flag="--mode",
        metavar="NAME[,NAME...]",
        key="conditions",
    )
    reading: str = option(
        "auto",
        help="How answers are read: letters of the options; statements, as what the model says of itself; or both. "
        "auto: letters if the model gives them whatever their order, else statements.",
        metavar="NAME[,NAME...]",
        key="readings",
    )
    self_reports: int = option(
        SELF_REPORTS,
        help="Prompts that a statement is a reply to, such as 'Describe yourself in one sentence.'; averaged over.",
        minimum=1,
        metavar="N",
    )
    control_people: int | None = option(
        None,
        help="People, drawn by the seed, that prompts, controls and side effects are measured on, where there are "
        "more; and no-change and pas by every reading but the first. Default: 24 for letters, 12 for statements.",
        minimum=1,
        metavar="N",
    )
    alpha_scope: Literal["persona", "population"] = option(
        "persona", help="auto chooses one alpha per persona, or one for the population.", key="choice.scope"
    )
    strengths: Ref | None = option(
        None, help="Cross-validation that auto chooses by. Default: made as needed.", metavar="REF", record="inputs"
    )
    option_orders: int = option(
        1,
        help="Orders of the options to average over: 2 reverses them, up to 10 rotate them.",
        minimum=1,
        metavar="N",
    )
    control_draws: int = option(
        CONTROL_DRAWS, help="Random directions that each persona is steered along.", minimum=1, metavar="N"
    )
    prose: str | None = option(
        None,
        help="Texts about the personas for given-prose: papi:FOLDER, or a JSON file.",
        metavar="SPEC",
        record="provenance",
        digest=("prose",),
    )
    audit: int = option(0, help="Answers to generate as text and compare with the letters.", minimum=0, metavar="N")
    engine: Literal["transformers", "vllm"] = option(
        TRANSFORMERS,
        help="Who answers unsteered and as the personas: the model here, or a server of vLLM with an export of "
        "--engine vllm-personas (or pasctl serve). Controls, side effects and audits are computed here.",
        when_set=True,
    )
    engine_url: str | None = option(
        None,
        help=f"With --engine vllm, the server's URL; PASCTL_ENGINE_KEY has its key. Default: {ENGINE_URL}",
        metavar="URL",
        record="nowhere",
        from_file=False,
    )
    shard: str | None = option(
        None,
        help="Only the I-th of N slices of the personas; after all of them, eval without it puts them together.",
        metavar="I/N",
        when_set=True,
        joint="/",
    )
    export_log: str | None = option(
        None, help="Also write the published log layout here.", metavar="FILE", record="nowhere", from_file="inside"
    )
    report: str | None = option(
        None, help="Also write a page with figures here.", metavar="FILE", record="nowhere", from_file="inside"
    )
