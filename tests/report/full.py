"""Results and strengths with all that their formats may hold, of made-up numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

TRAITS = "OCEAN"
POLES = tuple(f"{trait}{sign}" for trait in TRAITS for sign in "+-")
PERSONAS, ITEMS = 20, 30
_TOLD = ("no-change", "few-shot", "personality-prompt", "given-prose")
_SETTINGS = ("0", "2", "4", "8", "auto", "oracle")
_STEERED = {"pas": -0.5, "pas+few-shot": -0.7, "random-direction": 0.3, "shuffled-answers": 0.2}
_BASELINES = {
    "constant-3": 4.4,
    "item-median-loo": 3.6,
    "own-facet-mean": 3.2,
    "own-facet-mean-rounded": 3.5,
    "ridge": 2.9,
}
SPREAD_ALPHAS = {"0": 3, "2": 5, "4": 10, "8": 2}


def condition(name: str, setting: str = "", composite: float = 4.0, **changed: Any) -> dict[str, Any]:
    """A row of metrics in the newest format."""
    number = setting.replace(".", "", 1).isdigit()
    row: dict[str, Any] = {
        "condition": name,
        "setting": setting,
        "alpha": float(setting or 0) if number or not setting else None,
        "alphas": {} if not setting else {setting: PERSONAS} if number else SPREAD_ALPHAS,
        "draws": 1,
        "draw_composites": [composite],
        "order_spread": 0.31,
        "personas": PERSONAS,
        "items": ITEMS,
        "mae": {trait: composite / 5 + 0.03 * place for place, trait in enumerate(TRAITS)},
        "composite": composite,
        "composite_interval": [composite - 0.24, composite + 0.27],
        "item_correlation": max(0.9 - composite / 5, -0.05),
        "item_correlation_interval": [max(0.8 - composite / 5, -0.1), max(1.0 - composite / 5, 0.0)],
        "rank_correlation_mean": 0.42,
        "acquiescence": 3.1,
        "acquiescence_person": 2.9,
        "option_mass": 0.93,
    }
    return {**row, **changed}


def baseline(name: str, composite: float = 3.8) -> dict[str, Any]:
    """The row of a baseline."""
    return condition(name, composite=composite, option_mass=None, order_spread=None, draws=0, draw_composites=[])


def metrics() -> dict[str, Any]:
    """A metrics.json with every key."""
    rows = [condition(name, composite=4.1 - 0.2 * place) for place, name in enumerate(_TOLD)]
    for name, gain in _STEERED.items():
        for place, setting in enumerate(_SETTINGS):
            composite = 4.1 + gain * (0, 0.5, 1, 0.2, 1.1, 1.4)[place]
            draws = {}
            if name == "random-direction":
                draws = {"draws": 3, "draw_composites": [composite - 0.2, composite, composite + 0.2]}
            rows.append(condition(name, setting, composite, **draws))
    rows += [baseline(name, composite) for name, composite in _BASELINES.items()]
    steered = [row for row in rows if row["setting"]]
    return {
        "coding": "agreement",
        "conditions": rows,
        "differences": [
            {
                "condition": row["condition"],
                "setting": row["setting"],
                "alpha": row["alpha"],
                "against": other,
                "against_setting": row["setting"] if other == "random-direction" else "",
                "against_alpha": row["alpha"] if other == "random-direction" else 0.0,
                "composite": [row["composite"] - 4.1, row["composite"] - 4.4, row["composite"] - 3.8],
                "item_correlation": [0.05, -0.02, 0.11],
            }
            for row in steered
            if row["condition"].startswith("pas")
            for other in ("no-change", "random-direction")
        ],
        "notes": ["The text of given-prose names the traits that are asked about."],
        "choice": {
            "scope": "persona",
            "alphas": [0, 2, 4, 8],
            "folds": 4,
            "budget_kl": 0.5,
            "source": "strengths/made/full@v1",
        },
        "side_effects": {
            "text": "builtin",
            "tokens": 256,
            "unsteered": {"perplexity": 14.2, "repetition": 0.031},
            "rows": [_effect(row) for row in steered if row["condition"] != "shuffled-answers"],
        },
        "audit": [
            {
                "condition": row["condition"],
                "setting": row["setting"],
                "answers": 60,
                "unparsed": place,
                "mismatched": 2 * place,
                "mae_worst": 0.9 + 0.1 * place,
            }
            for place, row in enumerate(row for row in rows if row["setting"] in ("", "4") and row["option_mass"])
        ],
        "trait_shifts": trait_shifts(),
    }


def _effect(row: dict[str, Any]) -> dict[str, Any]:
    alpha = 3.4 if row["alpha"] is None else row["alpha"]
    kl = 0.02 * alpha**1.6
    return {
        "condition": row["condition"],
        "setting": row["setting"],
        "alpha": row["alpha"],
        "personas": PERSONAS,
        "kl": [kl, kl * 0.9, kl * 1.1],
        "perplexity": [14.2 + 3 * kl, 14.2 + 2 * kl, 14.2 + 4 * kl],
        "repetition": [0.031 + 0.05 * kl, None, None],
    }


def trait_shifts() -> list[dict[str, Any]]:
    """Shifts of all traits for all poles, largest where they were meant."""
    rng = np.random.default_rng(0)
    found = []
    for name, setting, force in (
        ("few-shot", "", 0.5),
        ("pas", "4", 0.9),
        ("pas", "auto", 1.1),
        ("pas", "oracle", 1.3),
    ):
        for pole in POLES:
            for trait in TRAITS:
                meant = force * (1 if pole[1] == "+" else -1) if pole[0] == trait else 0.0
                shift = meant + float(rng.normal(0, 0.15))
                found.append(
                    {
                        "persona": pole,
                        "condition": name,
                        "setting": setting,
                        "alpha": 4.0,
                        "trait": trait,
                        "shift": shift,
                        "low": shift - 0.3,
                        "high": shift + 0.3,
                    }
                )
    return found


def rows(found: dict[str, Any]) -> dict[str, np.ndarray]:
    """Rows that go with metrics, as far as a page reads them; the nearer a condition, the more do they agree."""
    rng = np.random.default_rng(1)
    columns: dict[str, list[Any]] = {name: [] for name in ("condition", "setting", "alpha", "agreement", "expected")}
    for row in found["conditions"]:
        agreement = rng.integers(1, 6, PERSONAS * ITEMS).astype(float)
        share = max(0.0, (4.6 - row["composite"]) / 3)
        expected = np.clip(3 + share * (agreement - 3) + rng.normal(0, 0.5, len(agreement)), 1, 5)
        columns["condition"] += [row["condition"]] * len(agreement)
        columns["setting"] += [row["setting"]] * len(agreement)
        columns["alpha"] += [3.0 if row["alpha"] is None else row["alpha"]] * len(agreement)
        columns["agreement"] += agreement.tolist()
        columns["expected"] += expected.tolist()
    return {
        name: np.array(values, object if name in ("condition", "setting") else float)
        for name, values in columns.items()
    }


def curves(personas: int = 20) -> dict[str, Any]:
    """A curves.json whose strengths are not in order."""
    rng = np.random.default_rng(2)
    alphas = [4.0, 0.0, 0.5, 1.0, 2.0, 8.0]
    errors = [
        (1.0 + 0.03 * (alpha - 3) ** 2 / (1 + 0.1 * alpha) + rng.normal(0, 0.05, personas)).tolist() for alpha in alphas
    ]
    kl = [(0.03 * alpha**1.5 * rng.uniform(0.8, 1.2, personas)).tolist() for alpha in alphas]
    own = [alphas[int(np.argmin([row[place] for row in errors]))] for place in range(personas)]
    return {
        "alphas": alphas,
        "folds": 4,
        "personas": [f"p{place}" for place in range(personas)],
        "mae": errors,
        "item_correlation": [
            [None if place == 0 else 0.1 * alpha / (1 + alpha) for place in range(personas)] for alpha in alphas
        ],
        "kl": kl,
        "perplexity": [[14.0 + each for each in row] for row in kl],
        "chosen": {"persona": own, "population": 2.0},
        "rule": "the alpha of lowest mean absolute error on items held out of the fit; of equals the nearest to 0",
    }
