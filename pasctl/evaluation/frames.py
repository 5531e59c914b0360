"""Results, strengths and texts as DataFrames, whichever version of a stage wrote them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pasctl.store import Artifact

if TYPE_CHECKING:
    import pandas as pd

_BOUNDS = ("_lo", "_hi")
_FIRST = (
    *(
        "condition",
        "setting",
        "alpha",
        "reading",
        "against",
        "against_setting",
        "personas",
        "items",
        "draws",
        "composite",
    ),
    *("composite_lo", "composite_hi", "item_correlation", "item_correlation_lo", "item_correlation_hi"),
    *("rank_correlation_mean", "acquiescence", "acquiescence_person", "kl", "kl_lo", "kl_hi"),
    *("perplexity", "perplexity_lo", "perplexity_hi", "repetition", "persona", "trait", "shift", "low", "high"),
)
"""Columns that come first, where a frame has them: those of JSON are in the order of their spelling."""


class Results(Artifact):
    """What an evaluation found."""

    def conditions(self) -> pd.DataFrame:
        """One row per condition and setting of alpha, with the metrics of `metrics.metrics_table`.

        Ends of 95% intervals are columns of their own, composite_lo and composite_hi; what is known of each trait as
        well, mae_O. NaN where something cannot be had.
        """
        import pandas as pd

        # the first versions told strengths alone
        rows = [{"setting": _setting(row), **_flat(row)} for row in self._metrics["conditions"]]
        return _ordered(pd.DataFrame(rows))

    def rows(self) -> pd.DataFrame:
        """One row per persona, condition, setting, draw and item, see `rows.SCHEMA`."""
        frame: pd.DataFrame = self.read_table("rows.parquet").to_pandas()
        return frame

    def differences(self) -> pd.DataFrame:
        """One row per pair of conditions: composite and item_correlation of the first minus the second, paired.

        With the ends of their intervals, and of each trait's error mae_O, mae_O_lo, mae_O_hi, mae_O_p and mae_O_p_holm.
        """
        import pandas as pd

        return _ordered(pd.DataFrame([_flat_difference(row) for row in self._metrics.get("differences") or ()]))

    def side_effects(self) -> pd.DataFrame:
        """One row per condition and setting, the unsteered model first: kl, perplexity, repetition, with intervals."""
        import pandas as pd

        found = self._metrics.get("side_effects")
        if not found:
            return pd.DataFrame(columns=["condition", "setting", "personas", "kl", "perplexity", "repetition"])
        alone = {"condition": "no-change", "setting": "", "kl": 0.0, **found["unsteered"]}
        return _ordered(pd.DataFrame([alone, *(_flat_effect(row) for row in found["rows"])]))

    def trait_shifts(self) -> pd.DataFrame:
        """One row per trait pole, condition, setting and trait: shift, low, high; empty without poles."""
        import pandas as pd

        return _ordered(pd.DataFrame(self._metrics.get("trait_shifts") or []))

    def audit(self) -> pd.DataFrame:
        """One row per condition and setting whose answers were written as text; empty without an audit."""
        import pandas as pd

        return _ordered(pd.DataFrame(self._metrics.get("audit") or []))

    frame = conditions

    @property
    def _metrics(self) -> dict[str, Any]:
        metrics: dict[str, Any] = self.read_json("metrics.json")
        return metrics


class Strengths(Artifact):
    """What each strength did on items that were held out."""

    def curves(self) -> pd.DataFrame:
        """One row per alpha and persona: what was measured, and whether it was chosen for them.

        That is mae and item_correlation, or the effect and the relative dose; kl and perplexity.
        """
        import pandas as pd

        curves = self.read_json("curves.json")
        index = pd.MultiIndex.from_product([curves["alphas"], curves["personas"]], names=["alpha", "persona"])
        frame = pd.DataFrame(
            {
                name: [value for of_alpha in curves[name] for value in of_alpha]
                for name in ("mae", "item_correlation", "effect", "kl", "perplexity")
                if name in curves
            },
            index=index,
            dtype=float,
        ).reset_index()
        if "doses" in curves:
            doses = dict(zip(curves["alphas"], curves["doses"], strict=True))
            frame.insert(1, "dose", frame["alpha"].map(doses))
            return frame.assign(chosen=frame["alpha"] == curves["chosen"])
        chosen = dict(zip(curves["personas"], curves["chosen"]["persona"], strict=True))
        return frame.assign(chosen=frame["alpha"] == frame["persona"].map(chosen))

    def rows(self) -> pd.DataFrame:
        """One row per alpha, persona and item: the fold it was held out in, agreement, expected."""
        frame: pd.DataFrame = self.read_table("rows.parquet").to_pandas()
        return frame

    frame = curves


class Benchmarks(Artifact):
    """What a persona costs on tasks."""

    def rows(self) -> pd.DataFrame:
        """One row per task, figure and condition: value, difference from no change, low, high, p, p_holm, changed."""
        import pandas as pd

        return pd.DataFrame(self.read_json("rows.json")["rows"])

    def against_random(self) -> pd.DataFrame:
        """One row per task, figure and persona: what it differs in from random directions of its norm."""
        import pandas as pd

        return pd.DataFrame(self.read_json("rows.json")["against_random"])

    def documents(self) -> pd.DataFrame:
        """One row per run (a task under a condition), figure and document: its value, a list for some figures."""
        import pandas as pd

        return pd.DataFrame(
            [
                {"run": key, "figure": figure, "document": document, "value": value}
                for key, part in self.read_json("parts.json").items()
                for figure, values in part["values"].items()
                for document, value in zip(part["documents"][figure], values, strict=True)
            ]
        )

    frame = rows


class Texts(Artifact):
    """What a model said under several conditions."""

    def texts(self) -> pd.DataFrame:
        """One row per persona and text, columns `text_metrics.COLUMNS`."""
        frame: pd.DataFrame = self.read_table("texts.parquet").to_pandas()
        return frame

    def findings(self) -> pd.DataFrame:
        """One row per persona and strength: what tells its texts apart, what they cost, and the verdict.

        auc with auc_lo and auc_hi, the same for embedding_auc and judge_auc; perplexity_ratio_steered-up with its ends;
        means by condition, repetition_prompted.
        """
        import pandas as pd

        return pd.DataFrame([_flat_finding(row) for row in self.read_json("metrics.json")["rows"]])

    frame = texts


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    first = [name for name in _FIRST if name in frame]
    return frame[[*first, *(name for name in frame if name not in first)]]


def _setting(row: Mapping[str, Any]) -> str:
    from pasctl.evaluation.conditions import is_steered

    return f"{row.get('alpha') or 0.0:g}" if is_steered(row["condition"]) else ""


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of metrics.json as columns; what is a list or about single strengths is left out."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name.endswith("_interval"):
            flat |= _bounds(name.removesuffix("_interval"), value)
        elif isinstance(value, Mapping) and name != "alphas":
            flat |= {f"{name}_{trait}": of_trait for trait, of_trait in value.items()}
        elif not isinstance(value, list | Mapping):
            flat[name] = value
    return flat


def _flat_difference(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if name not in ("composite", "item_correlation", "traits")}
    for name in ("composite", "item_correlation"):
        mean, *bounds = row.get(name) or (None, None, None)
        flat |= {name: mean, **_bounds(name, bounds)}
    for trait, found in (row.get("traits") or {}).items():
        known = found or {}
        flat |= {f"mae_{trait}": known.get("mean"), **_bounds(f"mae_{trait}", [known.get("low"), known.get("high")])}
        flat |= {f"mae_{trait}_{name}": known.get(name) for name in ("p", "p_holm")}
    return flat


def _flat_effect(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {name: value[0], **_bounds(name, value[1:])} if isinstance(value, list) else {name: value}
    return flat


def _flat_finding(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if name.removesuffix("_up").removesuffix("_prompted").endswith("auc"):
            auc, *bounds = (value or [None] * 3)[:3]
            flat |= {name: auc, **_bounds(name, bounds)}
        elif isinstance(value, Mapping):
            of_each = {f"{name}_{condition}": each for condition, each in value.items()}
            flat |= _flat_effect({key: [None] * 3 if each is None else each for key, each in of_each.items()})
        else:
            flat[name] = value
    return flat


def _bounds(name: str, ends: Sequence[float | None] | None) -> dict[str, float | None]:
    return {f"{name}{end}": value for end, value in zip(_BOUNDS, ends or (None, None), strict=True)}
