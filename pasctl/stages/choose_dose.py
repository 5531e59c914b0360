"""directions of a contrast + model -> strengths: the largest dose within a budget of side effects that has an effect.

Where letters are read, alpha is chosen by the error of answers; see `choose_alpha`. Here it is chosen by statements:
how far steering moves what a persona would say of itself. That effect grows with the dose, and so does what steering
does to text that it should leave alone. So the dose is bounded by the latter, and steering that moves nothing is left
out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.choose_alpha import ChooseAlpha
from pasctl.contrasts.questions import SELF_REPORT_PROMPTS
from pasctl.evaluation.alphas import parse_alphas
from pasctl.evaluation.defaults import BUDGET_KL, TRIED_ALPHAS
from pasctl.evaluation.dose import DOSES, choose_dose, effects_of, unit_dose
from pasctl.inventory import Inventory
from pasctl.inventory.first_person import first_person
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Job, Payload, Stage, StageContext
from pasctl.stages.steering import DirectionSet, require_positions
from pasctl.stages.stored_personas import StoredPersonas

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel

Floats = NDArray[np.float64]
CURVES = "curves.json"
SAMPLE = 10
"""Personas that a strength is chosen on; all ten poles of five traits."""
PROMPTS = SELF_REPORT_PROMPTS[:1]


def plan_dose(declared: ChooseAlpha, run: Run, source: Artifact) -> Job:
    """Measure effect and side effects of each dose on some personas, and choose one strength for all of them."""
    positions = declared.positions or "all"
    require_positions(positions)
    neutral, handle = Neutral.read(declared.neutral_text), run.model_of(source, declared.model, declared.options)
    given = None if declared.alphas == TRIED_ALPHAS else tuple(a for a in parse_alphas(declared.alphas) if a)
    task = DoseTask(source, given, positions, neutral, handle, declared.seed, run.batch_tokens)
    return Job(
        stage=Stage.of(ChooseAlpha),
        model=source.model,
        label=source.label,
        params=declared.key(
            omit=("folds",),
            alphas=list(task.alphas),
            positions=positions,
            text=neutral.digest,
            statements=list(PROMPTS),
        ),
        inputs={"directions": source},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed),
        compute=partial(_compute, task=task),
        provenance={
            "model": handle.provenance(),
            "coding": source.provenance.get("coding"),
            "neutral_text": neutral.name,
            "batch_tokens": run.batch_tokens,
        },
        estimate=task.estimate,
    )


@dataclass(eq=False)
class DoseTask:
    """What is tried, and on whom.

    Attributes:
        directions: the artifact whose strength is looked for.
        given: strengths to try; None lays out `DOSES`.
        positions: steer at "all" positions or from the "answer" on.
        neutral: a text on which side effects are measured.
        handle: the model.
        seed: of the sample of personas.
        batch_tokens: bound on the tokens of one forward pass.
    """

    directions: Artifact
    given: tuple[float, ...] | None
    positions: str
    neutral: Neutral
    handle: ModelHandle
    seed: int
    batch_tokens: int

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the personas that are tried."""
        count = len(StoredPersonas.of(self.directions))
        drawn = np.random.default_rng(self.seed).permutation(count)[:SAMPLE]
        rows: NDArray[np.int64] = np.sort(drawn).astype(np.int64)
        return rows

    @cached_property
    def steering(self) -> DirectionSet:
        """Their directions."""
        return DirectionSet.read(self.directions, self.rows)

    @cached_property
    def unit(self) -> float:
        """Relative dose of alpha 1, median over the personas."""
        return unit_dose(self.steering.sigma, float(self.directions.read_json("axes.json")["rms"]))

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """Strengths that are tried, 0 first."""
        if self.given is not None:
            return (0.0, *self.given)
        return (0.0, *(float(f"{dose / self.unit:.3g}") for dose in DOSES))

    @cached_property
    def inventory(self) -> Inventory:
        """The questionnaire whose fit items are read."""
        return Inventory.from_json(self.directions.read_json("items.json")["inventory"])

    @property
    def statements(self) -> list[str]:
        """The fit items, said by oneself."""
        return [first_person(self.inventory.items[column].text) for column in self.inventory.indices("fit")]

    def estimate(self) -> dict[str, int]:
        """Statements that a run scores, and neutral tokens that it reads."""
        runs = len(self.rows) * (len(self.alphas) - 1)
        return {"statements": (1 + runs) * len(self.statements), "neutral_tokens": (1 + runs) * self.neutral.tokens}

    def measure(self, work: StageContext, counts: dict[str, int]) -> dict[str, Floats]:
        """Logprob of each fit statement [A, P, I], and kl and perplexity of the neutral text [A, P]."""
        found: dict[str, list[Any]] = {"logprob": [], "kl": [], "perplexity": []}
        with work.reporter.progress("choose-alpha", len(self.alphas), "strengths") as advance:
            for alpha in self.alphas:
                name = f"parts/alpha-{alpha!r}.safetensors"
                if not work.has(name):
                    work.write(name, self._at(self.handle.load(work.reporter), alpha, counts))
                kept = work.read_tensors(name)
                for key, values in found.items():
                    values.append(kept[key])
                advance(1)
        return {key: np.stack(values) for key, values in found.items()}

    def _at(self, model: LoadedModel, alpha: float, counts: dict[str, int]) -> dict[str, Floats]:
        from pasctl.evaluation.side_effects import measure
        from pasctl.evaluation.statements import score_statements

        rows = range(len(self.rows))
        moved = [self.steering.intervention(model.geometry, row, alpha) if alpha else None for row in rows]
        text = self.neutral.unsteered(model)
        effects = measure(model, text, moved, batch_tokens=self.batch_tokens)
        scores = score_statements(
            model, PROMPTS, self.statements, batch_tokens=self.batch_tokens, interventions=moved if alpha else [None]
        )
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        logprob = scores.total.mean(axis=1).astype(np.float64)  # over the prompts, [P or 1, I]
        shape = (len(self.rows), logprob.shape[1])
        return {"logprob": np.broadcast_to(logprob, shape).copy(), "kl": effects.kl, "perplexity": effects.perplexity}


def _compute(work: StageContext, *, task: DoseTask) -> Payload:
    import pandas as pd

    from pasctl.evaluation.rows import to_arrow

    counts = {"tokens_asked": 0, "tokens_run": 0}
    measured = task.measure(work, counts)
    work.provenance["counts"] = {"personas": len(task.rows), **counts}
    fit = task.inventory.indices("fit")
    agreements = task.steering.personas.agreements[:, fit]
    moved = measured["logprob"] - measured["logprob"][0]
    effects = effects_of(moved, agreements)
    chosen = choose_dose(effects, measured["kl"], BUDGET_KL)
    ids, names = task.steering.personas.ids, [task.inventory.items[column].id for column in fit]
    shape = moved.shape
    return {
        "rows.parquet": to_arrow(
            pd.DataFrame(
                {
                    "persona": np.tile(np.repeat(np.array(ids, dtype=object), shape[2]), shape[0]),
                    "alpha": np.repeat(np.array(task.alphas), shape[1] * shape[2]),
                    "item": np.tile(np.array(names, dtype=object), shape[0] * shape[1]),
                    "agreement": np.broadcast_to(agreements, shape).ravel(),
                    "dlp": moved.ravel(),
                }
            )
        ),
        CURVES: {
            "reading": "statements",
            "alphas": list(task.alphas),
            "doses": [alpha * task.unit for alpha in task.alphas],
            "personas": list(ids),
            "count": len(StoredPersonas.of(task.directions)),
            "effect": _plain(effects),
            "kl": measured["kl"].tolist(),
            "perplexity": measured["perplexity"].tolist(),
            "budget_kl": BUDGET_KL,
            "chosen": task.alphas[chosen],
            "rule": RULE,
        },
    }


RULE = (
    "the largest relative dose within the KL budget on neutral text, on average over the personas, if the statements "
    "of the fit items move towards the personas there; else 0"
)


def dose_alphas(strengths: Artifact, budget_kl: float | None) -> Floats:
    """The strength that was chosen by statements, of each persona of the directions [P]: one for all."""
    curves = strengths.read_json(CURVES)
    effects = np.array([[np.nan if value is None else value for value in row] for row in curves["effect"]])
    chosen = choose_dose(effects, np.array(curves["kl"]), BUDGET_KL if budget_kl is None else budget_kl)
    return np.full(int(curves["count"]), float(curves["alphas"][chosen]))


def _plain(values: Sequence[Sequence[float]] | Floats) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in values]
