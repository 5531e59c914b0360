"""What holds when a memory is extended: its parameters stay, and the text that came last is not read twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from pasctl.commands.memory_run import MemoryRun
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams
from pasctl.stages.job import Outcome
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_runs import has_runs
from pasctl.stages.text import Text


def same_params(
    parent: Artifact, stored: MemoryParams, params: MemoryParams | Mapping[str, Any], steering: SteeringTarget
) -> MemoryParams:
    """The parameters of the memory to extend.

    Raises:
        InputError: the caller asks for others, or the memory is a folder's.
    """
    if has_runs(parent):
        raise InputError(
            f"{parent.name} is a folder's memory, it cannot be extended",
            hint="put the text into the folder and run memory-run on it again",
        )
    given = asdict(params) if isinstance(params, MemoryParams) else dict(params)
    kept: Any = given.pop("representatives", stored.representatives)
    for name, value in given.items():
        if getattr(stored, name) != value:
            raise InputError(
                f"{parent.name} was read with {name} {getattr(stored, name)}, it cannot be extended with {value}",
                hint="leave the parameter out, or read all texts into a new memory",
            )
    if steering.given:
        raise InputError(
            f"{parent.name} continues as it was read, steered or not",
            hint="leave --alpha, --persona and --directions out, or read all texts into a new memory",
        )
    return replace(stored, representatives=kept)


def own_result(memory: Artifact, texts: Sequence[Text], run: Run) -> Outcome | None:
    """A memory itself, if exactly these texts were the last that it was extended with; else None.

    A name means its latest version, so the same command given again would extend its own result with the same text.
    """
    extended = memory.stage == MemoryRun.command and "memory" in memory.inputs
    if not extended or memory.params["texts"] != [text.digest for text in texts]:
        return None
    before = {role: entry.name for role, entry in memory.inputs.items()}
    run.reporter.note(
        f"{memory.name} is {before['memory']} extended with this text already, it is not read a second time"
    )
    if not run.dry_run:
        run.store.touch(memory)
    return Outcome(memory.stage, memory.key, memory, reused=True, seconds=0.0, inputs=before)
