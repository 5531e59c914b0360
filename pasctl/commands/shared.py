"""Options that several commands have, each declared once: classes that a command builds on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from pasctl.errors import InputError
from pasctl.evaluation.defaults import BUDGET_KL, FOLDS, TRIED_ALPHAS
from pasctl.models.options import ModelOptions
from pasctl.option import group, option

if TYPE_CHECKING:
    from pasctl.evaluation.alphas import Alphas
    from pasctl.inventory import Inventory as InventoryObject
    from pasctl.inventory import Personas as PersonasObject
    from pasctl.inventory.respondents import MapLike as AnyMap
    from pasctl.stages.model import ModelLike as ModelLike
    from pasctl.stages.runner import Artifact

    AlphasLike: TypeAlias = Alphas
    MapLike: TypeAlias = AnyMap
    Ref: TypeAlias = str | Artifact
    InventoryLike: TypeAlias = str | InventoryObject
    PersonasLike: TypeAlias = str | PersonasObject
else:  # on the command line all of these are words
    AlphasLike = ModelLike = Ref = InventoryLike = PersonasLike = str
    MapLike = str | None

Positions = Literal["all", "answer"]
Coding = Literal["auto", "keyed", "agreement", "as-published"]


NO_BUDGET = "none"


def parse_budget(budget: float | str | None) -> float | None:
    """A KL budget in nats/token; None for "none".

    Raises:
        InputError: it is no number of at least 0.
    """
    if budget is None or budget == NO_BUDGET:
        return None
    try:
        number = float(budget)
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise InputError(f"KL budget: expected nats/token of at least 0, or {NO_BUDGET}, found {budget}")
    return number


@dataclass(frozen=True, kw_only=True)
class Budgeted:
    """A command that takes a strength that was chosen."""

    budget_kl: float | None = option(
        BUDGET_KL,
        help="alpha auto moves neutral text no further than this, and an alpha that does is warned of: KL in "
        f"nats/token, or {NO_BUDGET}.",
        metavar="X",
        key="choice.budget_kl",
        off=NO_BUDGET,
        when_set=True,
        parse=parse_budget,
    )


@dataclass(frozen=True, kw_only=True)
class Seeded:
    """A command that draws, or that could."""

    seed: int = option(0, help="Seed; enters every key.", env="PASCTL_SEED", record="numerics")


@dataclass(frozen=True, kw_only=True)
class OfModel:
    """A command for a model that must be named."""

    model: ModelLike = option(
        help="demo, a hub id, a local folder, or a .gguf file.",
        short="-m",
        metavar="MODEL",
        env="PASCTL_MODEL",
        record="provenance",
    )
    options: ModelOptions = group(ModelOptions, panel="Model")


@dataclass(frozen=True, kw_only=True)
class Directed:
    """A command that reads directions."""

    directions: Ref | None = option(
        None, help="Directions to read. Default: the latest of the model.", metavar="REF", record="inputs"
    )


@dataclass(frozen=True, kw_only=True)
class ModelOfDirections:
    """A command that runs the model which directions were fitted on."""

    model: ModelLike | None = option(
        None,
        help="Where the model is now. Default: the model of the directions, where it was then.",
        short="-m",
        metavar="MODEL",
        env="PASCTL_MODEL",
        record="nowhere",
    )
    options: ModelOptions = group(ModelOptions, panel="Model")


@dataclass(frozen=True, kw_only=True)
class OfDirections(Directed, ModelOfDirections):
    """A command that reads directions and runs their model."""


@dataclass(frozen=True, kw_only=True)
class OfMemory:
    """A command about a memory, which names its model."""

    model: ModelLike | None = option(
        None, help="Where the model is now. Default: where it was.", short="-m", metavar="MODEL", record="nowhere"
    )


@dataclass(frozen=True, kw_only=True)
class OfInputs:
    """A command that takes results of earlier stages."""

    model: ModelLike | None = option(
        None, help="Use inputs of this model only.", short="-m", metavar="MODEL", env="PASCTL_MODEL", record="nowhere"
    )


def parse_option_labels(words: str) -> str:
    """What a user says of option labels, as it is, once it is sure to be understood.

    Raises:
        InputError: it names none.
    """
    from pasctl.inventory.option_labels import parse_option_labels as parse  # imports numpy

    parse(words)
    return words


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A command that shows a model the options of items."""

    option_labels: str | None = option(
        None,
        help="What a model answers with: letters (or A-E), numbers (or 1-7; the scores), or text (the option's own, "
        "such as Very accurate). Default: what the inventory says, else letters.",
        metavar="letters|numbers|text",
        record="provenance",
        parse=parse_option_labels,
    )

    @property
    def told_labels(self) -> dict[str, str]:
        """What a manifest says of them beside the key, which has them in the inventory's digest."""
        return {} if self.option_labels is None else {"option_labels": self.option_labels}


@dataclass(frozen=True, kw_only=True)
class OfInventory(Labelled):
    """A command about a questionnaire."""

    inventory: InventoryLike = option(
        "builtin",
        help="builtin, an inventory file (.yaml, .json, .csv, .tsv, .xlsx), papi:FOLDER, or papi (from the hub).",
        metavar="SPEC",
        env="PASCTL_INVENTORY",
        record="provenance",
        digest=("inventory",),
    )


@dataclass(frozen=True, kw_only=True)
class OfPersonas:
    """A command that reads people's answers."""

    coding: Coding = option(
        "auto", help="How answers to items keyed -1 are stored; auto proves it from the data.", record="provenance"
    )


@dataclass(frozen=True, kw_only=True)
class OfAnswerFile(OfPersonas):
    """A command about personas that a file of answers may have."""

    map_file: MapLike = option(
        None,
        help="What the columns and values of a file of answers are, where it does not show: a YAML or JSON file such "
        "as {id: ResponseId, items: {E01: q1}, missing: [-99], scale: {1: 1, 2: 5}, keyed: true}.",
        flag="--map",
        metavar="FILE",
        record="provenance",
        when_set=True,
    )


@dataclass(frozen=True, kw_only=True)
class NamedPersonas(OfAnswerFile):
    """A command about personas that a user names."""

    personas: PersonasLike | None = option(
        None,
        help="papi:FOLDER[:0-20|case=172481,...] (0-20: the first 20), E+ or E+,N- or 'E+ & 0.5*N-', "
        "traits:E=1.5,N=-1, sample:1000 (drawn from an inventory file's norms), demo, or a file "
        "of answers[:0-20 or :where=country=DE] such as .json, .csv, .xlsx, .sav or .parquet. Default: the inventory's "
        "own respondents, or all poles of a contrast.",
        metavar="SPEC",
        record="provenance",
        digest=("personas",),
    )


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A command that chooses a strength among several."""

    alphas: AlphasLike = option(
        TRIED_ALPHAS, help="Strengths to choose from; 0 leaves the model unsteered.", metavar="A[,A...]"
    )


@dataclass(frozen=True, kw_only=True)
class CrossValidated(Tried):
    """A command that chooses a strength by cross-validation."""

    folds: int = option(
        FOLDS, help="Folds of the fit items, for directions of answers; each is held out once.", metavar="N"
    )
    neutral_text: str = option(
        "builtin",
        help="Text that side effects are measured on: builtin, a file, or none.",
        metavar="FILE",
        record="provenance",
        digest=("text", "side_effects"),
        off="none",
    )


@dataclass(frozen=True, kw_only=True)
class Positioned:
    """A command that steers."""

    positions: Positions | None = option(
        None,
        help="Steer at all positions, or from the answer position on. Default: as the directions were selected, else "
        "all.",
    )


@dataclass(frozen=True, kw_only=True)
class WithFigures:
    """A command that writes figures as files."""

    svg: str | None = option(
        None, help="Also write each figure as an SVG file into this folder.", metavar="DIR", from_file="inside"
    )
    png: str | None = option(
        None, help="Also write each figure as a PNG file into this folder.", metavar="DIR", from_file="inside"
    )
    pdf: str | None = option(
        None, help="Also write each figure as a PDF file into this folder.", metavar="DIR", from_file="inside"
    )

    @property
    def figures(self) -> dict[str, str | None]:
        """Format -> the folder that its files go into, None for none."""
        return {"svg": self.svg, "png": self.png, "pdf": self.pdf}
