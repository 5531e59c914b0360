"""`pasctl export`: its two commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.commands.shared import ModelOfDirections, Ref
from pasctl.commands.target import SteeringTarget
from pasctl.declaration import Declaration
from pasctl.option import group, option, same

if TYPE_CHECKING:
    from pathlib import Path

    PathLike = Path | str
else:
    PathLike = str


@dataclass(frozen=True, kw_only=True)
class ExportCreate(
    ModelOfDirections,
    Declaration,
    command="export create",
    function="export_model",
    action="pasctl.stages.export:create",
    panel="Using a model",
    place=3,
    positional=("directions", "output"),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=(
        "pasctl export directions/demo/e+-n- --persona E+ --alpha 4 -o steered",
        "pasctl export latest --persona E+ --engine vllm-plugin -o steered",
        "pasctl export latest --alpha 4 --engine vllm-personas --link-base -o served",
    ),
):
    """Write a steered model as a checkpoint that others load, and prove that it is the steered model.

    A checkpoint steers at every position of a text. With --engine vllm-personas it is the base model and a table of all
    personas of the directions, or of --persona: each request to vLLM names its own. `export REF` is the same as
    `export create REF`.
    """

    directions: Ref = option(
        help="Directions: directions/model/label[@vN], a tag, a key, or latest.",
        metavar="REF",
        argument=True,
    )
    output: PathLike | None = option(
        None, help="The folder to make: a whole model.", short="-o", metavar="DIR", from_file="inside"
    )
    control_vector: str | None = option(
        None,
        help="Instead of -o: vectors that another tool adds to the base model; how near they come is measured.",
        metavar="FILE",
        cli_only=True,
        from_file="inside",
    )
    vector_format: str = option(
        "auto",
        help="Of --control-vector: llama.cpp, repeng, easysteer, steering-vectors or vllm-lens. auto: by the file's "
        "ending, .gguf (llama.cpp), .safetensors (steering-vectors) or .json (vllm-lens).",
        metavar="NAME",
    )
    engine: str = option(
        "transformers",
        help="What loads it: transformers, vllm, vllm-plugin, vllm-personas, stock or gguf.",
        metavar="NAME",
    )
    link_base: bool = option(
        False, help="Of --engine vllm-personas: point at the base model's weights where they are; else they are copied."
    )
    license: str | None = option(None, help="The base model's, for the model card.", metavar="ID")
    base_model: str | None = option(
        None,
        help="The base model's repository on a hub, for what the export says of itself. Default: that of --model, if "
        "it is from a hub.",
        metavar="ORG/NAME",
    )
    shard_size: str = option("5GB", help="Bound on a weight file.", flag="--max-shard-size", metavar="SIZE")
    force: bool = option(False, help="Replace an earlier export; never another folder or file.")
    steering: SteeringTarget = group(SteeringTarget, panel="Steering", without=("directions",))


@dataclass(frozen=True, kw_only=True)
class ExportCheck(
    ModelOfDirections,
    Declaration,
    command="export check",
    function="check_export",
    action="pasctl.stages.export:check",
    panel="Using a model",
    place=4,
    positional=("folder",),
    takes=("store", "max_memory", "json"),
    examples=("pasctl export check steered", "pasctl export check steered --engine vllm"),
):
    """Repeat the proof of an export: its files are those that were written, and it is the steered model."""

    folder: PathLike = option(help="A folder that `pasctl export` has written.", metavar="DIR", argument=True)
    engine: str = same(ExportCreate, "engine", "transformers")
