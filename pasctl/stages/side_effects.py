"""What steering does where no questionnaire is: to the prediction of neutral text, and to free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.intervals import interval
from pasctl.evaluation.units import EvalCase, unit_table
from pasctl.stages.job import StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import part_key

if TYPE_CHECKING:
    import pandas as pd

    from pasctl.evaluation.side_effects import Unsteered
    from pasctl.models.load import LoadedModel

FILE = "side_effects.json"
"""Of the artifact: run key -> what was measured, with the free texts."""
FREE_TOKENS = 32
VERSION = 1
"""Of how these are measured; raise it when the same run would give other numbers."""
_ROWS = 16  # runs that are measured together; each is kept as the batch ends
_MEASURES = {
    "kl": (0.0, np.inf),
    "perplexity": (1.0, np.inf),
    "repetition": (0.0, 1.0),
}  # and their lowest and highest values


@dataclass(eq=False)
class SideEffects:
    """The runs of an evaluation that steer and tell nothing, each measured once.

    Attributes:
        task: whose runs these are.
        neutral: the text that is predicted.
        handle: the model.
        batch_tokens: bound on the tokens of one forward pass.
    """

    task: EvaluationTask
    neutral: Neutral
    handle: ModelHandle
    batch_tokens: int

    @property
    def params(self) -> dict[str, Any]:
        """What enters the key."""
        return {"text": self.neutral.digest, "tokens": self.neutral.tokens, "free_tokens": FREE_TOKENS}

    @cached_property
    def units(self) -> list[tuple[EvalCase, str]]:
        """Steered units without a system text, of the first random direction alone, and the keys of their runs."""
        return [
            (unit, self._key(unit))
            for unit in self.task.cases
            if CONDITIONS[unit.condition].steered
            and unit.system is None
            and unit.draw == 0
            and unit.persona in self.task.sample
        ]

    @cached_property
    def alone(self) -> str:
        """The key of the run that nothing displaces."""
        return self._key(None)

    @cached_property
    def runs(self) -> dict[str, EvalCase | None]:
        """The first unit of each run's key, the model left alone before them; empty where nothing is steered."""
        first: dict[str, EvalCase | None] = {self.alone: None} if self.units else {}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    def measure(self, work: StageContext, counts: dict[str, int]) -> dict[str, dict[str, Any]]:
        """Run key -> tokens, kl, perplexity, repetition, texts: from results that hold it already, else measured.

        Args:
            work: keeps each run as it has been measured.
            counts: gets how many there are, how many were reused, and the tokens that were read or written.
        """
        found = {key: artifact.read_json(FILE)[key] for key, artifact in work.find_parts(list(self.runs)).items()}
        counts |= {"side_effects": len(self.runs), "side_effects_reused": len(found), "side_effect_tokens_run": 0}
        missing = [key for key in self.runs if key not in found]
        text: Unsteered | None = None
        with work.reporter.progress("side effects", len(self.runs), "runs") as advance:
            advance(len(found))
            # in chunks that do not depend on what an interrupted run has left: it comes to the same bits
            for chunk in (missing[start : start + _ROWS] for start in range(0, len(missing), _ROWS)):
                if all(work.has(_name(key)) for key in chunk):
                    counts["side_effects_reused"] += len(chunk)
                else:
                    model = self.handle.load(work.reporter)
                    text = text or self.neutral.unsteered(model)
                    measured = self._run(model, text, [self.runs[key] for key in chunk], counts)
                    for key, each in zip(chunk, measured, strict=True):
                        work.write(_name(key), each)
                found |= {key: work.read_json(_name(key)) for key in chunk}
                advance(len(chunk))
        return {key: found[key] for key in self.runs}

    def rows(self, found: dict[str, dict[str, Any]]) -> pd.DataFrame:
        """Columns persona, condition, setting, alpha, run, kl, perplexity, repetition; one row per unit."""
        import pandas as pd

        keys = [key for _, key in self.units]
        table = unit_table([unit for unit, _ in self.units], self.task.steering.personas.ids)
        measured = pd.DataFrame([found[key] for key in keys], columns=list(_MEASURES), dtype=np.float64)
        return table.drop(columns="draw").assign(run=keys).join(measured)

    def summary(self, found: dict[str, dict[str, Any]], rows: pd.DataFrame) -> dict[str, Any]:
        """Means over personas with 95% intervals for each condition and setting, compared with the unsteered model."""
        table = [
            {"condition": condition, "setting": setting, "personas": len(group)}
            | {name: _mean_interval(group[name], *bounds) for name, bounds in _MEASURES.items()}
            for (condition, setting), group in rows.groupby(["condition", "setting"], sort=False)
        ]
        alone = {name: found[self.alone][name] for name in _MEASURES if name != "kl"}
        return {"text": self.neutral.name, "tokens": found[self.alone]["tokens"], "rows": table, "unsteered": alone}

    def _key(self, unit: EvalCase | None) -> str:
        directions = None if unit is None else self.task.steered_by(unit)
        steering = None if unit is None or directions is None else self.task.displacement(unit, directions)
        told = {"measure": "side effects", "version": VERSION, **self.task.run, **self.params}
        return part_key({**told, "steering": steering})

    def _run(
        self, model: LoadedModel, text: Unsteered, units: Sequence[EvalCase | None], counts: dict[str, int]
    ) -> list[dict[str, Any]]:
        from pasctl.evaluation.side_effects import FREE_PROMPTS, measure, repetition
        from pasctl.generation.loop import generate
        from pasctl.generation.request import Request
        from pasctl.generation.sampling_params import SamplingParams

        moved = [None if unit is None else self.task.intervention(unit, model.geometry) for unit in units]
        read = measure(model, text, moved, batch_tokens=self.batch_tokens)
        prompts = [model.chat.encode(prompt) for prompt in FREE_PROMPTS]
        how, positions = SamplingParams(max_new_tokens=FREE_TOKENS), self.task.params.positions
        free = generate(
            model,
            [Request(prompt, how, intervention, positions) for intervention in moved for prompt in prompts],
            batch_tokens=self.batch_tokens,
        )
        written = sum(stream.completion_tokens for stream in free)
        counts["side_effect_tokens_run"] += len(units) * (len(text.ids) + sum(map(len, prompts))) + written
        found = []
        for place in range(len(units)):
            texts = free[place * len(prompts) : (place + 1) * len(prompts)]
            shares = [share for share in (repetition(stream.tokens) for stream in texts) if share is not None]
            found.append(
                {
                    "tokens": len(text.ids),
                    "kl": float(read.kl[place]),
                    "perplexity": float(read.perplexity[place]),
                    "repetition": float(np.mean(shares)) if shares else None,
                    "texts": [stream.written for stream in texts],
                }
            )
        return found


def _mean_interval(values: pd.Series[float], least: float, most: float) -> list[float | None]:
    """Mean, and its 95% interval over personas; None for what cannot be had."""
    known = values.dropna()
    if known.empty:
        return [None, None, None]
    return [float(known.mean()), *(interval(known, least=least, most=most) or (None, None))]


def _name(key: str) -> str:
    return f"parts/side-{key}.json"
