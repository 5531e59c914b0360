"""`pasctl import-vector`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.commands.shared import OfModel
from pasctl.declaration import StageDeclaration
from pasctl.option import option

if TYPE_CHECKING:
    from pathlib import Path

    PathLike = Path | str
else:
    PathLike = str


@dataclass(frozen=True, kw_only=True)
class ImportVector(
    OfModel,
    StageDeclaration,
    command="import-vector",
    function="import_vector",
    action="pasctl.stages.import_vector:plan",
    makes="directions",
    version=1,
    panel="Using a model",
    place=6,
    positional=("file", "model"),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=("pasctl import-vector happy.gguf --model Qwen/Qwen3-0.6B --persona happy",),
):
    """Read steering vectors that another tool has made, as directions of one persona.

    Files of llama.cpp, repeng, EasySteer, steering-vectors and vllm-lens. Alpha 1 is the vector as it is.
    """

    file: PathLike = option(
        help="A .gguf, .safetensors or .json file of vectors.",
        metavar="FILE",
        argument=True,
        record="provenance",
        digest=("vectors",),
    )
    persona: str = option("", help="What to call it. Default: what the file says, else its name.", metavar="ID")
