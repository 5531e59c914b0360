import numpy as np
import pytest

from pasctl.directions.select import top_heads
from pasctl.errors import InputError


def test_equals_sorting_by_accuracy_then_loss_then_place() -> None:
    rng = np.random.default_rng(0)
    accuracy = rng.integers(0, 4, size=(6, 5, 7)).astype(np.float32) / 4  # many ties
    log_loss = rng.integers(0, 3, size=(6, 5, 7)).astype(np.float32)
    for k in (1, 9, 35):
        chosen = top_heads(accuracy, log_loss, k)
        assert chosen.dtype == np.int64
        for p in range(6):
            oracle = sorted(np.ndindex(5, 7), key=lambda at: (-accuracy[p][at], log_loss[p][at], at))[:k]
            assert [tuple(pair) for pair in chosen[p].tolist()] == oracle


@pytest.mark.parametrize("k", [0, -1, 36])
def test_more_heads_than_there_are_is_refused(k: int) -> None:
    with pytest.raises(InputError, match=r"expected 1\.\.35 heads"):
        top_heads(np.zeros((2, 5, 7)), np.zeros((2, 5, 7)), k)


def test_scores_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="NaN"):
        top_heads(np.full((2, 5, 7), np.nan), np.zeros((2, 5, 7)), 3)
    with pytest.raises(InputError, match="shapes"):
        top_heads(np.zeros((2, 5, 7)), np.zeros((2, 7, 5)), 3)
