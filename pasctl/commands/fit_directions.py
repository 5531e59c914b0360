"""`pasctl fit-directions`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasctl.commands.shared import NamedPersonas, OfInputs, OfInventory, Positioned, Ref, Seeded, Tried
from pasctl.declaration import StageDeclaration
from pasctl.models.options import ModelOptions
from pasctl.option import group, option


@dataclass(frozen=True, kw_only=True)
class FitDirections(
    OfInputs,
    NamedPersonas,
    OfInventory,
    Tried,
    Positioned,
    Seeded,
    StageDeclaration,
    command="fit-directions",
    function="fit_directions",
    action="pasctl.stages.fit_directions:plan",
    makes="directions",
    then="pasctl choose-alpha",
    version=2,
    panel="Steering",
    place=3,
    sometimes=frozenset(("alphas", "positions", "top_k", "center", "inventory")),
    unrecorded=frozenset(("coding",)),
    against={"top_k": ("select", "steering")},
    examples=("pasctl fit-directions", "pasctl fit-directions --select steering --alphas 2,8 --positions answer"),
):
    """Fit where to shift the selected heads, and how far one unit of alpha is."""

    recipe: Literal["default", "paper"] = option(
        "default",
        help="default: from the directions of a contrast, through traits; paper: PAS as published, from each persona's "
        "own answers.",
        record="nowhere",
    )
    top_k: int | None = option(
        None,
        help="Heads per persona, default 24; with --granularity kv-group groups, by default as many as hold 24 heads. "
        "All heads of a smaller model.",
        minimum=1,
        metavar="K",
    )
    method: str | None = option(
        None,
        help="Direction method: mass-mean, pca, probe-weight, or one of another package; its parameters after a colon: "
        "mass-mean:shrink=0.1. traits: weighted sums of a contrast's directions. Default: traits for a contrast, "
        "mass-mean for answers.",
        metavar="NAME",
    )
    center: Literal["none", "population", "letters"] | None = option(
        None,
        help="letters: project out what the answer letters do whoever gives them; population: subtract the direction "
        "that all personas share; none: leave directions as they are. Default: letters, none by the paper's recipe.",
    )
    remove: Literal["none", "desirability"] = option(
        "none",
        help="desirability: take out of each trait's direction what the desirable poles of all traits have in common. "
        "For directions of traits.",
        when_set=True,
    )
    granularity: Literal["head", "kv-group"] = option(
        "head",
        help="Select and shift single heads, or all heads of a key-value group alike, for export --engine stock and "
        "gguf.",
        when_set=True,
    )
    select: Literal["probe", "steering"] = option(
        "probe",
        help="Heads by probe accuracy, or the layers whose steering brings answers to validation items nearest.",
        when_set=True,
    )
    probes: Ref | None = option(None, help="Probes to read. Default: the latest.", metavar="REF", record="inputs")
    activations: Ref | None = option(
        None,
        help="Activations to read. Default: a contrast's, where the latest are; else the probes'.",
        metavar="REF",
        record="inputs",
    )
    options: ModelOptions = group(ModelOptions, panel="Model")
    tile: int | None = option(
        None, help="Peak number of personas fitted at once.", python_only=True, record="nowhere", minimum=1
    )
