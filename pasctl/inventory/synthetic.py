"""People drawn from an inventory's norms: `sample:1000`, `sample:1000:seed=7`, `sample:1000:group=women`."""

from __future__ import annotations

import re

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.correlated import Unreachable, correlation_matrix, latent_correlations
from pasctl.inventory.graded import DISCRIMINATIONS, GradedTrait, TraitItems, at_least, fitted, reachable
from pasctl.inventory.items import FloatArray, IntArray, Inventory
from pasctl.inventory.norms import Norm
from pasctl.inventory.personas import PersonaSet
from pasctl.inventory.trait_norms import norms_of

PREFIX = "sample:"
MOST = 100_000
_NUMBER = re.compile(r"[0-9]{1,18}")
_BLOCK = 1024  # people whose answers are drawn at once


def sampled_people(spec: str, inventory: Inventory) -> PersonaSet:
    """The people that `sample:N[:seed=SEED][:group=NAME]` says, see `sample`; a bare number is a seed too.

    Raises:
        InputError: the words say no number, or `sample` refuses.
    """
    count, *rest = spec.removeprefix(PREFIX).split(":")
    seed, group = 0, None
    for word in rest:
        if word.startswith("group="):
            group = word.removeprefix("group=")
        elif _NUMBER.fullmatch(word.removeprefix("seed=")):
            seed = int(word.removeprefix("seed="))
        else:
            count = ""
    if not _NUMBER.fullmatch(count) or not 1 <= int(count) <= MOST:
        raise InputError(
            f"personas {spec!r}: expected sample:N[:seed=SEED][:group=NAME] with N from 1 to {MOST}",
            hint="sample:1000 draws a thousand people from the inventory's norms, sample:1000:seed=7 others",
        )
    return sample(inventory, int(count), seed, group)


def sample(inventory: Inventory, count: int, seed: int = 0, group: str | None = None) -> PersonaSet:
    """People whose mean scores are normally distributed and correlated about as an inventory's norms say.

    Traits are drawn from a multivariate normal distribution, and answers by the graded response model of
    `pasctl.inventory.graded`, whose thresholds make the mean scores' means and standard deviations those of the norms.
    The traits under the scores correlate more than the scores, whose correlations are the given ones. Where answers as
    noisy as people's cannot have them, the items discriminate better. Bounded scores are bent near the scale's ends.

    Raises:
        InputError: no norms, or norms that no answers to these items can have.
    """
    traits = inventory.trait_codes
    norms, matrix = norms_of(inventory, traits, group), correlation_matrix(inventory, traits)
    models, latent = _models(inventory, [norms[trait] for trait in traits], matrix)
    draw = np.random.default_rng([seed, 2]).standard_normal((count, len(traits)))
    theta = draw @ np.linalg.cholesky(latent).T
    uniform = np.random.default_rng([seed, 3])
    answers = np.empty((count, len(inventory)))
    for start in range(0, count, _BLOCK):
        block = theta[start : start + _BLOCK]
        chances = uniform.random((len(block), len(inventory)))
        for place, model in enumerate(models):
            columns = model.items.columns
            passed = at_least(block[:, place], model.discrimination, model.thresholds) > chances[:, columns, None]
            answers[start : start + len(block), columns] = _scores(inventory, columns, passed.sum(axis=-1))
    width = max(2, len(str(count)))
    ids = tuple(f"p{number:0{width}d}" for number in range(1, count + 1))
    return PersonaSet(f"sample-{count}" + (f"-{seed}" if seed else ""), ids, answers)


def _models(inventory: Inventory, norms: list[Norm], matrix: FloatArray) -> tuple[list[GradedTrait], FloatArray]:
    """The models of the traits, with the least discrimination whose answers can correlate as given."""
    traits = [norm.trait for norm in norms]
    items = [TraitItems.of(inventory, trait) for trait in traits]
    for norm, own in zip(norms, items, strict=True):
        low, high = own.ends
        if not low < norm.mean < high:
            raise InputError(
                f"inventory {inventory.name}: the norm of {norm.trait} has mean {norm.mean:g}, expected a mean score "
                f"between {low:g} and {high:g}",
                hint="norms are of the mean over items, not of the sum",
            )
    stuck = Unreachable(*traits[:2])
    for least in DISCRIMINATIONS:
        models = [_model(inventory, norm, own, least) for norm, own in zip(norms, items, strict=True)]
        try:
            return models, latent_correlations(matrix, models, traits)
        except Unreachable as error:
            stuck = error
    first, second = stuck.args
    r = matrix[traits.index(first), traits.index(second)]
    raise InputError(
        f"inventory {inventory.name}: mean scores of {first} and {second} cannot correlate {r:g} as the norms say: the "
        "answers to so few items are too noisy",
        hint="give a smaller correlation, or more items",
    )


def _model(inventory: Inventory, norm: Norm, items: TraitItems, least: float) -> GradedTrait:
    """The model of a norm with this discrimination, or else with a higher or lower one that has its deviation."""
    higher = [a for a in DISCRIMINATIONS if a >= least]
    for a in (*higher, 16.0, 30.0, *(0.8, 0.4, 0.2, 0.1)):
        model = fitted(items, norm, a)
        if model is not None:
            return model
    low, high = reachable(items, norm.mean)
    raise InputError(
        f"inventory {inventory.name}: the norm of {norm.trait} has sd {norm.sd:g}, but mean scores of "
        f"{len(items.columns)} items with mean {norm.mean:g} can have {low:.2f} to {high:.2f}",
        hint="norms are of the mean over items, not of the sum",
    )


def _scores(inventory: Inventory, columns: IntArray, passed: IntArray) -> FloatArray:
    """Scores on the items' own scales [P, N] of the number of thresholds passed in keyed terms."""
    points, keys = inventory.points[columns], inventory.keys[columns]
    level = np.where(keys > 0, passed, points - 1 - passed)
    scores: FloatArray = np.take_along_axis(inventory.level_scores[columns].T, level, axis=0)
    return scores
