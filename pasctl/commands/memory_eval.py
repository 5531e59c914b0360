"""`pasctl memory-eval`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pasctl.commands.memory_run import TextLike
from pasctl.commands.shared import OfModel, Seeded
from pasctl.declaration import StageDeclaration
from pasctl.memory.params import MemoryParams
from pasctl.memory.trial_plan import DataPlan, TrialPlan
from pasctl.option import group, option


@dataclass(frozen=True, kw_only=True)
class MemoryEval(
    OfModel,
    Seeded,
    StageDeclaration,
    command="memory-eval",
    function="memory_eval",
    action="pasctl.stages.memory_eval:plan",
    makes="trials",
    version=6,
    panel="Memory",
    place=4,
    positional=("model", "plan"),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=(
        "pasctl memory-eval --model Qwen/Qwen3-0.6B --tasks passkey --lengths 4k,16k --compare window,full",
        "pasctl memory-eval --model Qwen/Qwen3-0.6B --tasks nll --text docs.txt --lengths 32k",
        "pasctl memory-eval --model Qwen/Qwen3-0.6B --data qasper.jsonl --format longbench --compare full,bm25",
    ),
):
    """Measure what a model retrieves from long texts, with a memory and without.

    The texts are made, or are those of a benchmark's own files (docs/benchmarks.md). A trial that was run
    before with the same model and parameters is taken from the store.
    """

    plan: TrialPlan = group(TrialPlan, panel="Trials")
    items: DataPlan = group(DataPlan, panel="Benchmarks")
    text: TextLike | None = option(
        None, help="A text file, for the task nll.", metavar="FILE", record="provenance", digest=("text",)
    )
    params: MemoryParams | Mapping[str, Any] = group(
        MemoryParams, panel="Memory", partial=True, key="memory", without=("representatives",)
    )
