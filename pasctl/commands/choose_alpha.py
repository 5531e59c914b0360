"""`pasctl choose-alpha`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import Budgeted, CrossValidated, OfDirections, Positioned, Seeded
from pasctl.declaration import StageDeclaration


@dataclass(frozen=True, kw_only=True)
class ChooseAlpha(
    OfDirections,
    CrossValidated,
    Budgeted,
    Positioned,
    Seeded,
    StageDeclaration,
    command="choose-alpha",
    function="choose_alpha",
    action="pasctl.stages.choose_alpha:plan",
    makes="strengths",
    then="pasctl eval --alpha auto",
    version=1,
    panel="Steering",
    place=4,
    derived=frozenset(("activations", "probes")),
    implied=frozenset(("reading", "prompts", "rule")),
    sometimes=frozenset(("folds",)),
    examples=("pasctl choose-alpha", "pasctl choose-alpha --alphas 0,2,8 --folds 5"),
):
    """Choose the strength of steering on the fit items; the report items are not read.

    For directions of a contrast, relative doses are tried on some personas: how far the fit items move towards them,
    and what happens to neutral text.

    For directions of answers, by cross-validation. The fit items are split into folds, stratified by facet. For each
    fold, everything that depends on personas' answers is done again without it: heads are ranked by probes and
    directions are fitted on the other folds; then the model answers the fold's items at each alpha.

    Other commands choose alpha themselves where none was chosen.
    """
