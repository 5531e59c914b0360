"""How far the distribution of a model's answers to an item is from that of people's: Wasserstein-1."""

from __future__ import annotations

import numpy as np

from pasctl.evaluation.psychometrics.panel import Floats, Panel


def wasserstein(model: Floats, people: Floats) -> float:
    """The mean distance that answers must be moved to turn one distribution into the other, in points.

        W1 = integral |F_model(x) - F_people(x)| dx

    with the distribution functions F (L. N. Vaserstein, "Markov processes over denumerable products of spaces",
    Problems of Information Transmission 5, 1969). Not paired: who answered what does not count. NaN where one side has
    no answer.

    Args:
        model: answers of any number of respondents, NaN where missing.
        people: answers of any number of respondents, NaN where missing.
    """
    from scipy.stats import wasserstein_distance

    a, b = model[np.isfinite(model)], people[np.isfinite(people)]
    return float(wasserstein_distance(a, b)) if len(a) and len(b) else float("nan")


def marginal_distances(panel: Panel) -> Floats:
    """W1 of the model's whole answers to each item [I], in points; over high - low it is a share of the range."""
    columns = zip(panel.answers.T, panel.people.T, strict=True)
    return np.array([wasserstein(model, people) for model, people in columns])
