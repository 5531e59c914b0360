"""`pasctl extract`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasctl.commands.shared import OfInventory, OfModel, Seeded
from pasctl.declaration import StageDeclaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Extract(
    OfModel,
    OfInventory,
    Seeded,
    StageDeclaration,
    command="extract",
    function="extract",
    action="pasctl.stages.extract:plan",
    makes="activations",
    then="pasctl train-probes",
    version=1,
    panel="Steering",
    place=1,
    positional=("model",),
    sometimes=frozenset(("answers", "option_order", "items")),
    examples=(
        "pasctl extract --model demo",
        "pasctl extract --model Qwen/Qwen3-0.6B --contrast big5",
        "pasctl extract --model Qwen/Qwen3-0.6B --inventory papi:PAPI --dry-run",
    ),
):
    """Read the attention heads' outputs on labelled texts: every item's answers, or the two sides of a contrast."""

    contrast: str | None = option(
        None,
        help="Read a contrast in place of the answers: big5 (descriptions of the built-in traits), items or statements "
        "(the questionnaire's own, answered by someone or said by the model), two descriptions 'A|B', or pairs:FILE.",
        metavar="SPEC",
        record="provenance",
        digest=("contrast",),
    )
    answers: Literal["ends", "all"] = option("ends", help="The two ends of the scale, or all its letters.")
    option_order: Literal["forward", "both"] | None = option(
        None,
        help="Show the scale as printed, or also reversed, so that agreement is not tied to one letter. Default: both; "
        "forward in run by the paper's recipe.",
    )
    site: str = option(
        "heads",
        help="What is read, and shifted later: heads (of full attention), linear (heads of linear attention, in a "
        "hybrid), residual (the stream behind each layer), or heads@W (those that are W wide, where widths differ).",
        metavar="KIND",
        when_set=True,
    )
    items: Literal["fit", "all"] = option("fit", help="The items to fit on, or all items.")
