"""The walk-through of `pasctl demo`: every stage on the model in the box, each an ordinary call, its result kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pasctl.contrasts.questionnaire import ITEMS
from pasctl.demo import CONTEXT
from pasctl.demo.reading import Reading, ReadingScale
from pasctl.demo.step import Step, memory_words
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import make
from pasctl.memory.tasks.trial import Trial
from pasctl.models.options import ModelOptions
from pasctl.stages.choose_alpha import choose_alpha, default_positions
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.job import Outcome
from pasctl.stages.memory import memory_run
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_eval import TrialPlan, memory_eval, trial_figures
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet
from pasctl.stages.text import Text

TIMES_CONTEXT = 16
# Chosen on texts of other seeds (100-109). Surprise cuts this model's pass keys apart: each digit is one.
MEMORY = MemoryParams(  # the demo model finds pass keys more often by mean queries
    n_init=8,
    n_local=160,
    n_mem=256,
    chunk=16,
    min_block=16,
    max_block=32,
    repr_topk=8,
    query="mean",
    segmenter="fixed",
)


@dataclass(frozen=True)
class Scale:
    """How much is measured.

    Attributes:
        personas: who is steered to.
        length: tokens of the texts with a pass key.
        trials: texts with a pass key that are asked about, beside the one that is kept.
        reading: how much the reader reads; None leaves it out.
    """

    personas: str = "demo"
    length: int = TIMES_CONTEXT * CONTEXT
    trials: int = 6
    reading: ReadingScale | None = field(default_factory=ReadingScale)


class Walk:
    """The steps in order; each takes what the one before made."""

    def __init__(self, run: Run, *, model: str = "demo", scale: Scale | None = None) -> None:
        self.run, self.scale = run, scale or Scale()
        # A model this small gains nothing from bfloat16, and float32 gives about the same figures on any machine.
        self._model = run.model(model, ModelOptions(dtype="float32"))
        self._made: dict[str, Artifact] = {}
        self.reading = None if self.scale.reading is None else Reading(run, self.scale.reading)

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order."""
        named = f"--model {self._model.source.spec} --dtype float32"
        scale, sizes = self.scale, memory_words(MEMORY)
        return (
            Step(
                f"pasctl extract {named} --contrast {ITEMS}",
                "reads what each attention head says where an answer begins, when the model is told in 30 of the 60 "
                "statements that it is high or low in a trait",
                self._extract,
            ),
            Step(
                f"pasctl fit-directions --personas {scale.personas}",
                "fits where to shift heads for each trait, and adds that up for each person by their trait scores",
                self._fit_directions,
            ),
            Step(
                "pasctl choose-alpha",
                "steers with several doses, and takes one that does little to text about nobody",
                self._choose_alpha,
            ),
            Step(
                "pasctl eval",
                "asks the other 30 statements of the model as it is, prompted with the persona, and steered, with "
                "controls and baselines",
                self._evaluate,
            ),
            Step(
                f"pasctl memory-run pass-key.txt {named} {sizes}",
                f"reads a text of {scale.length:,} tokens, {scale.length / CONTEXT:g} times the model's context, "
                "with a pass key in the middle",
                self._memory_run,
            ),
            Step(
                f'pasctl memory-ask latest "{self.trial.question}"',
                "asks for it, from what was kept",
                self._memory_ask,
                self.trial.answers[0],
            ),
            Step(
                f"pasctl memory-eval {named} --tasks passkey --lengths {scale.length} --trials {scale.trials} "
                f"--compare window,full {sizes}",
                "does it with other texts and keys: with the memory, with the last tokens alone, with full attention",
                self._memory_eval,
            ),
            *(() if self.reading is None else self.reading.steps),
        )

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What the steps have made so far, in order."""
        return (*self._made.values(), *(() if self.reading is None else self.reading.artifacts))

    @cached_property
    def trial(self) -> Trial:
        """The text with a pass key, its question and its answer."""
        prompt = Prompt(self._model.chat())
        return make(self.scale.length, 0.5, 0, lambda text: len(prompt.encode(text)))

    def figures(self) -> dict[str, Any]:
        """What was measured, once all steps have run."""
        metrics = self._made["results"].read_json("metrics.json")
        directions, curves = self._made["directions"], self._made["strengths"].read_json("curves.json")
        [answer] = read_answers(self._made["answers"])
        trials = self._made["trials"]
        figures = trial_figures(trials.read_json("trials.json"), trials.provenance["costs"])
        return {
            "chosen": {
                "layers": sorted(set(DirectionSet.read(directions).heads[0, :, 0].tolist())),
                "positions": default_positions(directions),
                "alpha": curves["chosen"],
                "dose": round(curves["doses"][curves["alphas"].index(curves["chosen"])], 2),
            },
            "conditions": metrics["conditions"],
            "differences": metrics["differences"],
            "side_effects": metrics["side_effects"],
            "pass_key": {
                "tokens": self.scale.length,
                "question": self.trial.question,
                "answer": answer["answer"],
                "expected": self.trial.answers[0],
            },
            "pass_keys": {row["system"]: row["accuracy"] for row in figures["tasks"]},
            **({} if self.reading is None else {"reading": self.reading.figures()}),
        }

    def _keep(self, outcome: Outcome) -> Outcome:
        made = outcome.artifact
        if made is not None:
            self._made[made.kind] = made
        return outcome

    def _extract(self) -> Outcome:
        return self._keep(extract(self._model, contrast=ITEMS, run=self.run))

    def _fit_directions(self) -> Outcome:
        return self._keep(
            fit_directions(
                personas=self.scale.personas,
                activations=self._made["activations"],
                model=self._model,
                run=self.run,
            )
        )

    def _choose_alpha(self) -> Outcome:
        return self._keep(choose_alpha(directions=self._made["directions"], model=self._model, run=self.run))

    def _evaluate(self) -> Outcome:
        return self._keep(evaluate(directions=self._made["directions"], model=self._model, run=self.run))

    def _memory_run(self) -> Outcome:
        text = Text("pass-key.txt", self.trial.text)
        return self._keep(memory_run(self._model, [text], params=MEMORY, run=self.run))

    def _memory_ask(self) -> Outcome:
        return self._keep(
            memory_ask(self._made["memory"], [self.trial.question], SamplingParams(), model=self._model, run=self.run)
        )

    def _memory_eval(self) -> Outcome:
        plan = TrialPlan(("passkey",), (self.scale.length,), self.scale.trials, ("window", "full"))
        return self._keep(memory_eval(self._model, plan, params=MEMORY, run=self.run))
