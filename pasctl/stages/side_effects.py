"""What steering does where no questionnaire is: to the prediction of neutral text, and to free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.bootstrap import interval
from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.units import Unit
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.questionnaire import Questionnaire
from pasctl.stages.runner import Work, part_key

if TYPE_CHECKING:
    from pasctl.evaluation.side_effects import Unsteered
    from pasctl.models.load import LoadedModel

FILE = "side_effects.json"
"""Of the artifact: run key -> what was measured, with the free texts."""
FREE_TOKENS = 32
VERSION = 1
"""Of how these are measured; raise it when the same run would give other numbers."""
_ROWS = 16  # runs that are measured together; each is kept as the batch ends
_MEASURES = ("kl", "perplexity", "repetition")


@dataclass(eq=False)
class SideEffects:
    """The runs of an evaluation that steer and tell nothing, each measured once.

    Attributes:
        task: whose runs these are.
        neutral: the text that is predicted.
        handle: the model.
        batch_tokens: bound on the tokens of one forward pass.
    """

    task: Questionnaire
    neutral: Neutral
    handle: ModelHandle
    batch_tokens: int

    @property
    def params(self) -> dict[str, Any]:
        """What enters the key."""
        return {"text": self.neutral.digest, "tokens": self.neutral.tokens, "free_tokens": FREE_TOKENS}

    @cached_property
    def units(self) -> list[tuple[Unit, str]]:
        """Steered units without a system text, of the first random direction alone, and the keys of their runs."""
        return [
            (unit, self._key(unit))
            for unit, _ in self.task.units
            if CONDITIONS[unit.condition].steered and unit.system is None and unit.draw == 0
        ]

    @cached_property
    def alone(self) -> str:
        """The key of the run that nothing displaces."""
        return self._key(None)

    @cached_property
    def runs(self) -> dict[str, Unit | None]:
        """The first unit of each run's key, the model left alone before them; empty where nothing is steered."""
        first: dict[str, Unit | None] = {self.alone: None} if self.units else {}
        for unit, key in self.units:
            first.setdefault(key, unit)
        return first

    def measure(self, work: Work, counts: dict[str, int]) -> dict[str, dict[str, Any]]:
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

    def rows(self, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Columns persona, condition, setting, alpha, run, kl, perplexity, repetition; one row a unit."""
        ids = self.task.steering.personas.ids
        units = [unit for unit, _ in self.units]
        told = {
            "persona": np.array([ids[unit.persona] for unit in units], dtype=object),
            "condition": np.array([unit.condition for unit in units], dtype=object),
            "setting": np.array([unit.setting for unit in units], dtype=object),
            "alpha": np.array([unit.alpha for unit in units]),
            "run": np.array([key for _, key in self.units], dtype=object),
        }
        measured = {
            name: np.array([np.nan if found[key][name] is None else found[key][name] for _, key in self.units])
            for name in _MEASURES
        }
        return told | measured

    def summary(self, found: dict[str, dict[str, Any]], rows: dict[str, Any]) -> dict[str, Any]:
        """Means over personas with 95% intervals for each condition and setting, beside the model left alone."""
        table = []
        for condition, setting in dict.fromkeys(zip(rows["condition"], rows["setting"], strict=True)):
            mine = (rows["condition"] == condition) & (rows["setting"] == setting)
            table.append(
                {"condition": condition, "setting": setting, "personas": int(mine.sum())}
                | {name: _mean_interval(rows[name][mine]) for name in _MEASURES}
            )
        alone = {name: found[self.alone][name] for name in _MEASURES if name != "kl"}
        return {"text": self.neutral.name, "tokens": found[self.alone]["tokens"], "rows": table, "unsteered": alone}

    def _key(self, unit: Unit | None) -> str:
        directions = None if unit is None else self.task.steered_by(unit)
        steering = None if unit is None or directions is None else self.task.displacement(unit, directions)
        told = {"measure": "side effects", "version": VERSION, **self.task.run, **self.params}
        return part_key({**told, "steering": steering})

    def _run(
        self, model: LoadedModel, text: Unsteered, units: Sequence[Unit | None], counts: dict[str, int]
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
                    "texts": [stream.take() for stream in texts],
                }
            )
        return found


def _mean_interval(values: NDArray[np.float64]) -> list[float | None]:
    """Mean, and its 95% interval over personas; None for what cannot be had."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return [None, None, None]
    return [float(kept.mean()), *(interval(kept[:, None]) or (None, None))]


def _name(key: str) -> str:
    return f"parts/side-{key}.json"
