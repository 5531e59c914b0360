"""`pasctl data`: its commands."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import Labelled, NamedPersonas, OfAnswerFile
from pasctl.declaration import Declaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class DataNew(
    Declaration,
    command="data new",
    panel="Data and store",
    place=1,
    takes=("json",),
    examples=("pasctl data new hexaco.yaml",),
):
    """Write an inventory file to begin with: a small questionnaire, with every field explained.

    A .yaml file has comments; .json and .csv hold the same without them. It loads as it is. A file that is there
    already is not written over.
    """

    file: str = option(
        help="The file to write: FILE.yaml, FILE.json or FILE.csv.", metavar="FILE", argument=True, from_file="inside"
    )


@dataclass(frozen=True, kw_only=True)
class DataCheck(
    NamedPersonas,
    Labelled,
    Declaration,
    command="data check",
    panel="Data and store",
    place=2,
    takes=("json",),
    examples=("pasctl data check hexaco.yaml --personas people.csv", "pasctl data check papi:PAPI"),
):
    """Count items, respondents and missing answers, say how the answers are coded, and show what a model will see.

    For each trait: its items, their keys, split and facets, and Cronbach's alpha where there are respondents.
    """

    spec: str = option(
        help="An inventory file (.yaml, .json, .csv, .tsv, .xlsx), papi:FOLDER, papi, or builtin.",
        metavar="SPEC",
        argument=True,
    )


@dataclass(frozen=True, kw_only=True)
class DataBaselines(
    OfAnswerFile,
    Declaration,
    command="data baselines",
    panel="Data and store",
    place=3,
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
        help="What trait poles or a file of answers are about: builtin, an inventory file, papi:FOLDER, or papi.",
        metavar="SPEC",
        env="PASCTL_INVENTORY",
    )


@dataclass(frozen=True, kw_only=True)
class DataPull(
    Declaration,
    command="data pull",
    panel="Data and store",
    place=4,
    takes=("json",),
    examples=("pasctl data pull papi",),
):
    """Fetch a dataset from the Hugging Face hub into the hub's cache."""

    dataset: str = option(help="papi", metavar="DATASET", argument=True)
    revision: str | None = option(None, help="Branch, tag or commit of the dataset.", metavar="REV")
