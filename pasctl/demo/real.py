"""The walk-through of `pasctl demo --model MODEL`: a model that writes, steered in words and in statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pasctl.contrasts.questions import EVERYDAY_PROMPTS
from pasctl.demo.step import Step
from pasctl.models.identity import resolve_model
from pasctl.stages.choose_alpha import choose_alpha
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.job import Outcome
from pasctl.stages.recipes import BIG5
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.say import say


@dataclass(frozen=True)
class RealScale:
    """How much is written and measured.

    Attributes:
        poles: whose texts are written.
        prompts: everyday prompts that are answered.
        personas: simulated respondents whose statements are read.
        modes: conditions of the evaluation.
    """

    poles: str = "E+,N+"
    prompts: tuple[str, ...] = EVERYDAY_PROMPTS[:3]
    personas: str = "builtin:0-12"
    modes: str = "no-change,personality-prompt,pas,random-direction"


class RealWalk:
    """The steps in order; each takes what the ones before made."""

    def __init__(self, run: Run, model: str, scale: RealScale | None = None) -> None:
        self.run, self.scale = run, scale or RealScale()
        self._model = run.model(resolve_model(model))
        self._made: dict[str, Artifact] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """What is done, in order."""
        scale, model = self.scale, self._model.source.spec
        words = " ".join(f'"{prompt}"' for prompt in scale.prompts)
        return (
            Step(
                f"pasctl extract --model {model} --contrast {BIG5}",
                "reads what each attention head says after descriptions of people who are high or low in each of the "
                "built-in traits",
                self._extract,
            ),
            Step("pasctl fit-directions", "fits where to shift heads for each trait", self._fit_poles),
            Step(
                "pasctl choose-alpha",
                "steers with several doses, and takes the one that moves statements most within a KL budget",
                self._choose_alpha,
            ),
            Step(
                f"pasctl say --model {model} --persona {scale.poles} {words}",
                "writes answers as the model is, steered to a trait's pole, away from it, and prompted with it",
                self._say,
            ),
            Step(
                f"pasctl fit-directions --personas {scale.personas}",
                "adds the traits' directions up for each of some simulated respondents, by their trait scores",
                self._fit_people,
            ),
            Step(
                f"pasctl eval --reading statements --mode {scale.modes}",
                "reads how probable statements about oneself become, and whether they are those of the own person",
                self._evaluate,
            ),
        )

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """What the steps have made so far, in order."""
        return tuple(self._made.values())

    def figures(self) -> dict[str, Any]:
        """What was measured, once all steps have run."""
        return {
            "texts": self._made["texts"].read_table("texts.parquet").to_pylist(),
            "conditions": self._made["results"].read_json("metrics.json")["conditions"],
        }

    def _keep(self, outcome: Outcome, name: str) -> Outcome:
        if outcome.artifact is not None:
            self._made[name] = outcome.artifact
        return outcome

    def _extract(self) -> Outcome:
        return self._keep(extract(self._model, contrast=BIG5, run=self.run), "activations")

    def _fit_poles(self) -> Outcome:
        made = fit_directions(activations=self._made["activations"], model=self._model, run=self.run)
        return self._keep(made, "poles")

    def _choose_alpha(self) -> Outcome:
        made = choose_alpha(directions=self._made["poles"], model=self._model, run=self.run)
        return self._keep(made, "strengths")

    def _say(self) -> Outcome:
        scale = self.scale
        made = say(self._model, scale.prompts, persona=scale.poles, directions=self._made["poles"], run=self.run)
        return self._keep(made, "texts")

    def _fit_people(self) -> Outcome:
        made = fit_directions(
            personas=self.scale.personas, activations=self._made["activations"], model=self._model, run=self.run
        )
        return self._keep(made, "people")

    def _evaluate(self) -> Outcome:
        made = evaluate(
            directions=self._made["people"],
            model=self._model,
            reading="statements",
            modes=self.scale.modes,
            run=self.run,
        )
        return self._keep(made, "results")
