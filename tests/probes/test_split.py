import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.probes.split import split_items

TRAITS = ["O"] * 24 + ["C"] * 7 + ["E"] * 2 + ["A"] * 1 + ["N"] * 10


@pytest.mark.parametrize("validation", [0.01, 0.2, 0.5, 0.99])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_trait_is_on_both_sides_in_about_the_share_asked_for(validation: float, seed: int) -> None:
    held_out = split_items(TRAITS, validation, seed)
    for trait in "OCEN":
        of_trait = held_out[np.array(TRAITS) == trait]
        assert 1 <= of_trait.sum() <= len(of_trait) - 1
        assert abs(of_trait.sum() - validation * len(of_trait)) <= 1
    assert not held_out[TRAITS.index("A")]  # a trait's only item is for training


def test_the_seed_decides_the_split() -> None:
    splits = [split_items(TRAITS, 0.3, seed).tolist() for seed in (0, 0, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2] != splits[3]


def test_every_item_is_held_out_by_some_seed() -> None:
    often = sum(split_items(["O"] * 10, 0.2, seed).astype(int) for seed in range(200))
    assert np.all(np.abs(often - 40) < 30)  # binomial(200, 0.2): five standard deviations are 28


@pytest.mark.parametrize("validation", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_share_outside_0_and_1_is_refused(validation: float) -> None:
    with pytest.raises(InputError, match="validation share"):
        split_items(TRAITS, validation, 0)


def test_no_items_is_refused() -> None:
    with pytest.raises(InputError, match="at least one item"):
        split_items([], 0.2, 0)
