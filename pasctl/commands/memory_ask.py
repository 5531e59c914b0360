"""`pasctl memory-ask`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pasctl.commands.shared import OfMemory, Ref
from pasctl.declaration import StageDeclaration
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams, Representatives
from pasctl.models.options import ModelOptions
from pasctl.option import group, option, same


@dataclass(frozen=True, kw_only=True)
class MemoryAsk(
    OfMemory,
    StageDeclaration,
    command="memory-ask",
    function="memory_ask",
    action="pasctl.stages.memory_ask:plan",
    makes="answers",
    version=4,
    panel="Memory",
    place=2,
    positional=("memory", "questions", "how"),
    implied=frozenset({"times"}),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=(
        'pasctl memory-ask latest "Who hid the letter?"',
        'pasctl memory-ask memory/qwen3-0.6b/long "Where was it found?" "Who found it?" --json',
        'pasctl memory-ask memory/qwen3-0.6b/long --with memory/qwen3-0.6b/docs "Who hid the letter?"',
    ),
):
    """Ask a text that was read earlier; it is not read again.

    Answers are stored: a question that was asked before is not answered again. Each question is asked as if it were
    the only one. Where an answer comes from is told on stderr, and with --json all of it: file, lines, characters,
    words, and the share of layers that retrieved it.
    """

    memory: Ref | None = option(
        None,
        help="kind/model/label[@vN], a tag, a key, or latest.",
        metavar="REF",
        argument=True,
        required=True,
        record="inputs",
    )
    questions: Sequence[str] = option(
        (), help="One or several questions.", metavar="QUESTION", argument=True, required=True
    )
    others: Sequence[Ref] = option(
        (),
        help="Ask this memory of the same model too, with the first; may be given several times.",
        flag="--with",
        metavar="REF",
        record="inputs",
    )
    recent: float = option(
        0.0,
        help="Prefer newer files and turns: what is added to the score of the newest, in standard deviations of the "
        "scores; half of it is for those in the middle. Default: 0, off.",
        metavar="W",
        when_set=True,
    )
    representatives: Representatives = same(MemoryParams, "representatives", "device")
    how: SamplingParams = group(SamplingParams, panel="Answers")
    seed: int = option(0, help="Seed of the sampling; enters the key.", env="PASCTL_SEED")
    options: ModelOptions = group(ModelOptions, panel="Model")
    on_piece: Callable[[str], None] | None = option(
        None,
        help="With one question, called with each piece of its answer as it is written; not for a stored answer.",
        python_only=True,
        record="nowhere",
    )
