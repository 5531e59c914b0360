"""Directions: which heads are shifted, for how many personas, and how alike personas' directions are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.scores import row_means
from pasctl.inventory import Inventory, PersonaSet
from pasctl.report.blocks import Block, Content, Drawn, number
from pasctl.report.figures.heatmap import Heat, heatmap
from pasctl.report.sections.head_trials import Tried, each_head, error_map, head_sets, how_many
from pasctl.report.sections.labels import stand_for

MOST_PERSONAS = 60

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fitted:
    """Directions as their artifact has them.

    Attributes:
        heads: int [P, K, 2], layer and head.
        theta: float [P, K, D], of length 1.
        sigma: float [P, K].
        layers: of the model; n_heads its query heads a layer.
        personas: who they were fitted to; inventory what they answered.
        of: how many personas the artifact has, where these stand for them all.
        numbers: the sites' layers; None where every layer has one.
    """

    heads: NDArray[np.integer]
    theta: NDArray[np.floating]
    sigma: NDArray[np.floating]
    layers: int
    n_heads: int
    personas: PersonaSet
    inventory: Inventory
    of: int | None = None
    numbers: Sequence[int] | None = None

    @property
    def flat(self) -> NDArray[np.int64]:
        """The heads' places in layers * heads [P, K]."""
        return np.asarray(self.heads[:, :, 0], np.int64) * self.n_heads + self.heads[:, :, 1]


def directions(fitted: Fitted, params: Mapping[str, Any], selection: Mapping[str, Any] | None) -> Content:
    """The section of directions; `selection` is their selection.json, None without one."""
    personas, top_k = fitted.heads.shape[:2]
    facts = [
        ("personas", f"{fitted.of or personas:,}"),
        ("heads per persona", f"{top_k:,} of {fitted.layers * fitted.n_heads:,}"),
        ("dimensions of a head", f"{fitted.theta.shape[2]:,}"),
        ("method", str(params.get("method", "not told"))),
        ("centred on", str(params.get("center", "not told"))),
        *([("shifted as one", "the heads of a key-value group")] if params.get("granularity") == "kv-group" else []),
        ("σ, median over heads", number(float(np.median(fitted.sigma)), 3)),
    ]
    blocks: list[Block] = []
    lead = [] if fitted.of is None else [stand_for(personas, fitted.of)]
    if selection is not None:
        selection = in_layers(selection, fitted.numbers or range(fitted.layers))
        lead.append(_chosen(selection, fitted.n_heads))
        tried = Tried.of(selection)
        if tried is not None:
            blocks.append(_selection(selection, tried))
            if tried.alone:
                facts.append(("heads chosen", _share(selection, tried, fitted.n_heads)))
                blocks.append(each_head(selection, tried, fitted.n_heads))
                blocks.append(head_sets(selection, tried, fitted.n_heads, _layers(tried.best["layers"])))
    blocks.append(head_map(fitted.heads, fitted.numbers or range(fitted.layers), fitted.n_heads))
    if personas > MOST_PERSONAS:
        blocks.append(_by_trait(fitted))
    elif personas > 1:
        blocks.append(_by_persona(fitted))
    else:
        lead.append("One persona: there is nothing to compare its direction with.")
    return Content(tuple(lead), tuple(facts), tuple(blocks))


def similarity(fitted: Fitted) -> Floats:
    """Cosines [P, P] of personas' directions over the heads that both have; NaN for two without a common head."""
    personas, top_k, size = fitted.theta.shape
    places = fitted.layers * fitted.n_heads
    dense = np.zeros((personas, places, size), np.float64)
    has = np.zeros((personas, places), np.float64)
    rows = np.repeat(np.arange(personas), top_k)
    dense[rows, fitted.flat.ravel()] = fitted.theta.reshape(-1, size)
    has[rows, fitted.flat.ravel()] = 1.0
    flat = dense.reshape(personas, -1)
    common = has @ has.T
    # every theta has length 1, so over n common heads both vectors have length sqrt(n)
    cosines: Floats = np.divide(flat @ flat.T, common, out=np.full(common.shape, np.nan), where=common > 0)
    return cosines


def trait_groups(fitted: Fitted) -> tuple[list[str], Floats]:
    """Names, and cosines [G, G], of the mean directions of the third that is highest, and lowest, in each trait.

    A head that a persona does not have counts as zero.
    """
    items = fitted.inventory.items
    scores = fitted.inventory.on_one_scale(fitted.inventory.keyed(fitted.personas.agreements))
    names, means = [], []
    for trait in fitted.inventory.trait_codes:
        member = np.array([item.trait == trait for item in items])
        score = row_means(scores[:, member])
        known = np.flatnonzero(np.isfinite(score))
        third = max(len(known) // 3, 1)
        order = known[np.argsort(score[known], kind="stable")]
        for name, group in ((f"{trait}+", order[-third:]), (f"{trait}−", order[:third])):
            if len(known):
                names.append(name)
                means.append(_mean_direction(fitted, group))
    stacked = np.stack(means)
    length = np.linalg.norm(stacked, axis=1)
    both = np.outer(length, length)
    return names, np.divide(stacked @ stacked.T, both, out=np.full(both.shape, np.nan), where=both > 0)


def _mean_direction(fitted: Fitted, group: NDArray[np.integer]) -> Floats:
    total = np.zeros((fitted.layers * fitted.n_heads, fitted.theta.shape[2]))
    for persona in group:
        total[fitted.flat[persona]] += fitted.theta[persona]
    return total.ravel() / len(group)


def in_layers(selection: Mapping[str, Any], numbers: Sequence[int]) -> dict[str, Any]:
    """A selection.json with the numbers of layers in place of the sites' places."""

    def told(trial: Mapping[str, Any]) -> dict[str, Any]:
        heads = trial.get("heads")
        moved = None if heads is None else [[numbers[place], head] for place, head in heads]
        return {**trial, "layers": [numbers[place] for place in trial.get("layers", ())], "heads": moved}

    return {**told(selection), "tried": [told(each) for each in selection.get("tried", ())]}


def head_map(heads: NDArray[np.integer], numbers: Sequence[int], n_heads: int) -> Drawn:
    """How many personas have which heads.

    Args:
        heads: int [P, K, 2], place among the sites and head.
        numbers: the sites' layers.
        n_heads: heads of each site.
    """
    layers = len(numbers)
    flat = np.asarray(heads[..., 0], np.int64) * n_heads + heads[..., 1]
    counts = np.bincount(flat.ravel(), minlength=layers * n_heads).astype(np.float64)
    personas = len(heads)
    heat = Heat(
        counts.reshape(layers, n_heads),
        list(map(str, numbers)),
        list(map(str, range(n_heads))),
        "layer",
        "head",
        0.0,
        float(personas),
        "personas",
        lambda value: f"{value:.0f}",
        unwritten=0.0,
    )
    used = int((counts > 0).sum())
    return Drawn(
        "heads",
        "Heads that are shifted",
        f"How many of the {personas:,} personas have each head among theirs. {used:,} of {len(counts):,} heads are "
        "used by somebody; the stronger the colour, the more personas have the head.",
        lambda width: heatmap(heat, width=width),
    )


def _by_persona(fitted: Fitted) -> Drawn:
    cosines = similarity(fitted)
    names = list(fitted.personas.ids)
    heat = _cosines(cosines, names, "persona")
    pairs = cosines[np.triu_indices(len(cosines), 1)]
    known = pairs[np.isfinite(pairs)]
    middle = f" The median over pairs is {number(float(np.median(known)), 2)}." if len(known) else ""
    blank = " A pair without a common head is blank." if len(known) < len(pairs) else ""
    return Drawn(
        "similarity",
        "How alike personas' directions are",
        "Cosine between two personas' directions over the heads that both have: blue points the same way, orange the "
        f"opposite way, neutral is unrelated.{middle}{blank} All alike would mean that the direction is not the "
        "person's own.",
        lambda width: heatmap(heat, width=width),
    )


def _by_trait(fitted: Fitted) -> Drawn:
    names, cosines = trait_groups(fitted)
    heat = _cosines(cosines, names, "group")
    return Drawn(
        "similarity",
        "How alike the directions of opposite thirds are",
        f"With more than {MOST_PERSONAS} personas, groups stand for them: E+ is the mean direction of the third of "
        "personas highest in E by their own answers, E− that of the lowest third, and so on; a head that a persona "
        "does not have counts as zero. Cosine of each pair: blue points the same way, orange the opposite way.",
        lambda width: heatmap(heat, width=width),
    )


def _cosines(values: Floats, names: Sequence[str], what: str) -> Heat:
    told = lambda value: number(value, 2)  # noqa: E731 - a one-line format
    return Heat(values, names, names, what, what, -1.0, 1.0, "cosine", told, colours="d")


def _selection(selection: Mapping[str, Any], tried: Tried) -> Drawn:
    runs = sorted({tuple(each["layers"]) for each in tried.whole}, key=lambda run: (len(run), run))
    alphas = sorted({float(each["alpha"]) for each in tried.whole})
    values = np.full((len(runs), len(alphas)), np.nan)
    for each in tried.whole:
        values[runs.index(tuple(each["layers"])), alphas.index(float(each["alpha"]))] = each["mae"]
    framed = (runs.index(tuple(tried.best["layers"])), alphas.index(float(tried.best["alpha"])))
    rows = [layer_run(run) for run in runs]
    heat = error_map(values, rows, [f"{alpha:g}" for alpha in alphas], "layers", "α", frozenset([framed]))
    before = (selection.get("no_change") or {}).get("mae")
    plain = f" Without steering it is {number(before, 2)}." if before is not None else ""
    held = len(selection.get("validation", ()))
    after = "is the best; heads of its layers were tried next" if tried.alone else "was chosen"
    return Drawn(
        "selection",
        "Validation error of the layers and strengths tried",
        f"Mean absolute error on {held:,} items held out of the fit items; results are not reported on them.{plain} "
        f"The framed cell {after}. A blank cell was not tried.",
        lambda width: heatmap(heat, width=width),
    )


def layer_run(layers: Sequence[int]) -> str:
    """Layers as a range where they follow each other."""
    if len(layers) > 1 and list(layers) == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]}–{layers[-1]}"
    return ", ".join(str(layer) for layer in layers) or "none"


def _chosen(selection: Mapping[str, Any], n_heads: int) -> str:
    alpha = selection.get("alpha")
    layers = selection.get("layers", ())
    heads = selection.get("heads")
    told = "Chosen by steering held-out items: "
    # earlier versions chose whole layers and told no heads
    if heads is not None and len(heads) < len(layers) * n_heads:
        told += f"{how_many(len(heads))} of "
    told += _layers(layers)
    told += f", α {alpha:g}" if alpha is not None else ""
    return told + (f", positions {selection['positions']}." if selection.get("positions") else ".")


def _share(selection: Mapping[str, Any], tried: Tried, n_heads: int) -> str:
    layers = tried.best["layers"]
    chosen, total = len(selection["heads"]), len(layers) * n_heads
    return f"{'all' if chosen == total else f'{chosen} of'} {total} in {_layers(layers)}"


def _layers(layers: Sequence[int]) -> str:
    return f"{'layer' if len(layers) == 1 else 'layers'} {layer_run(layers)}"
