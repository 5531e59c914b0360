"""Results as text in columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.cli.columns import align, interval, named, number
from pasctl.cli.personal_table import personal_table


def results_table(metrics: dict[str, Any]) -> str:
    """Conditions and baselines side by side, on the same items, for each reading; lower MAE is better."""
    from pasctl.evaluation.readings import LETTERS, of_reading, readings_of

    readings = readings_of(metrics["conditions"])
    lines: list[str] = []
    for reading in readings:
        lines += [""] if lines else []
        lines += [] if readings == [LETTERS] else [f"reading: {reading}", ""]
        lines += _reading_lines(metrics, of_reading(metrics["conditions"], reading), reading)
        for name, table in (("differences", differences_table), ("trait_shifts", shifts_table)):
            if (rows := of_reading(metrics.get(name) or [], reading)) and (text := table(rows)):
                lines += ["", text]
    for name, written in (("side_effects", side_effects_table), ("audit", audit_table)):
        if metrics.get(name) and (text := written(metrics[name])):
            lines += ["", text]
    return "\n".join([*lines, *_coding(metrics)])


def _reading_lines(metrics: dict[str, Any], conditions: Sequence[dict[str, Any]], reading: str) -> list[str]:
    """The table of one reading, what it means, and whether answers are the person's."""
    from pasctl.report.sections.labels import setting

    columns = [
        ("condition", [row["condition"] for row in conditions]),
        ("alpha", [setting(row) for row in conditions]),
        *_errors(conditions),
        *(column for column in _agreement(conditions) if reading == "letters" or column[0] != "acqu."),
    ]
    more = [("dlp", "dlp_size"), ("spread", "dlp_spread")]
    if reading == "letters":
        spread = any(row.get("order_spread") is not None for row in conditions)
        more = [("mass", "option_mass"), *([("spread", "order_spread")] if spread else [])]
    columns += [(name, [number(row.get(key)) for row in conditions]) for name, key in more]
    lines = [_columns(columns), "", *_legend(conditions), *_told(metrics, conditions, reading)]
    if any(row.get("distinctive_r") is not None for row in conditions):
        lines += ["", personal_table(conditions)]
    return lines


def _told(metrics: dict[str, Any], conditions: Sequence[dict[str, Any]], reading: str) -> list[str]:
    """What else must be known to read the table."""
    from pasctl.report.sections.labels import setting

    names, settings = {row["condition"] for row in conditions}, {setting(row) for row in conditions}
    lines = ["mass: probability of the option letters together."]
    if reading == "statements":
        lines = [
            "dlp: how far a statement's log-probability is moved, root mean square in nats; spread: over self-report",
            "prompts. Expected scores are calibrated from dlp on other persons' fit items.",
        ]
    if "random-direction" in names:
        draws = max(row.get("draws", 1) for row in conditions)
        lines.append(f"random-direction: pas along random directions of equal norm, mean of {draws} draws.")
    if "shuffled-answers" in names:
        lines.append("shuffled-answers: pas along directions fitted on the persona's answers, shuffled over its items.")
    if any(row.get("order_spread") is not None for row in conditions):
        lines.append(
            "spread: over the orders of the options, highest minus lowest expected agreement, mean over items."
        )
    choice = metrics.get("choice")
    if choice:
        who = "for each persona" if choice["scope"] == "persona" else "for the population"
        tried = ",".join(f"{alpha:g}" for alpha in choice["alphas"])
        budget = "" if choice["budget_kl"] is None else f", within {choice['budget_kl']:g} nats/token of KL"
        folds = f", {choice['folds']} folds" if choice.get("folds") else ""
        lines.append(f"auto: alpha of {tried} chosen {who} on held-out fit items{folds}{budget}:")
        lines += [f"  {_spread_of(row)}" for row in conditions if row["condition"] == "pas" and setting(row) == "auto"]
    if "oracle" in settings:
        lines.append(
            "oracle: ALPHA CHOSEN ON THE REPORTED ITEMS, per persona. An upper bound to compare with, no result."
        )
    return [*lines, *metrics.get("notes", [])]


def _spread_of(row: Mapping[str, Any]) -> str:
    return ", ".join(f"alpha {alpha} for {row['alphas'][alpha]}" for alpha in sorted(row["alphas"], key=float))


def side_effects_table(found: dict[str, Any]) -> str:
    """What steering does to neutral and to free text, beside the model left alone."""
    alone = found["unsteered"]
    body = [
        ["no-change", number(0.0), "", number(alone["perplexity"]), "", number(alone["repetition"])],
        *(
            [
                named(row["condition"], row["setting"]),
                *(
                    cell
                    for name in ("kl", "perplexity", "repetition")
                    for cell in (number(row[name][0]), *(() if name == "repetition" else (_range(row[name]),)))
                ),
            ]
            for row in found["rows"]
        ),
    ]
    header = ["side effects", "KL", "95%", "perplexity", "95%", "repetition"]
    told = (
        f"KL(unsteered || steered) in nats/token and perplexity of {found['tokens']} tokens of neutral text "
        f"({found['text']});\nrepetition: share of 4-grams of free text that stood in it before."
    )
    return f"{align([header, *body], left=1)}\n\n{told}"


def shifts_table(shifts: Sequence[Mapping[str, Any]]) -> str:
    """How far each trait's score moves when the model is steered to a pole: rows are poles, columns are traits."""
    from pasctl.evaluation.intervals import FEWEST_ITEMS, SIGNIFICANT
    from pasctl.inventory.usual import in_order

    lines = []
    for condition, setting in dict.fromkeys((row["condition"], row["setting"]) for row in shifts):
        mine = [row for row in shifts if (row["condition"], row["setting"]) == (condition, setting)]
        by_pole: dict[str, dict[str, Mapping[str, Any]]] = {}
        for row in mine:
            by_pole.setdefault(row["persona"], {})[row["trait"]] = row
        traits = in_order(trait for found in by_pole.values() for trait in found)
        body = [[pole, *(_shift(pole, trait, found.get(trait)) for trait in traits)] for pole, found in by_pole.items()]
        lines += [f"{named(condition, setting)}: shift of each trait", align([["", *traits], *body], left=1), ""]
    told = ["Keyed trait score minus no-change's. [ ]: the trait that was meant."]
    if any(row["low"] is not None for row in shifts):
        told = [
            f"{told[0]} 95% interval: Student's t over its items.",
            f"* p < {SIGNIFICANT:g} by Holm's correction over the cells.",
        ]
    else:
        told.append(f"No intervals and no stars: they need at least {FEWEST_ITEMS} items to a trait.")
    return "\n".join([*lines, *told])


def audit_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """How answers written as text compare with the letters' probabilities."""
    body = [
        [
            named(row["condition"], row["setting"]),
            str(row["answers"]),
            str(row["unparsed"]),
            str(row["mismatched"]),
            number(row["mae_worst"]),
        ]
        for row in rows
    ]
    header = ["audit", "answers", "unparsed", "not the argmax", "MAE, unparsed as worst"]
    return align([header, *body], left=1)


def baselines_table(found: dict[str, Any]) -> str:
    """Baselines alone, and why any is left out."""
    conditions = found["conditions"]
    columns = [
        ("baseline", [row["condition"] for row in conditions]),
        *_errors(conditions),
        ("rounded", [number(row["composite_argmax"]) for row in conditions]),
        *_agreement(conditions),
    ]
    return "\n".join(
        [
            _columns(columns),
            *(f"{name} is left out: it {why}" for name, why in found["left_out"].items()),
            "",
            *_legend(conditions),
            "rounded: the composite of whole answers, half to even; all other columns are of predictions as they are.",
            *_coding(found),
        ]
    )


def _errors(conditions: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Columns: the error on each trait, and the composite with its interval."""
    from pasctl.inventory.usual import in_order

    of_range = any("range_share" in row for row in conditions)
    traits = in_order(trait for row in conditions for trait in (*row.get("traits", ()), *row["mae"]))
    return [
        *((trait, [number(row["mae"].get(trait)) for row in conditions]) for trait in traits),
        ("composite", [number(row["composite"]) for row in conditions]),
        ("95%", [interval(row["composite_interval"]) for row in conditions]),
        *([("of range", [_percent(row.get("range_share")) for row in conditions])] if of_range else []),
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _agreement(conditions: Sequence[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    """Columns: what goes together with the persons' answers, and what does so whatever the item says."""
    return [
        ("item r", [number(row["item_correlation"]) for row in conditions]),
        # results of earlier versions have none
        ("rank r", [number(row.get("rank_correlation_mean")) for row in conditions]),
        ("acqu.", [number(row["acquiescence"]) for row in conditions]),
    ]


def _legend(conditions: Sequence[dict[str, Any]]) -> list[str]:
    first = conditions[0]
    lines = [
        "MAE of the expected score against the personas' agreements, in points, lower is better; composite = sum over",
        "traits, with a 95% interval by Student's t over personas. item r: correlation over a persona's items.",
        "rank r: over personas, of their trait scores. acqu.: agreement whatever an item says.",
        f"{first['personas']} personas, {first['items']} items; the personas' own acquiescence is "
        f"{number(first['acquiescence_person'])}. Baselines need no model.",
    ]
    if any("range_share" in row for row in conditions):
        lines.append("of range: the error as a share of the scale's range, mean over traits, to compare scales.")
    if any(row["condition"] == "item-median-loo" for row in conditions):
        lines.append(
            "item-median-loo: the others' median leans away from the one left out, so its rank r means nothing."
        )
    return lines


def _coding(metrics: dict[str, Any]) -> list[str]:
    if metrics["coding"] == "agreement":
        return []
    return [f"Coding: {metrics['coding']} (keyed scores read as agreement), for comparison only."]


def _columns(columns: Sequence[tuple[str, Sequence[str]]]) -> str:
    """Columns with their headings; the first is flush left."""
    return align(list(zip(*([name, *cells] for name, cells in columns), strict=True)), left=1)


def differences_table(differences: Sequence[dict[str, Any]]) -> str:
    """Differences between conditions with their intervals, a star at those that exclude 0; "" where none is known."""
    from pasctl.report.sections.labels import setting

    body = [
        [
            f"{named(row['condition'], setting(row))} - {named(row['against'], setting(_against(row)))}",
            *(cell for name in ("composite", "item_correlation") for cell in _difference(row[name])),
        ]
        for row in differences
        if row["composite"] is not None or row["item_correlation"] is not None
    ]
    if not body:
        return ""
    header = ["paired difference", "composite", "95%", "item r", "95%"]
    return f"{align([header, *body], left=1)}\n\n* the interval excludes 0"


def _shift(pole: str, trait: str, found: Mapping[str, Any] | None) -> str:
    from pasctl.evaluation.trait_shifts import is_significant

    if found is None:
        return "- "
    if found["low"] is None:
        told = f"{found['shift']:+.2f}"
        return f"[{told}]" if pole[:-1] == trait else f"{told} "
    star = "*" if is_significant(found) else " "
    told = f"{found['shift']:+.2f}{star} {found['low']:+.2f}..{found['high']:+.2f}"
    return f"[{told}]" if pole[:-1] == trait else f"{told} "


def _range(found: Sequence[float | None]) -> str:
    return "-" if found[1] is None else f"{found[1]:.3f}..{found[2]:.3f}"


def _against(row: Mapping[str, Any]) -> dict[str, Any]:
    """The second row of a difference."""
    told = {name: row[f"against_{name}"] for name in ("setting", "alpha") if f"against_{name}" in row}
    return {"condition": row["against"], **told}


def _difference(found: list[float] | None) -> tuple[str, str]:
    if found is None:
        return "-", "-"
    mean, low, high = found
    return f"{mean:+.3f}{'*' if low > 0 or high < 0 else ' '}", f"{low:+.3f}..{high:+.3f}"
