"""Simulated respondents: the graded response model over five correlated traits.

The model (F. Samejima, "Estimation of latent ability using a response pattern of graded scores", Psychometrika
Monograph 17, 1969) gives the probability that respondent p's keyed answer Y to item i is at least k, k = 2..5:

    P(Y >= k) = 1 / (1 + exp(-a_i (eta_pi - b_ik)))

with discrimination a_i and increasing thresholds b_i2 < ... < b_i5. The latent score that item i reads is

    eta_pi = sqrt(1 - v) theta_p,trait(i) + sqrt(v) phi_p,facet(i) + key_i c xi_p

- theta_p: five traits, normal, variance 1, correlated as in `TRAIT_CORRELATIONS`;
- phi_p: one independent standard normal score a facet; v is the facet's share of the variance;
- xi_p: acquiescence, one standard normal score a person. The model is in keyed terms, so yea-saying enters with the
  sign of the key; c = 0 switches it off.

A keyed answer becomes an agreement by 6 - Y on items keyed -1. The numbers are chosen to look like questionnaire data,
not estimated from any.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory
from pasctl.inventory.personas import PersonaSet

FloatArray = npt.NDArray[np.float64]

# Rows and columns O C E A N. Round numbers of the sign and rough size that questionnaires show (compare the
# meta-analysis of D. van der Linden, J. te Nijenhuis and A. B. Bakker, "The General Factor of Personality", Journal of
# Research in Personality 44, 2010); not the matrix of any one study.
TRAIT_CORRELATIONS: FloatArray = np.array(
    [
        [1.00, 0.20, 0.40, 0.20, -0.15],
        [0.20, 1.00, 0.30, 0.40, -0.40],
        [0.40, 0.30, 1.00, 0.25, -0.35],
        [0.20, 0.40, 0.25, 1.00, -0.35],
        [-0.15, -0.40, -0.35, -0.35, 1.00],
    ]
)
TRAITS = "OCEAN"
SEED = 20


@dataclass(frozen=True)
class GradedResponse:
    """Parameters of the population and of its items.

    Attributes:
        discrimination: Median of a_i, per logit of the latent score.
        discrimination_spread: Standard deviation of log a_i.
        thresholds: The mean of b_i2..b_i5, in standard deviations of the trait. They are not centred on 0: on most
            items more people choose the desirable side.
        threshold_spread: Standard deviation of an item's shift, which all its thresholds share.
        facet_share: v, the share of the latent variance that belongs to the facet.
        acquiescence: c, the standard deviation of yea-saying.
    """

    discrimination: float = 1.6
    discrimination_spread: float = 0.25
    thresholds: tuple[float, float, float, float] = (-2.0, -0.9, 0.0, 1.3)
    threshold_spread: float = 0.4
    facet_share: float = 0.25
    acquiescence: float = 0.3

    def __post_init__(self) -> None:
        """Refuses parameters for which the model is not defined."""
        if not 0 <= self.facet_share <= 1 or self.acquiescence < 0 or self.discrimination <= 0:
            raise InputError("facet_share is within 0..1, acquiescence >= 0 and discrimination > 0")
        if any(low >= high for low, high in zip(self.thresholds, self.thresholds[1:], strict=False)):
            raise InputError(f"thresholds must increase, found {self.thresholds}")


CLEAR = GradedResponse(
    discrimination=6.0,
    discrimination_spread=0.0,
    thresholds=(-0.8, -0.27, 0.27, 0.8),
    threshold_spread=0.0,
    facet_share=0.0,
    acquiescence=0.0,
)
"""Respondents who are five traits and nothing else, as the demo model knows them: answers tell these quickly."""
DEMO_PEOPLE, DEMO_SEED = 60, 2


def item_parameters(inventory: Inventory, model: GradedResponse, seed: int) -> tuple[FloatArray, FloatArray]:
    """Discriminations a [I] and thresholds b [I, 4].

    They come from a random stream of their own, so that they do not depend on the number of respondents.
    """
    rng = np.random.default_rng([seed, 1])
    a = model.discrimination * np.exp(model.discrimination_spread * rng.standard_normal(len(inventory)))
    shift = model.threshold_spread * rng.standard_normal((len(inventory), 1))
    # What is desirable is to be low on N: there the thresholds are mirrored.
    up = np.array(model.thresholds)
    base = np.array([-up[::-1] if trait == "N" else up for trait in inventory.traits])
    return a, base + shift


def latent_scores(inventory: Inventory, model: GradedResponse, n: int, seed: int) -> FloatArray:
    """The score eta [n, I] that each item reads, in keyed terms."""
    rng = np.random.default_rng([seed, 2])
    theta = rng.standard_normal((n, len(TRAITS))) @ np.linalg.cholesky(TRAIT_CORRELATIONS).T
    facets = sorted({(item.trait, item.facet) for item in inventory.items})
    phi = rng.standard_normal((n, len(facets)))
    xi = rng.standard_normal((n, 1))
    trait_of = [TRAITS.index(item.trait) for item in inventory.items]
    facet_of = [facets.index((item.trait, item.facet)) for item in inventory.items]
    v = model.facet_share
    eta: FloatArray = np.sqrt(1 - v) * theta[:, trait_of] + np.sqrt(v) * phi[:, facet_of]
    return eta + model.acquiescence * xi * inventory.keys


def demo_respondents(inventory: Inventory) -> PersonaSet:
    """People of the demo model's world whom its training never saw."""
    return simulate(inventory, DEMO_PEOPLE, DEMO_SEED, CLEAR, label="demo")


def simulate(
    inventory: Inventory,
    n: int = 50,
    seed: int = SEED,
    model: GradedResponse | None = None,
    label: str = "builtin",
) -> PersonaSet:
    """N respondents drawn from the graded response model, with no missing answers; ids `s01`, `s02`, ..."""
    if n < 1 or seed < 0:
        raise InputError(f"a simulation needs n >= 1 respondents and a seed >= 0, found n {n} and seed {seed}")
    model = model or GradedResponse()
    a, b = item_parameters(inventory, model, seed)
    eta = latent_scores(inventory, model, n, seed)
    at_least = 1 / (1 + np.exp(-a[:, None] * (eta[..., None] - b)))  # [n, I, 4]
    # One uniform number per answer: it passes the steps 2..5 that it lies below, and they are nested.
    u = np.random.default_rng([seed, 3]).random((n, len(inventory), 1))
    keyed = 1 + (u < at_least).sum(axis=-1)
    agreements = np.where(inventory.keys > 0, keyed, 6 - keyed).astype(np.float64)
    width = max(2, len(str(n)))
    ids = tuple(f"s{number:0{width}d}" for number in range(1, n + 1))
    return PersonaSet(label=label, ids=ids, agreements=agreements)
