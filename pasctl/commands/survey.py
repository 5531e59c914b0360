"""`pasctl survey`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasctl.commands.shared import OfPersonas
from pasctl.declaration import Declaration
from pasctl.errors import InputError
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Survey(
    OfPersonas,
    Declaration,
    command="survey",
    panel="Data and store",
    place=0,
    takes=("json",),
    examples=(
        "pasctl survey --output answers.json",
        "pasctl survey --inventory hexaco.yaml --output ada.json",
        "pasctl survey --output answers.json --show",
    ),
):
    """Answer an inventory, see your profile, and have a persona: run --personas answers.json."""

    inventory: str | None = option(
        None,
        help="builtin, an inventory file (.yaml, .json, .csv, .tsv, .xlsx), papi:FOLDER, or papi (from the hub). "
        "Default: what the file answers, else builtin.",
        metavar="SPEC",
        env="PASCTL_INVENTORY",
    )
    output: str = option(
        "answers.json",
        help="The file of answers; if it exists, it is continued.",
        short="-o",
        metavar="FILE",
        from_file="inside",
    )
    name: str | None = option(None, help="Who answers. Default: the file's name.", metavar="NAME")
    split: Literal["all", "fit", "report"] = option("all", help="Items to ask.")
    shuffle: bool = option(False, help="Ask in random order.", flag="--shuffle/--no-shuffle")
    group: str | None = option(
        None,
        help="The group of the inventory's norms to compare with. Default: everybody, or the only group.",
        metavar="NAME",
    )
    seed: int = option(0, help="Seed of the random order.", env="PASCTL_SEED", minimum=0)
    show: bool = option(False, help="Ask nothing, print the profile of the file.")
    restart: bool = option(False, help="Ask all again; the first answer replaces the old ones.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.show and self.restart:
            raise InputError("--show asks nothing and --restart asks all again: give one of them")
