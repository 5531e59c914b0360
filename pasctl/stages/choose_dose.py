"""directions of a contrast + model -> strengths: the dose of largest effect within a budget of side effects.

The directions of a contrast need no answers, so nothing is fitted again without some of the items, as it is for
directions of answers (see `cross_validation`). The effect is measured on the fit items in the reading that suits the
directions: by statements, how far steering moves what a persona would say of itself; by letters, how much nearer
answers come to the persona's. Steering that has no effect is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.choose_alpha import ChooseAlpha
from pasctl.contrasts.questions import self_reports
from pasctl.evaluation.alphas import parse_alphas
from pasctl.evaluation.defaults import TRIED_ALPHAS
from pasctl.evaluation.dose import (
    DOSES,
    MODEST,
    choose_dose,
    errors_saved,
    likeness_of_change,
    unit_doses,
    within_budget,
)
from pasctl.evaluation.readings import LETTERS, STATEMENTS
from pasctl.inventory import Inventory, spoken
from pasctl.stages.fit_contrast import AXES, READING_POSITIONS, reading_of
from pasctl.stages.held_out import expected_agreements
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.neutral import Neutral
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DIRECTIONS_FILE, DirectionSet, require_positions
from pasctl.stages.stored_personas import StoredPersonas, read_rows

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel
    from pasctl.steering.intervention import Intervention

Floats = NDArray[np.float64]
CURVES = "curves.json"
SAMPLE = 10
"""Personas that a strength is chosen on; all poles of the built-in traits."""
PROMPTS = 1
"""Self-report prompts that statements are replies to."""


def plan_dose(declared: ChooseAlpha, run: Run, source: Artifact) -> Job:
    """Measure effect and side effects of each dose on some personas, and choose one strength for all of them."""
    reading = reading_of(source)
    positions = declared.positions or READING_POSITIONS[reading]
    require_positions(positions)
    neutral, handle = Neutral.read(declared.neutral_text), run.model_of(source, declared.model, declared.options)
    given = None if declared.alphas == TRIED_ALPHAS else tuple(a for a in parse_alphas(declared.alphas) if a)
    task = DoseTask(source, given, reading, positions, neutral, handle, declared.seed, run.batch_tokens)
    return Job(
        stage=Stage.of(ChooseAlpha),
        model=source.model,
        label=source.label,
        params=declared.key(
            omit=("folds",),
            alphas=list(task.alphas),
            positions=positions,
            text=neutral.digest,
            reading=reading,
            prompts=list(self_reports(task.inventory)[:PROMPTS]) if reading == STATEMENTS else None,
            rule=RULE,
        ),
        inputs={"directions": source},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed),
        compute=partial(_compute, task=task, budget_kl=declared.budget_kl),
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
        reading: "statements" or "letters".
        positions: steer at "all" positions or from the "answer" on.
        neutral: a text on which side effects are measured.
        handle: the model.
        seed: of the sample of personas.
        batch_tokens: bound on the tokens of one forward pass.
    """

    directions: Artifact
    given: tuple[float, ...] | None
    reading: str
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
    def rms(self) -> float:
        """RMS norm of the head outputs that are steered."""
        return float(self.directions.read_json(AXES)["rms"])

    @cached_property
    def units(self) -> Floats:
        """Relative dose of alpha 1 for each persona of the directions [P]."""
        sigma = read_rows(self.directions, DIRECTIONS_FILE, None, only=("sigma",))["sigma"]
        return unit_doses(sigma, self.rms)

    @cached_property
    def unit(self) -> float:
        """The median over the personas that are tried."""
        return float(np.median(self.units[self.rows]))

    @cached_property
    def alphas(self) -> tuple[float, ...]:
        """Strengths that are tried, 0 first."""
        if self.given is not None:
            return (0.0, *self.given)
        return (0.0, *(float(f"{dose / self.unit:.3g}") for dose in DOSES if self.answered or dose <= MODEST))

    @cached_property
    def answered(self) -> bool:
        """Whether there are answers that an effect can be measured by; a contrast of one's own has none."""
        return bool(np.isfinite(self.steering.personas.agreements).any())

    @cached_property
    def inventory(self) -> Inventory:
        """The questionnaire whose fit items are read."""
        return Inventory.from_json(self.directions.read_json("items.json")["inventory"])

    def estimate(self) -> dict[str, int]:
        """Items that a run asks about, and neutral tokens that it reads."""
        runs = 1 + len(self.rows) * (len(self.alphas) - 1)
        return {"items": runs * len(self.inventory.indices("fit")), "neutral_tokens": runs * self.neutral.tokens}

    def measure(self, work: StageContext, counts: dict[str, int]) -> dict[str, Floats]:
        """What is read of each fit item [A, P, I], and kl and perplexity of the neutral text [A, P]."""
        found: dict[str, list[Any]] = {"items": [], "kl": [], "perplexity": []}
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

        people = len(self.rows)
        moved = [self.steering.intervention(model.geometry, row, alpha) if alpha else None for row in range(people)]
        effects = measure(model, self.neutral.unsteered(model), moved, batch_tokens=self.batch_tokens)
        read = self._read(model, moved if alpha else [None], counts)
        items = np.broadcast_to(read, (people, read.shape[1])).copy()
        return {"items": items, "kl": effects.kl, "perplexity": effects.perplexity}

    def _read(self, model: LoadedModel, moved: Sequence[Intervention | None], counts: dict[str, int]) -> Floats:
        """Each fit item under each intervention: expected agreement, or log-probability of the statement.

        NaN, and nothing is run, where nobody has answers to compare with.
        """
        fit = self.inventory.indices("fit")
        if not self.answered:
            return np.full((len(moved), len(fit)), np.nan)
        if self.reading == LETTERS:
            return expected_agreements(
                model,
                self.inventory,
                fit,
                moved,
                positions=self.positions,
                batch_tokens=self.batch_tokens,
                counts=counts,
            )
        from pasctl.evaluation.statements import score_statements

        chat = model.chat
        said = [spoken(self.inventory.items[column], self.inventory) for column in fit]
        scores = score_statements(
            model,
            [chat.encode(prompt) for prompt in self_reports(self.inventory)[:PROMPTS]],
            [chat.reply(text) for text in said],
            batch_tokens=self.batch_tokens,
            interventions=moved,
            positions=self.positions,
        )
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        logprobs: Floats = scores.totals.mean(axis=1)  # over the prompts
        return logprobs


def _compute(work: StageContext, *, task: DoseTask, budget_kl: float | None) -> Payload:
    import pandas as pd

    from pasctl.evaluation.rows import to_arrow

    counts = {"tokens_asked": 0, "tokens_run": 0}
    measured = task.measure(work, counts)
    work.provenance["counts"] = {"personas": len(task.rows), **counts}
    fit = task.inventory.indices("fit")
    agreements = task.steering.personas.agreements[:, fit]
    items = measured["items"]
    likeness = likeness_of_change(items - items[0], agreements)
    saved = errors_saved(items, agreements) if task.reading == LETTERS else None
    budget = np.inf if budget_kl is None else budget_kl
    chosen = choose_dose(likeness, measured["kl"], budget, saved)
    ids, names = task.steering.personas.ids, [task.inventory.items[column].id for column in fit]
    shape = items.shape
    return {
        "rows.parquet": to_arrow(
            pd.DataFrame(
                {
                    "persona": np.tile(np.repeat(np.array(ids, dtype=object), shape[2]), shape[0]),
                    "alpha": np.repeat(np.array(task.alphas), shape[1] * shape[2]),
                    "item": np.tile(np.array(names, dtype=object), shape[0] * shape[1]),
                    "agreement": np.broadcast_to(agreements, shape).ravel(),
                    "expected" if task.reading == LETTERS else "logprob": items.ravel(),
                }
            )
        ),
        CURVES: {
            "reading": task.reading,
            "alphas": list(task.alphas),
            "doses": [alpha * task.unit for alpha in task.alphas],
            "rows": task.rows.tolist(),
            "units": task.units.tolist(),
            "personas": list(ids),
            "likeness": _plain(likeness),
            "effect": _plain(likeness if saved is None else saved),
            "kl": measured["kl"].tolist(),
            "perplexity": measured["perplexity"].tolist(),
            "budget_kl": budget_kl,
            "chosen": task.alphas[chosen],
            "rule": RULE,
        },
    }


RULE = (
    "of the relative doses within the KL budget on neutral text the one of largest effect on the fit items, on average "
    "over the personas, if what it moves agrees with what they say; by statements the largest whose effect is within "
    "one standard error of that; less for a persona whom it would take over the budget"
)


def dose_alphas(strengths: Artifact, scope: str, budget_kl: float | None) -> Floats:
    """Each persona's strength [P], in the order of the directions' personas.

    For the "population" it is one strength, within the budget on average; for each "persona" that one or, where it
    would take them over the budget, a smaller one.
    """
    curves, budget = strengths.read_json(CURVES), np.inf if budget_kl is None else budget_kl
    kl, saved = np.array(curves["kl"]), np.array(curves["effect"], np.float64) if curves["reading"] == LETTERS else None
    place = choose_dose(np.array(curves["likeness"], np.float64), kl, budget, saved)
    alpha = float(curves["alphas"][place])
    if scope == "population":
        return np.full(len(curves["units"]), alpha)
    units = np.array(curves["units"])
    measured = abs(alpha) * float(np.sqrt(np.square(units[curves["rows"]]).mean()))
    return within_budget(alpha, units, float(kl[place].mean()), measured, budget)


def _plain(values: Sequence[Sequence[float]] | Floats) -> list[list[float | None]]:
    return [[float(value) if np.isfinite(value) else None for value in row] for row in values]
