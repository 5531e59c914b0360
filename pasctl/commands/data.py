"""`pasctl data`: its commands."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import OfAnswerFile
from pasctl.declaration import Declaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class DataCheck(
    Declaration,
    command="data check",
    panel="Data and store",
    place=1,
    takes=("json",),
    examples=("pasctl data check builtin", "pasctl data check papi:PAPI"),
):
    """Count items, respondents and missing answers, and say how the answers are coded."""

    spec: str = option(help="papi:FOLDER, papi, or builtin.", metavar="SPEC", argument=True)


@dataclass(frozen=True, kw_only=True)
class DataBaselines(
    OfAnswerFile,
    Declaration,
    command="data baselines",
    panel="Data and store",
    place=2,
    takes=("json",),
    examples=("pasctl data baselines builtin", "pasctl data baselines papi:PAPI:0-20 --json"),
):
    """Predict the report items without a model: what steering has to beat.

    constant-3; the median of the other persons' answers to the item (of an even number the mean of the middle two);
    the mean of the person's own fit items of the same facet, or of the same trait; a ridge regression from the
    person's fit items that was fitted on other persons, its penalty by cross-validation. All are on the same items and
    not rounded, as in eval, except own-facet-mean-rounded; the column "rounded" has each with whole answers, half to
    even. What needs more persons than there are is left out.
    """

    spec: str = option(
        help="Personas: papi:FOLDER, papi, builtin, demo or a file of answers, each with :0-20 or the like.",
        metavar="SPEC",
        argument=True,
    )
    inventory: str = option(
        "builtin",
        help="What trait poles or a file of answers are about: builtin, papi:FOLDER, or papi.",
        metavar="SPEC",
        env="PASCTL_INVENTORY",
    )


@dataclass(frozen=True, kw_only=True)
class DataPull(
    Declaration,
    command="data pull",
    panel="Data and store",
    place=3,
    takes=("json",),
    examples=("pasctl data pull papi",),
):
    """Fetch a dataset from the Hugging Face hub into the hub's cache."""

    dataset: str = option(help="papi", metavar="DATASET", argument=True)
    revision: str | None = option(None, help="Branch, tag or commit of the dataset.", metavar="REV")
