"""`pasctl inspect`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.commands.shared import Ref
from pasctl.declaration import Declaration
from pasctl.option import option

if TYPE_CHECKING:
    from pathlib import Path

    PathLike = Path | str
else:
    PathLike = str


@dataclass(frozen=True, kw_only=True)
class Inspect(
    Declaration,
    command="inspect",
    function="inspect_checkpoint",
    action="pasctl.stages.inspect:inspect",
    panel="Using a model",
    place=5,
    positional=("file",),
    examples=(
        "pasctl inspect steered",
        "pasctl inspect steered/model.gguf --base base.gguf --directions latest",
    ),
):
    """Tell whether a checkpoint carries a steering delta, whose, and at which strength, from its own bytes.

    It reads a model folder, a .gguf model, or a control vector, and runs no model. A file that says something else
    than its bytes have is an error.
    """

    file: PathLike = option(help="A model folder or a .gguf file.", metavar="PATH", argument=True)
    base: str | None = option(
        None,
        help="The model that it was made from, to compare all tensors: folder, .gguf file, or hub id.",
        metavar="MODEL",
    )
    directions: Ref | None = option(
        None,
        help="Directions to compare with. Default: those that it names, if the store has them.",
        metavar="REF",
    )
