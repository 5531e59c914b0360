"""Strengths of a contrast's directions: what each relative dose does on the fit items and to neutral text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, interval, number
from pasctl.report.figures.lines import Chart, Series
from pasctl.report.sections.curves import draw, pair
from pasctl.report.sections.effects import KL
from pasctl.report.sections.strengths import Mean, mean_of, strengths

_EFFECTS = {
    "letters": "points of the scale nearer to the personas' answers, higher is better",
    "statements": "r of what statements gain with what personas say, higher is better",
}
_DOSE = "relative dose"
_FLAG = "chosen"


def strengths_or_doses(curves: Mapping[str, Any]) -> Content:
    """The section of strengths, laid out in relative dose or not."""
    return doses(curves) if "doses" in curves else strengths(curves)


def doses(curves: Mapping[str, Any]) -> Content:
    """The section of strengths that were laid out in relative dose, from their curves.json."""
    means = {name: [mean_of(values) for values in curves[name]] for name in ("effect", "kl", "perplexity")}
    budget = curves["budget_kl"]
    facts = (
        ("personas tried", f"{len(curves['personas']):,} of {len(curves['units']):,}"),
        ("reading", str(curves["reading"])),
        ("KL budget", "none" if budget is None else f"{budget:g} nats/token"),
        ("chosen", f"α {curves['chosen']:.3g}, {_DOSE} {_chosen_dose(curves):.2g}"),
    )
    lead = (
        f"Rule: {str(curves['rule']).rstrip('.')}.",
        "Relative dose: norm of the steering delta over the RMS norm of the head outputs that it is added to.",
    )
    blocks: list[Block] = [_table(curves, means)]
    for name, chart in zip(("effect", "kl"), charts(curves), strict=True):
        title = "Effect on the fit items" if name == "effect" else "How far the model's text is moved"
        caption = "Mean over personas. Band: 95% interval over personas. Orange: the dose that was chosen."
        blocks.append(Drawn(name, f"{title}, against {_DOSE}", caption, partial(draw, chart)))
    return Content(lead, facts, tuple(blocks))


def charts(curves: Mapping[str, Any]) -> list[Chart]:
    """Effect and KL against relative dose."""
    return [_chart(curves, curves["effect"], _EFFECTS[curves["reading"]]), _chart(curves, curves["kl"], KL)]


def _chart(curves: Mapping[str, Any], values: Sequence[Sequence[float | None]], axis: str) -> Chart:
    found = [(float(dose), mean_of(each)) for dose, each in zip(curves["doses"], values, strict=True)]
    known = sorted((dose, mean, bounds) for dose, (mean, bounds) in found if mean is not None)
    points = tuple((dose, mean) for dose, mean, _ in known)
    drawn = [Series("steered", "steered", points, tuple(pair(bounds) for _, _, bounds in known))]
    chosen = _chosen_dose(curves)
    ticks = tuple((dose, f"{dose:.2g}") for dose, _ in points)
    return Chart(drawn, _DOSE, axis, ticks, (), flags=((f"{_FLAG}: {chosen:.2g}", chosen),))


def _chosen_dose(curves: Mapping[str, Any]) -> float:
    return float(curves["doses"][curves["alphas"].index(curves["chosen"])])


def _table(curves: Mapping[str, Any], means: Mapping[str, Sequence[Mean]]) -> Table:
    rows = []
    for place, alpha in enumerate(curves["alphas"]):
        mark = alpha == curves["chosen"]
        rows.append(
            (
                Cell(f"{alpha:.3g}", _FLAG if mark else "", mark=mark),
                Cell(f"{curves['doses'][place]:.2g}"),
                *(
                    Cell(number(each[place][0], 2 if name == "perplexity" else 3), interval(each[place][1], 2))
                    for name, each in means.items()
                ),
            )
        )
    return Table(
        "Strengths on the fit items",
        ("α", _DOSE, "effect", "KL", "perplexity"),
        tuple(rows),
        caption=(
            f"Means over personas; small: 95% interval, Student's t over personas. Effect: "
            f"{_EFFECTS[curves['reading']]}. KL, in nats/token, and perplexity: on neutral text."
        ),
    )
