"""Results in words: does the model answer in the form read, does steering do what it is meant to, and what it costs.

Whether there is an effect is decided by one test that is fixed beforehand, for each reading:

- rows: the condition pas at each strength that was given or chosen; never at alpha 0, and never the oracle. With
  several strengths their p-values are corrected by Holm.
- respondents, where `distinctive_r` is known: its t test over persons, positive, and its interval above what another
  person's directions reach.
- respondents, in results without it: the composite is below that of no-change and of every control that was run
  (random-direction, shuffled-answers). The largest of these p-values counts, so all of them have to hold. Without a
  control nothing is decided, for any shift of that size may do the same.
- trait poles: how far their own traits moved as meant, less what random directions of the same strength did: the t
  test over traits, whose two poles count once, since they move in opposite directions. With fewer than three traits
  nothing is decided, unless one of them does not move as meant at all.

Tests are two-sided at 5%, and an effect has to have the meant sign, so that without one fewer than 5% of evaluations
say "effect" (tests/evaluation/test_verdicts.py simulates that with 24 persons). Baselines, prompts and costs are told
beside the test and have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.evaluation.alphas import alpha_text
from pasctl.evaluation.conditions import CONDITIONS, CONTROLS, is_steered
from pasctl.evaluation.defaults import BUDGET_KL
from pasctl.evaluation.effects import Effect, Outcome, effect_on_persons, effect_on_poles, settings_of
from pasctl.evaluation.intervals import SIGNIFICANT, p_text
from pasctl.evaluation.readings import LEAST_MASS, LETTERS, MOST_DISAGREEMENT, STATEMENTS
from pasctl.evaluation.words import bracketed, listed, short

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What an evaluation found by one reading.

    Attributes:
        reading: letters, statements or text.
        outcome: of the test; unknown where there is too little to decide.
        answers: whether the model answers in the form that is read.
        effect: whether steering moves answers as meant, beside the controls.
        cost: what it costs in text, and what does better without steering.
        warnings: what makes the figures doubtful.
    """

    reading: str
    outcome: Outcome
    answers: str
    effect: str
    cost: str
    warnings: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """The three sentences."""
        return tuple(filter(None, (self.answers, self.effect, self.cost)))


def verdicts(metrics: Mapping[str, Any]) -> tuple[Verdict, ...]:
    """One verdict per reading, in the order of the rows; none of results without a model's row.

    Args:
        metrics: of results, in whichever version; what earlier ones lack is left out.
    """
    conditions: Sequence[Row] = metrics["conditions"]
    readings = dict.fromkeys(
        row["reading"] if row.get("reading") else "letters" for row in conditions if _of_model(row)
    )
    return tuple(_verdict(metrics, reading) for reading in readings)


def _verdict(metrics: Mapping[str, Any], reading: str) -> Verdict:
    rows = [row for row in metrics["conditions"] if not _of_model(row) or _reading(row) == reading]
    answers, warnings = _answers(rows, reading)
    effect = _effect(metrics, rows, reading)
    outcome: Outcome = "unknown" if effect is None else effect.outcome
    cost, dear = _cost(metrics, rows, effect)
    return Verdict(
        reading, outcome, answers, _effect_told(effect, _differences(metrics, reading)), cost, (*warnings, *dear)
    )


def _effect(metrics: Mapping[str, Any], rows: Sequence[Row], reading: str) -> Effect | None:
    """The test's result; None where nothing was steered."""
    shifts = [row for row in metrics.get("trait_shifts") or () if _reading(row) == reading]
    steered = [row for row in rows if row["condition"] == "pas"]
    if shifts and steered and steered[0]["personas"] == len({row["persona"] for row in shifts}):
        return effect_on_poles(shifts, [setting for setting, _ in settings_of(steered)])
    return effect_on_persons(steered, _differences(metrics, reading))


def _differences(metrics: Mapping[str, Any], reading: str) -> list[Row]:
    return [row for row in metrics.get("differences") or () if _reading(row) == reading]


def _answers(rows: Sequence[Row], reading: str) -> tuple[str, list[str]]:
    """Whether the model answers in the form that is read, judged without steering where that was asked."""
    of_model = [row for row in rows if _of_model(row)]
    row = next((row for row in of_model if row["condition"] == "no-change"), of_model[0])
    if reading == STATEMENTS:
        return _statements(of_model)
    mass = row.get("option_mass")
    if reading != LETTERS or mass is None:
        return "", []
    spread = row.get("order_spread")
    told = "" if spread is None else f"; the order of the options moves an answer by {short(spread)} of 4 points"
    warnings = []
    if mass < LEAST_MASS:
        below = f"below {short(LEAST_MASS)}: their proportions say little"
        warnings.append(f"letters hold {short(mass)} of the probability, {below}")
    if spread is not None and spread >= MOST_DISAGREEMENT:
        warnings.append(f"the order of the options moves an answer by {short(spread)} of 4 points")
    does = "answers" if mass >= LEAST_MASS else "does not answer"
    return f"The model {does} in letters: they hold {short(mass)} of the probability{told}.", warnings


def _statements(of_model: Sequence[Row]) -> tuple[str, list[str]]:
    """How far statements move, and how far apart self-report prompts are in that."""
    said = "Answers are read as log-probabilities of statements, which need no form of answer"
    row = next((row for row in of_model if row["condition"] == "pas" and row.get("dlp_spread") is not None), None)
    if row is None:
        return f"{said}.", []
    size, spread = short(row["dlp_size"]), short(row["dlp_spread"])
    told = f"{said}: steering moves them by {size} nats (root mean square), self-report prompts differ by {spread}."
    apart = row["dlp_spread"] > row["dlp_size"]
    return told, [f"self-report prompts differ by {spread} nats, more than statements move"] if apart else []


def _effect_told(effect: Effect | None, differences: Sequence[Row]) -> str:
    if effect is None:
        return "Nothing was steered."
    against = "" if effect.control is None else f" ({effect.control})"
    if effect.outcome == "unknown":
        return f"Whether steering has an effect is unknown: {effect.measure}{against}."
    said = "Steering has an effect" if effect.outcome == "effect" else "Steering has no effect"
    tested = "" if effect.p is None else f", {p_text(effect.p)}"
    return f"{said}: {effect.measure} at alpha {effect.setting}{tested}{against}{_controls(differences, effect)}."


def _controls(differences: Sequence[Row], effect: Effect) -> str:
    """How the composite compares with the controls' at the same strength."""
    told: dict[str, list[str]] = {"beats": [], "is like": [], "is worse than": []}
    for row in differences:
        same = row["condition"] == "pas" and row.get("setting", effect.setting) == effect.setting
        if same and row["against"] in ("no-change", *CONTROLS) and row.get("composite") is not None:
            mean, low, high = row["composite"]
            how = "beats" if high < 0 else "is worse than" if low > 0 else "is like"
            told[how].append(f"{row['against']} ({bracketed(mean, [low, high])})")
    parts = [f"{how} {listed(names)}" for how, names in told.items() if names]
    return f"; by the composite it {listed(parts)}" if parts else ""


def _cost(metrics: Mapping[str, Any], rows: Sequence[Row], effect: Effect | None) -> tuple[str, list[str]]:
    parts, warnings = [], []
    found, setting = metrics.get("side_effects"), effect and effect.setting
    budget = (metrics.get("choice") or {}).get("budget_kl") or BUDGET_KL
    for row in (found or {}).get("rows", ()):
        if row["condition"] != "pas" or row["kl"][0] is None:
            continue
        kl, ratio = row["kl"][0], row["perplexity"][0] / found["unsteered"]["perplexity"]  # type: ignore[index]
        if row["setting"] == setting:
            parts.append(
                f"It costs {short(kl)} nats/token of KL and {_times(ratio)} times the perplexity on neutral text"
            )
        if kl > budget:
            warnings.append(
                f"alpha {row['setting']} costs {short(kl)} nats/token of KL, above the budget of {budget:g}"
            )
    steered = next((row for row in rows if row["condition"] == "pas" and _setting(row) == setting), None)
    if steered is not None and steered["composite"] is not None:
        parts.append(_best(rows, steered))
    return (". ".join(parts) + "." if parts else ""), warnings


def _best(rows: Sequence[Row], steered: Row) -> str:
    """The row of lowest composite that is not steered, against the steered one."""
    others = [row for row in rows if not is_steered(row["condition"]) and row["composite"] is not None]
    if not others:
        return f"Its composite is {steered['composite']:.2f}"
    best = min(others, key=lambda row: float(row["composite"]))
    if best["composite"] < steered["composite"]:
        what = "" if _of_model(best) else ", which needs no model,"
        return (
            f"{best['condition']}{what} beats it: composite {best['composite']:.2f} against {steered['composite']:.2f}"
        )
    told = f"composite {steered['composite']:.2f}, the best other is {best['condition']} with {best['composite']:.2f}"
    return f"Nothing that is not steered beats it: {told}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def probes_finding(level: Mapping[str, Any]) -> str:
    """How the best heads compare with what they reach on shuffled answers.

    Args:
        level: `permutation.json` of probes.
    """
    top = level["top"]
    said = "above chance" if top["p"] < SIGNIFICANT else "not above chance"
    count = level["top_k"]
    which = f"all {count} heads" if count == level["heads"] else f"{count} best heads"
    told = f"{which}: {short(top['accuracy'])}, {short(top['level'])} with shuffled answers"
    return f"{told}: {said}, {p_text(top['p'])} over {level['permutations']} orders"


def at_chance(level: Mapping[str, Any]) -> bool:
    """Whether the best heads are no better than on shuffled answers."""
    return bool(level["top"]["p"] >= SIGNIFICANT)


def _of_model(row: Row) -> bool:
    return row["condition"] in CONDITIONS


def _reading(row: Row) -> str:
    """Of a row of the model; those of earlier versions are of letters."""
    return str(row.get("reading") or LETTERS)


def _setting(row: Row) -> str:
    """As given; results of earlier versions have only `alpha`."""
    return str(row["setting"]) if "setting" in row else alpha_text(row.get("alpha") or 0.0)
