"""`--coding as-published`: what reading keyed scores as agreements does to measures, as it must be and as it is.

With g the agreement and k = +-1 the key, a stored value is g' = 3 + k (g - 3). Read as an agreement, it is right on
items keyed +1 and mirrored on those keyed -1.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pasctl.evaluation.baselines import constant, own_facet_mean
from pasctl.evaluation.metrics import item_correlation
from pasctl.evaluation.rows import item_table
from pasctl.inventory import papi_inventory, papi_personas, simulate
from pasctl.inventory.personas import signs
from tests.evaluation.tables import metrics_of
from tests.inventory.papi_files import KEYS, write_folder

TRAITS = ("O", "C", "E", "A", "N")

FACETS, PEOPLE = 6, 60
COUNT = len(TRAITS) * FACETS * len(KEYS)


class Read:
    """A PAPI folder read both ways.

    Attributes:
        right, published: agreements [P, I], by the proven coding and as published.
        items: all I items; fit, report: indices.
    """

    def __init__(self, folder: Path) -> None:
        inventory = papi_inventory(folder)
        self.items = item_table(inventory)
        self.fit, self.report = inventory.indices("fit"), inventory.indices("report")
        self.right = papi_personas(folder).agreements
        self.published = papi_personas(folder, "as-published").agreements

    def composite(self, predicted: np.ndarray, answers: np.ndarray) -> float:
        """Of predictions [P, I] against either reading, over the report items."""
        of_report = metrics_of(predicted[:, self.report], None, answers[:, self.report], self.items.iloc[self.report])
        return float(of_report["composite"])

    def facet_mean(self, answers: np.ndarray) -> np.ndarray:
        """own-facet-mean [P, I], NaN but on the report items."""
        predicted = np.full(answers.shape, np.nan)
        predicted[:, self.report] = own_facet_mean(answers, self.items, self.fit, self.report)
        return predicted


def write_agreements(folder: Path, agreements: np.ndarray) -> Path:
    """A folder that stores these as PAPI does: keyed, and 0 where missing."""
    keyed = np.where(np.tile(KEYS, COUNT // len(KEYS)) > 0, agreements, 6 - agreements)
    return write_folder(folder, np.nan_to_num(keyed, nan=0.0).astype(np.int64))


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Read:
    folder = tmp_path_factory.mktemp("papi")
    inventory = papi_inventory(write_folder(folder / "items", np.ones((1, COUNT), dtype=np.int64)))
    agreements = simulate(inventory, PEOPLE, seed=6).agreements.copy()
    agreements[np.random.default_rng(0).random(agreements.shape) < 0.03] = np.nan
    read = Read(write_agreements(folder / "people", agreements))
    assert np.array_equal(read.right, agreements, equal_nan=True)
    return read


def test_a_model_that_answers_as_the_person_does_is_called_wrong_on_every_item_keyed_minus(simulated: Read) -> None:
    """|g - g'| = 2 |g - 3| there, 0 elsewhere."""
    right, published = simulated.right, simulated.published
    assert simulated.composite(right, right) == 0
    expected = 0.0
    for trait in TRAITS:
        of_trait = [i for i in simulated.report if simulated.items["trait"][i] == trait]
        minus = np.array([simulated.items["key"][i] < 0 for i in of_trait])
        wrong = 2 * np.abs(right[:, of_trait] - 3) * minus
        expected += np.mean([np.mean(row[~np.isnan(row)]) for row in wrong])
    assert simulated.composite(right, published) == pytest.approx(expected)
    assert expected > 0.5 * simulated.composite(constant(right), right)


def test_a_model_that_says_the_opposite_on_items_keyed_minus_is_called_right(simulated: Read) -> None:
    right, published = simulated.right, simulated.published
    assert simulated.composite(published, published) == 0
    assert simulated.composite(published, right) == pytest.approx(simulated.composite(right, published))
    assert item_correlation(right, right) == pytest.approx(1)
    found = item_correlation(right, published)
    assert found is not None
    assert found < 0.5


def test_the_middle_of_the_scale_is_as_far_from_either_reading(simulated: Read) -> None:
    middle = constant(simulated.right)
    assert simulated.composite(middle, simulated.right) == simulated.composite(middle, simulated.published)


def test_the_probe_labels_that_flip_are_those_of_opinions_on_items_keyed_minus(simulated: Read) -> None:
    right, published = signs(simulated.right, 3.0), signs(simulated.published, 3.0)
    flipped, opinion = right != published, right != 0
    assert np.array_equal(opinion, published != 0)
    minus = np.broadcast_to(simulated.items["key"].to_numpy() < 0, opinion.shape)
    assert np.array_equal(flipped, opinion & minus)
    assert flipped.sum() / opinion.sum() == (opinion & minus).sum() / opinion.sum()
    assert np.array_equal(published[flipped], -right[flipped])


def test_of_simulated_people_the_own_facet_mean_gets_worse_than_the_middle_of_the_scale(simulated: Read) -> None:
    """It turns round once more what was turned round already, so that a facet's items contradict each other."""
    right, published = simulated.right, simulated.published
    middle = simulated.composite(constant(right), right)
    known = simulated.composite(simulated.facet_mean(right), right)
    confused = simulated.composite(simulated.facet_mean(published), published)
    assert known < 0.95 * middle
    assert confused > 1.05 * middle


def test_of_people_whose_facet_tells_all_the_own_facet_mean_is_wrong_by_what_its_fit_items_leave(
    tmp_path: Path,
) -> None:
    """Keyed scores are c on all of a facet. Its n+ and n- fit items, r = (n+ - n-) / (n+ + n-), are read as c and
    6 - c, their mean is 3 + r (c - 3), and a report item keyed k is predicted as 3 + k r (c - 3) where c is stored:
    wrong by |c - 3| (1 - k r), which is all of |c - 3| where a facet's fit items balance.
    """
    score = np.repeat(np.random.default_rng(1).integers(1, 6, (PEOPLE, COUNT // len(KEYS))), len(KEYS), axis=1)
    read = Read(write_folder(tmp_path / "consistent", score))
    assert np.allclose(read.facet_mean(read.right)[:, read.report], read.right[:, read.report])
    keys, facets = read.items["key"].to_numpy(), read.items["facet"]
    predicted = read.facet_mean(read.published)
    balanced = 0
    for item in read.report:
        r = np.mean([keys[other] for other in read.fit if facets[other] == facets[item]])
        wrong = np.abs(predicted[:, item] - read.published[:, item])
        assert np.allclose(wrong, np.abs(score[:, item] - 3) * (1 - keys[item] * r))
        balanced += r == 0
    assert balanced > 0


# ----- the real data


@pytest.fixture(scope="module")
def real() -> Read:
    folder = os.environ.get("PASCTL_PAPI")
    if not folder:
        pytest.skip("PASCTL_PAPI names no folder with the PAPI data")
    return Read(Path(folder))


def test_of_the_real_labels_the_known_share_is_flipped(real: Read) -> None:
    """44.7% of the non-neutral labels of the 120 items to fit on, a figure found independently of this code."""
    right, published = signs(real.right[:, real.fit], 3.0), signs(real.published[:, real.fit], 3.0)
    share = (right != published).sum() / (right != 0).sum()
    assert share == pytest.approx(0.447, abs=1e-3)
    folder = Path(os.environ["PASCTL_PAPI"])
    people = json.loads((folder / "Test-set.json").read_text(encoding="utf-8"))
    keyed_minus = {id_ for id_, key in zip(real.items["item"], real.items["key"], strict=True) if key < 0}
    fit = [f"i{n}" for n in json.loads((folder / "mpi_300_split.json").read_text(encoding="utf-8"))["train_index"]]
    opinions = [item for person in people for item in fit if person[item] not in (0, 3)]
    assert share == pytest.approx(sum(item in keyed_minus for item in opinions) / len(opinions))


def test_of_the_real_people_a_perfect_model_and_the_own_facet_mean_are_called_worse_than_saying_3(real: Read) -> None:
    middle = real.composite(constant(real.right), real.published)
    assert real.composite(real.right, real.right) == 0
    assert real.composite(real.right, real.published) > middle
    assert real.composite(real.facet_mean(real.right), real.right) < 0.8 * middle
    assert real.composite(real.facet_mean(real.published), real.published) > middle
