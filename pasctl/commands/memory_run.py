"""`pasctl memory-run`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pasctl.commands.shared import ModelLike, Ref, Seeded
from pasctl.commands.target import SteeringTarget
from pasctl.declaration import StageDeclaration
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.option import group, option

if TYPE_CHECKING:
    from pasctl.stages.text import Text

    TextLike = Text | str
else:  # on the command line a file
    TextLike = str


@dataclass(frozen=True, kw_only=True)
class MemoryRun(
    Seeded,
    StageDeclaration,
    command="memory-run",
    function="memory_run",
    action="pasctl.stages.memory:plan",
    makes="memory",
    version=6,
    panel="Memory",
    place=1,
    positional=("model", "texts"),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=(
        'pasctl memory-run long.txt --model Qwen/Qwen3-0.6B --ask "Who hid the letter?"',
        "pasctl memory-run more.txt --extend memory/qwen3-0.6b/long",
        "pasctl memory-run docs/ --glob '**/*.md' --model Qwen/Qwen3-0.6B",
    ),
):
    """Read long texts into an episodic memory, and ask about them.

    A text is read once, with a window of fixed size, and cut into events; what an answer needs is retrieved from them
    (EM-LLM, arXiv 2407.09450). An interrupted run continues where it stopped. Of a folder that was read before, only
    the files that are new or have changed are read.
    """

    texts: Sequence[TextLike] = option(
        (),
        help="Text files in UTF-8, - for stdin, or one folder. Documents need pasctl[documents].",
        metavar="TEXT",
        argument=True,
        required=True,
        record="provenance",
        digest=("texts",),
    )
    model: ModelLike | None = option(
        None,
        help="demo, a hub id, a local folder, or a .gguf file. With --extend: where the model is now.",
        short="-m",
        metavar="MODEL",
        env="PASCTL_MODEL",
        record="provenance",
    )
    extend: Ref | None = option(
        None, help="Extend this memory, with its parameters; it stays as it is.", metavar="REF", record="inputs"
    )
    glob: str | None = option(
        None,
        help="Of a folder, read the files that match. Default: all but hidden ones.",
        metavar="PATTERN",
        record="provenance",
        digest=("files",),
    )
    ask: tuple[str, ...] = option(
        (), help="Ask this after the text is read; may be given several times.", metavar="QUESTION", cli_only=True
    )
    label: str | None = option(
        None, help="Name of the memory. Default: the file's.", metavar="LABEL", record="provenance"
    )
    params: MemoryParams | Mapping[str, Any] = group(MemoryParams, panel="Memory", partial=True, key="memory")
    steering: SteeringTarget = group(
        SteeringTarget,
        panel="Steering",
        key="steering",
        without=("positions", "budget_kl"),
        defaults={"positions": "all"},
    )
    how: SamplingParams = group(SamplingParams, panel="Answers", cli_only=True)
    options: ModelOptions = group(ModelOptions, panel="Model")
