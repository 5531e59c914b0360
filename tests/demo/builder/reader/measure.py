"""The figures of the reader's card: memory tasks within its context, and far beyond it with a memory and without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pasctl.demo.reading import CONTEXT, MEMORY
from pasctl.memory.benchmarks.metrics import wilson
from pasctl.memory.trial_plan import TrialPlan
from pasctl.models.options import ModelOptions
from pasctl.stages.memory_eval import memory_eval, trial_figures
from pasctl.stages.run import Run

TASKS = (
    *("passkey-varied", "niah-single-2", "niah-multikey-1", "niah-multikey-2"),
    *("update", "scenes", "keyvalue"),
)
"""Memory tasks that it is measured on. The facts of a trial of `tracking` are longer than the context."""
WITHIN = CONTEXT - 32  # room for the question and the answer
TIMES = (16,)
TRIALS, SEED = 12, 1000  # parameters were chosen on texts of the seeds 100 to 105


def measure(
    folder: Path, out: Path, *, tasks: Sequence[str] = TASKS, times: Sequence[int] = TIMES, trials: int = TRIALS
) -> None:
    """Run the tasks on a model's folder, and put their figures beside the weights."""
    run = Run(out / "artifacts")
    model = run.model(str(folder), ModelOptions(dtype="float32"))
    rows: list[dict[str, Any]] = []
    for length, compare in ((WITHIN, "full"), *((CONTEXT * each, "window") for each in times)):
        plan = TrialPlan(tuple(tasks), (length,), trials, (compare,), seed=SEED)
        made = memory_eval(model, plan, params=MEMORY, run=run).artifact
        if made is None:
            raise RuntimeError("memory-eval made nothing")
        figures = trial_figures(made.read_json("trials.json"), made.provenance["costs"])["tasks"]
        rows += [
            {
                **{name: row[name] for name in ("task", "length", "system", "trials", "accuracy", "recall")},
                "interval": [round(bound, 3) for bound in wilson(row["accuracy"], row["trials"])],
            }
            for row in figures
        ]
    (folder / "evaluation.json").write_text(json.dumps({"seed": SEED, "tasks": rows}, indent=1) + "\n", "utf-8")
