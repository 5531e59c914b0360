"""The test of an evaluation: whether steering moves answers towards the person, or the pole, that it was fitted for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

from pasctl.evaluation.alphas import alpha_text
from pasctl.evaluation.conditions import CONTROLS
from pasctl.evaluation.intervals import FEWEST, LEVEL, SIGNIFICANT, holm, mean_interval
from pasctl.evaluation.words import bracketed, listed, short

Row = Mapping[str, Any]
Outcome = Literal["effect", "no effect", "unknown"]
_UNTESTED = ("", "0", "oracle")


@dataclass(frozen=True)
class Effect:
    """The strength at which the test came out best.

    Attributes:
        setting: of alpha.
        p: corrected over the strengths, 1 where the effect has the other sign; None where there is too little to test.
        meant: whether the effect has the meant sign, and is above the control.
        measure: what was tested, with its interval; or why nothing could be.
        control: what another person's directions, or random ones, did; None where that is not known.
        refuted: whether there is no effect, though there is too little to test.
    """

    setting: str
    p: float | None
    meant: bool
    measure: str
    control: str | None = None
    refuted: bool = False

    @property
    def outcome(self) -> Outcome:
        """What the test says."""
        if self.p is None:
            return "no effect" if self.refuted else "unknown"
        return "effect" if self.p < SIGNIFICANT and self.meant else "no effect"


def settings_of(steered: Sequence[Row]) -> list[tuple[str, Row]]:
    """The strengths that are tested, with their rows; results of earlier versions have only `alpha`."""
    named = [(str(row["setting"]) if "setting" in row else alpha_text(row.get("alpha") or 0.0), row) for row in steered]
    return [(setting, row) for setting, row in named if setting not in _UNTESTED]


def effect_on_persons(steered: Sequence[Row], differences: Sequence[Row]) -> Effect | None:
    """Of respondents, by the distinctive item correlation where it is known, else by the composite.

    Args:
        steered: rows of the condition pas.
        differences: of metrics.json.

    Returns:
        None where nothing is steered.
    """
    tested = settings_of(steered)
    if not tested:
        return None
    known = [(setting, row) for setting, row in tested if row.get("distinctive_r_interval")]
    if known:
        return _best([_distinctive(setting, row) for setting, row in known])
    if max(row["personas"] for _, row in tested) < FEWEST:
        return Effect(tested[0][0], None, False, f"{tested[0][1]['personas']} personas, a test needs {FEWEST}")
    return _best([_composite(setting, row, differences) for setting, row in tested])


def _distinctive(setting: str, row: Row) -> Effect:
    mean, ends, wrong = row["distinctive_r"], row["distinctive_r_interval"], row.get("wrong_person_r")
    told = None
    if wrong is not None:
        told = f"another person's directions {bracketed(wrong, row.get('wrong_person_r_interval'))}"
    if row.get("own_place") is not None and row.get("own_place_chance") is not None:
        place = f"own person's place {row['own_place']:.1f}, chance {row['own_place_chance']:.1f}"
        told = place if told is None else f"{told}, {place}"
    meant = mean > 0 and (wrong is None or ends[0] > wrong)
    p = _p_of_interval(mean, ends, row["personas"]) if mean > 0 else 1.0
    return Effect(setting, p, meant, f"distinctive item r {bracketed(mean, ends)}", told)


def _composite(setting: str, row: Row, differences: Sequence[Row]) -> Effect:
    """By the largest p-value of the differences from no-change and the controls: all of them have to hold."""
    against = {
        each["against"]: each["composite"]
        for each in differences
        if each["condition"] == "pas"
        and each.get("setting", setting) == setting
        and each["against"] in ("no-change", *CONTROLS)
        and each["composite"] is not None
    }
    controls = [name for name in against if name in CONTROLS]
    if not controls:
        return Effect(setting, None, False, "no control was run alongside, use --mode all")
    meant = all(mean < 0 for mean, _, _ in against.values())
    p = max(_p_of_interval(mean, [low, high], row["personas"]) for mean, low, high in against.values())
    p = p if meant else 1.0
    return Effect(setting, p, meant, f"composite {'below' if meant else 'not below'} {listed(list(against))}")


def effect_on_poles(shifts: Sequence[Row], settings: Sequence[str]) -> Effect | None:
    """Of trait poles, by how far their own traits moved as meant; None where nothing is steered.

    Args:
        shifts: trait shifts of metrics.json.
        settings: strengths that are tested.
    """
    of_setting = dict(_meant_shifts(shifts))
    tested = [setting for setting in settings if ("pas", setting) in of_setting]
    return _best([_poles(setting, of_setting) for setting in tested]) if tested else None


def _meant_shifts(shifts: Sequence[Row]) -> Iterator[tuple[tuple[str, str], dict[str, Row]]]:
    """(condition, setting) -> pole -> the shift of its own trait, positive where it went as meant."""
    mine = [row for row in shifts if row["persona"][0] == row["trait"]]
    for named, rows in groupby(mine, key=lambda row: (str(row["condition"]), str(row["setting"]))):
        yield named, {row["persona"]: {**row, "shift": _signed(row, row["shift"])} for row in rows}


def _poles(setting: str, of_setting: Mapping[tuple[str, str], Mapping[str, Row]]) -> Effect:
    poles, random = of_setting["pas", setting], of_setting.get(("random-direction", setting), {})
    moved = [row["shift"] for row in poles.values()]
    by_chance = [random[pole]["shift"] for pole in poles if pole in random]
    control = f"along random directions {short(sum(by_chance) / len(by_chance))}" if by_chance else None
    less = {pole: row["shift"] - (random[pole]["shift"] if pole in random else 0.0) for pole, row in poles.items()}
    # directions to the two poles of a trait are opposite, and so are their shifts: they count once
    traits = [[shift for pole, shift in less.items() if pole[:-1] == trait] for trait in {pole[:-1] for pole in less}]
    estimate = mean_interval([sum(shifts) / len(shifts) for shifts in traits])
    right = sum(shift > 0 for shift in moved)
    words = f"{right} of {len(moved)} poles move their trait as meant, by {short(sum(moved) / len(moved))} points"
    words += " on average" if len(moved) > 1 else ""
    if estimate is not None:
        meant = estimate.mean > 0
        return Effect(setting, estimate.p if meant else 1.0, meant, words, control)
    refuted = min(moved) <= 0 or min(less.values()) <= 0
    few = "" if refuted else f", but {len(traits)} of the traits are too few for a test, which needs {FEWEST}"
    return Effect(setting, None, False, f"{words}{few}", control, refuted)


def _best(effects: Sequence[Effect]) -> Effect:
    """The one with an effect and lowest p, with p corrected over all that have one."""
    tested = [each for each in effects if each.p is not None]
    if not tested:
        return effects[0]
    corrected = [
        replace(each, p=p)
        for each, p in zip(tested, holm([each.p for each in tested if each.p is not None]), strict=True)
    ]
    return min(corrected, key=lambda each: (each.outcome != "effect", not each.meant, each.p))


def _p_of_interval(mean: float, ends: Sequence[float], persons: int) -> float:
    """The two-sided p of the t test whose interval this is; an end may be cut off where the scale ends."""
    from scipy.special import stdtr, stdtrit

    half = max(mean - ends[0], ends[1] - mean)
    if half <= 0:
        return float(mean == 0)
    return 2 * float(stdtr(persons - 1, -abs(mean) / half * float(stdtrit(persons - 1, (1 + LEVEL) / 2))))


def _signed(row: Row, shift: float) -> float:
    return float(shift if row["persona"][1] == "+" else -shift)
