"""Results of `pasctl eval`: conditions beside baselines, item by item, and against strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.evaluation.conditions import CONDITIONS
from pasctl.evaluation.rows import ends
from pasctl.evaluation.verdicts import verdicts
from pasctl.inventory.usual import in_order
from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, interval, number
from pasctl.report.figures.forest import Mark, forest
from pasctl.report.figures.panels import Panel, Spread, panels
from pasctl.report.sections.curves import pair, strength_figures
from pasctl.report.sections.effects import audit, side_effects
from pasctl.report.sections.labels import (
    COMPOSITE,
    ORACLE,
    UPPER_BOUND,
    Row,
    bound_note,
    condition,
    kind,
    label,
    marks_told,
    name_cells,
    setting,
    strength,
)
from pasctl.report.sections.personal import personal_table
from pasctl.report.sections.psychometrics import psychometrics
from pasctl.report.sections.shifts import trait_shifts
from pasctl.report.sections.trait_differences import trait_differences

if TYPE_CHECKING:
    import pandas as pd

MOST_PANELS = 24


def results(metrics: Mapping[str, Any], rows: pd.DataFrame | None) -> Content:
    """The section of an evaluation.

    Args:
        metrics: its metrics.json.
        rows: its rows, in the format of `pasctl.evaluation.rows`; None if they are not there.
    """
    conditions: list[Row] = metrics["conditions"]
    blocks: list[Block] = [_table(conditions)]
    if (personal := personal_table(conditions)) is not None:
        blocks.append(personal)
    if any(row["composite"] is not None for row in conditions):
        blocks.append(composites(conditions))
    if known := [
        row for row in metrics.get("differences") or () if row.get("composite") or row.get("item_correlation")
    ]:
        blocks.append(_differences(known))
    if metrics.get("differences"):
        of_traits = trait_differences(metrics["differences"])
        blocks += [of_traits] if of_traits else []
    blocks += strength_figures(conditions)
    if rows is not None and len(rows["expected"]):
        blocks.append(_items(conditions, rows))
        blocks += psychometrics(rows)
    if metrics.get("trait_shifts"):
        blocks += trait_shifts(metrics["trait_shifts"])
    if metrics.get("side_effects"):
        blocks += side_effects(metrics["side_effects"])
    if metrics.get("audit"):
        blocks.append(audit(metrics["audit"]))
    return Content(lead=tuple(_lead(metrics, conditions)), blocks=tuple(blocks))


def _lead(metrics: Mapping[str, Any], conditions: Sequence[Row]) -> list[str]:
    first = conditions[0]
    said = [*_verdict(metrics)]
    said += [
        f"{first['personas']} personas, {first['items']} items each. The composite is the sum over the traits of "
        "the mean absolute error between the answer that the model expects to give and the one that the person gave "
        "(points of the scale); lower is better.",
    ]
    known = [row for row in conditions if row["composite"] is not None]
    of_model = [row for row in known if kind(row) in ("told", "steered")]
    baselines = [row for row in known if kind(row) == "baseline"]
    if of_model and baselines:
        best, easy = (min(group, key=lambda row: row["composite"]) for group in (of_model, baselines))
        said.append(
            f"Lowest of the model's {len(of_model)} rows, picked after the fact: {label(best)} with {_told(best)}. "
            f"Lowest baseline, which needs no model: {easy['condition']} with {_told(easy)}."
        )
    if any(setting(row) == ORACLE for row in conditions):
        said.append(f"Rows named α oracle: {UPPER_BOUND}, for comparison only; the lowest row is not picked from them.")
    if metrics.get("choice"):
        said.append(_choice(metrics["choice"]))
    said += metrics.get("notes") or []
    if not known:
        said.append("No composite: at least one of the traits has no answers.")
    elif not metrics.get("notes") and all(row.get("composite_interval") is None for row in known):
        said.append("No intervals: there are too few personas.")
    if metrics.get("coding", "agreement") != "agreement":
        said.append(
            f"Coding: {metrics['coding']}. Keyed scores were read as agreement, for comparison with published numbers "
            "only; these errors do not measure personality."
        )
    return said


def _verdict(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What was found, in words, and what makes it doubtful."""
    found = verdicts(metrics)
    for verdict in found:
        words = " ".join(verdict.sentences)
        yield f"{verdict.reading.capitalize()}. {words}" if len(found) > 1 else words
        yield from (f"Warning: {line}." for line in verdict.warnings)


def _told(row: Row) -> str:
    held = row.get("composite_interval")
    return number(row["composite"], 2) + (f" (95% {interval(held)})" if held else "")


def _choice(found: Mapping[str, Any]) -> str:
    """How the strength of the setting auto was chosen."""
    whom = "one for all personas" if found["scope"] == "population" else "each persona's own"
    told = f"α auto is {whom}, chosen among {', '.join(f'{alpha:g}' for alpha in found['alphas'])}"
    told += f" by cross-validation in {found['folds']} folds of the items that directions are fitted on"
    if found.get("budget_kl") is not None:
        told += f", within a KL of {found['budget_kl']:g} nats/token from the unsteered model on neutral text"
    return f"{told} ({found['source']}); no reported item had a part in it."


def _table(conditions: Sequence[Row]) -> Table:
    traits = in_order(
        trait for row in conditions for trait in row.get("traits", row["mae"]) if row["mae"][trait] is not None
    )
    spread = any(row.get("order_spread") is not None for row in conditions)
    rows = [
        (
            *name_cells(row),
            *(Cell(number(row["mae"].get(trait), 2)) for trait in traits),
            Cell(number(row["composite"], 2), interval(row.get("composite_interval"))),
            Cell(number(row["item_correlation"], 2), interval(row.get("item_correlation_interval"))),
            Cell(number(row.get("rank_correlation_mean"), 2)),
            Cell(number(row["acquiescence"], 2)),
            Cell(number(row["option_mass"], 3)),
            *((Cell(number(row.get("order_spread"), 2)),) if spread else ()),
        )
        for row in conditions
    ]
    person = conditions[0]["acquiescence_person"]
    caption = (
        "α: strength; where personas' strengths differ, how many have which. One letter: MAE of that trait. Small: 95% "
        "interval, Student's t over personas. item r: correlation over items within a person, mean over persons. rank "
        "r: correlation over persons of their trait scores' ranks, mean over traits. acqu.: agreement whatever an item "
        f"says; the persons' own is {number(person, 2)}, the scale's middle is none. "
        "mass: probability of the option letters together; a "
        "model that rarely gives a letter at all is judged by what little is left."
    )
    if spread:
        caption += " spread: over orders of the options, highest less lowest expected answer, mean over items."
    if any(row["condition"] == "item-median-loo" for row in conditions):
        caption += " The others' median leans away from the one left out: the rank r of item-median-loo means nothing."
    head = ("condition", "α", *traits, "composite", "item r", "rank r", "acqu.", "mass")
    return Table(
        "Conditions and baselines, on the same items",
        (*head, "spread") if spread else head,
        tuple(rows),
        left=2,
        caption=caption,
    )


def composites(conditions: Sequence[Row]) -> Drawn:
    """The composite error of every condition and baseline with its interval."""
    marks = [
        Mark(label(row), row["composite"], pair(row.get("composite_interval")), kind(row), _draws(row))
        for row in conditions
    ]
    plain = next((row for row in conditions if row["condition"] == "no-change" and row["composite"] is not None), None)

    reference = ("no change", float(plain["composite"])) if plain else None
    note = bound_note(conditions)
    ticks = " Ticks: the single draws of a control." if any(mark.draws for mark in marks) else ""
    return Drawn(
        "composite",
        "Composite error of every condition",
        f"Marks are means, lines 95% intervals over personas. {marks_told({mark.kind for mark in marks})}{ticks} "
        "A condition left of the dashed line is nearer to the persons than the unchanged model; one right of a diamond "
        "is worse than a guess that needs no model.",
        lambda width: forest(marks, axis=COMPOSITE, reference=reference, note=note, width=width),
    )


def _draws(row: Row) -> tuple[float, ...]:
    found = row.get("draw_composites") or ()
    return tuple(float(each) for each in found if each is not None) if len(found) > 1 else ()


def _differences(differences: Sequence[Row]) -> Table:
    rows, before = [], ""
    for each in differences:
        found = [each.get("composite"), each.get("item_correlation")]
        second = {"condition": each["against"], "reading": _reading_of_second(each), "alpha": each.get("against_alpha")}
        second |= {"setting": each["against_setting"]} if "against_setting" in each else {}
        name = label(each)
        rows.append((Cell("" if name == before else name), Cell(label(second)), *(_difference(one) for one in found)))
        before = name
    return Table(
        "Differences, paired over personas",
        ("condition", "against", "composite", "item r"),
        tuple(rows),
        left=2,
        beside=True,
        caption=(
            "First minus second, on the same personas, with the 95% interval of a paired t test. "
            "● the interval excludes 0. A negative composite is better, a positive item r is better. "
            "Several comparisons are made: now and then one of them excludes 0 by chance."
            + (f" α oracle: {UPPER_BOUND}." if any(setting(each) == ORACLE for each in differences) else "")
        ),
    )


def _reading_of_second(row: Row) -> str:
    """The reading of what a condition is set against; baselines have none."""
    return row.get("reading", "") if row["against"] in CONDITIONS else ""


def _difference(found: Sequence[float] | None) -> Cell:
    if found is None:
        return Cell("–")
    mean, low, high = found
    sign = "+" if mean > 0 else ""
    excludes = low > 0 or high < 0
    return Cell(f"{'● ' if excludes else ''}{sign}{number(mean)}", interval([low, high], 3), mark=excludes)


def _items(conditions: Sequence[Row], rows: pd.DataFrame) -> Drawn:
    shown = [
        Panel(condition(row), strength(row), kind(row), spreads)
        for row in conditions
        if (spreads := _spreads(rows, row))
    ]
    low, high = (int(end(each)) for end, each in zip((np.min, np.max), ends(rows), strict=True))
    left_out = len(shown) - MOST_PANELS
    more = f" The first {MOST_PANELS} of {len(shown)} conditions are drawn." if left_out > 0 else ""
    bound = f" α oracle: {UPPER_BOUND}." if any(setting(row) == ORACLE for row in conditions) else ""
    return Drawn(
        "items",
        "What the model answers to each answer of a person",
        "Across: the person's own agreement with an item. Up: the answer that the model expects to give; the mark is "
        "the mean over persons and items, the thick line the middle half, the thin line nine tenths. On the "
        "dashed diagonal the model answers as the person did; a flat row of marks means that it does not tell items "
        f"apart.{bound}{more}",
        lambda width: panels(shown[:MOST_PANELS], (low, high), note=bound_note(conditions), width=width),
    )


def _spreads(rows: pd.DataFrame, row: Row) -> tuple[Spread, ...]:
    here = rows["condition"] == row["condition"]
    here &= rows["reading"] == row["reading"] if "reading" in rows and "reading" in row else True
    # rows of earlier versions have no settings, and their strengths tell them apart
    here &= rows["setting"] == row["setting"] if "setting" in rows else rows["alpha"] == row["alpha"]
    here &= np.isfinite(rows["agreement"]) & np.isfinite(rows["expected"])
    agreement, expected = rows["agreement"][here], rows["expected"][here]
    found = []
    for level in np.unique(agreement):
        values = expected[agreement == level]
        low, first, third, high = (float(each) for each in np.quantile(values, (0.05, 0.25, 0.75, 0.95)))
        found.append(Spread(float(level), float(values.mean()), (first, third), (low, high)))
    return tuple(found)
