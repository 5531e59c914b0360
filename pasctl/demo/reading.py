"""The last steps of `pasctl demo`: a second small model, trained to look things up, reads 16 times its context."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pasctl.demo.step import Step, memory_words
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.trial import Trial
from pasctl.memory.trial_plan import TrialPlan
from pasctl.models.options import ModelOptions
from pasctl.stages.job import Outcome
from pasctl.stages.memory import memory_run
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_eval import memory_eval, trial_figures
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.text import Text

READER = "demo-reader"
CONTEXT = 192
"""Positions that the reader was trained for."""
MEMORY = MemoryParams(
    n_init=8, n_local=64, n_mem=88, chunk=32, min_block=8, max_block=16, repr_topk=16, gamma=2.0, contiguity=0.0
)
"""The memory that it is read with; chosen on texts of the seeds 100 to 105."""


@dataclass(frozen=True)
class ReadingScale:
    """How much is read.

    Attributes:
        length: tokens of a text.
        tasks: what is asked of other texts.
        trials: texts of each task.
    """

    length: int = 16 * CONTEXT
    tasks: tuple[str, ...] = ("niah-single-2", "niah-multikey-1", "update", "scenes")
    trials: int = 3


class Reading:
    """Reads a text of scenes, asks about one of them, and does the same with other texts and tasks."""

    def __init__(self, run: Run, scale: ReadingScale) -> None:
        self.run, self.scale = run, scale
        self._model = run.model(READER, ModelOptions(dtype="float32"))
        self._made: dict[str, Artifact] = {}

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What the steps have made so far, in order."""
        return tuple(self._made.values())

    @cached_property
    def trial(self) -> Trial:
        """The text of scenes, its question and its answer."""
        prompt = Prompt(self._model.chat())
        trial: Trial = TASKS.get("scenes")(self.scale.length, 0.3, 0, lambda text: len(prompt.encode(text)))
        return trial

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order."""
        scale, named, sizes = self.scale, f"--model {READER} --dtype float32", memory_words(MEMORY)
        return (
            Step(
                f"pasctl memory-run scenes.txt {named} {sizes}",
                f"reads {scale.length:,} tokens of short scenes with another small model, whose context is {CONTEXT}",
                self._memory_run,
            ),
            Step(
                f'pasctl memory-ask latest "{self.trial.question}"',
                "asks about one of the scenes",
                self._memory_ask,
                self.trial.answers[0],
            ),
            Step(
                f"pasctl memory-eval {named} --tasks {','.join(scale.tasks)} --lengths {scale.length} "
                f"--trials {scale.trials} --compare window {sizes}",
                "looks up numbers by name, facts that change, and scenes, in other texts of this length",
                self._memory_eval,
            ),
        )

    def figures(self) -> dict[str, Any]:
        """What was measured, once all steps have run."""
        [answer] = read_answers(self._made["answers"])
        trials = self._made["trials"]
        rows = trial_figures(trials.read_json("trials.json"), trials.provenance["costs"])["tasks"]
        return {
            "tokens": self.scale.length,
            "question": self.trial.question,
            "answer": answer["answer"],
            "expected": self.trial.answers[0],
            "right": {
                system: {row["task"]: row["accuracy"] for row in rows if row["system"] == system}
                for system in ("memory", "window")
            },
        }

    def _keep(self, outcome: Outcome) -> Outcome:
        if outcome.artifact is not None:
            self._made[outcome.artifact.kind] = outcome.artifact
        return outcome

    def _memory_run(self) -> Outcome:
        return self._keep(memory_run(self._model, [Text("scenes.txt", self.trial.text)], params=MEMORY, run=self.run))

    def _memory_ask(self) -> Outcome:
        return self._keep(
            memory_ask(self._made["memory"], [self.trial.question], SamplingParams(), model=self._model, run=self.run)
        )

    def _memory_eval(self) -> Outcome:
        scale = self.scale
        plan = TrialPlan(scale.tasks, (scale.length,), scale.trials, ("window",))
        return self._keep(memory_eval(self._model, plan, params=MEMORY, run=self.run))
