"""Several memories of one model as one: asked together, each of their events is retrieved as if there were one text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, PasctlError
from pasctl.stages.memory import open_memory, params_of
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.segment_files import segment_files
from pasctl.stages.stored_runs import has_runs, opening_of, stored_runs

if TYPE_CHECKING:
    from pasctl.memory.params import Representatives
    from pasctl.memory.runs import Run
    from pasctl.memory.text_bounds import TextBounds
    from pasctl.stages.stored_memory import EpisodicMemory

_NAME = re.compile(r"memory/[^/\s]+/[^/\s]+")


def require_like(memories: Sequence[Artifact]) -> None:
    """Refuse memories that cannot be asked together.

    Raises:
        InputError: one is given twice, or was read with another model, dtype, quantization or steering than the first.
    """
    first, *others = memories
    if len({memory.key for memory in memories}) < len(memories):
        raise InputError(f"{first.name} and {', '.join(each.name for each in others)}: one memory is given twice")
    for other in others:
        for what, one, two in zip(("model", "numerics", "steering"), _nature(first), _nature(other), strict=True):
            if one != two:
                raise InputError(
                    f"{other.name} was read with another {what} than {first.name}, they cannot be asked together",
                    hint="read the texts with the same model and options, or ask one after the other",
                )


def refuse_memory_as_question(store: Store, questions: Sequence[str]) -> None:
    """Refuse a second memory where a question is expected, which would be asked of the first.

    Raises:
        InputError: a question is the name of a memory.
    """
    for question in questions:
        if _NAME.fullmatch(question.strip()) or question.strip() == "latest":
            try:
                name = store.resolve(question.strip(), "memory").name
            except PasctlError:
                continue
            raise InputError(
                f"{question.strip()!r} is a memory and no question", hint=f"to ask it too, give it as --with {name}"
            )


def open_several(
    memories: Sequence[Artifact], handle: ModelHandle, representatives: Representatives, reporter: Reporter
) -> EpisodicMemory:
    """Memories as one, with the parameters of the first; their texts are not read again.

    Args:
        memories: artifacts of one model.
        handle: the model.
        representatives: where they are kept (see `pasctl.memory.params.MemoryParams`).
        reporter: receives notes.

    Raises:
        IntegrityError: a file is damaged.
    """
    from pasctl.memory.runs import run_of
    from pasctl.stages.stored_memory import EpisodicMemory

    runs: list[Run] = []
    bounds: list[TextBounds] = []
    names: list[tuple[int, str]] = []
    opening: list[int] = []
    place = 0
    for memory in memories:
        opened = open_memory(memory, handle, representatives=representatives, reporter=reporter)
        opening = opened.prompt.opening
        place = place or len(opening)
        known = opened.bounds() if callable(opened.bounds) else opened.bounds
        names.append((place, memory.name))
        if has_runs(memory):
            shift, own = place - len(opening_of(memory)), stored_runs(memory)
        else:
            shift, own = place, [run_of(opened.reader, segment_files(memory))]
        bounds += [part.moved(part.first + shift) for part in known]
        runs += own
        place += sum(len(run.ids) for run in own)
    params = replace(params_of(memories[0]), n_init=len(opening), representatives=representatives)
    together = EpisodicMemory(handle.load(reporter), params=params, intervention=opened.intervention)
    together.join(runs)
    together.bounds, together.memories = bounds, names
    return together


def _nature(memory: Artifact) -> tuple[Any, Any, Any]:
    numerics = {name: value for name, value in memory.document["numerics"].items() if name != "seed"}
    steering = memory.params.get("steering")
    directions = memory.inputs.get("directions")
    return memory.document["model"], numerics, (steering, directions.content_digest if directions else None)
