"""The AUC is what a count of pairs and scikit-learn say; its interval covers the truth; verdicts keep their rates."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from pasctl.evaluation.auc import FEWEST_PROMPTS, Auc, paired_auc
from pasctl.evaluation.text_verdict import text_verdict

RUNS = 400


def texts(rng: np.random.Generator, auc: float, prompts: int, shared: float) -> tuple[np.ndarray, np.ndarray]:
    """Scores of + and - texts with this AUC; `shared` of their variance is the prompt's."""
    prompt = rng.normal(size=prompts) * np.sqrt(shared)
    plus, minus = (prompt + rng.normal(size=prompts) * np.sqrt(1 - shared) for _ in range(2))
    # two independent texts differ by a normal variable of variance 2, the prompt's part included
    return plus + norm.ppf(auc) * np.sqrt(2), minus


@pytest.mark.parametrize("prompts", [1, 5, 30])
def test_it_is_the_share_of_pairs_and_scikit_learns(prompts: int) -> None:
    rng = np.random.default_rng(prompts)
    plus, minus = rng.integers(0, 6, prompts) / 2, rng.integers(-1, 5, prompts) / 2  # with ties
    auc = paired_auc(plus, minus)
    assert auc is not None
    labels = [1] * prompts + [0] * prompts
    assert auc.auc == pytest.approx(roc_auc_score(labels, np.concatenate([plus, minus])))
    pairs = [1.0 if p > m else 0.5 if p == m else 0.0 for p in plus for m in minus]
    assert auc.auc == pytest.approx(sum(pairs) / len(pairs))


def test_prompts_that_lack_a_text_are_left_out() -> None:
    rng = np.random.default_rng(0)
    plus, minus = rng.normal(size=20), rng.normal(size=20)
    plus[3], minus[11] = np.nan, np.nan
    keep = np.ones(20, dtype=bool)
    keep[[3, 11]] = False
    assert paired_auc(plus, minus) == paired_auc(plus[keep], minus[keep])
    assert paired_auc([np.nan], [1.0]) is None


def test_few_prompts_have_no_interval_and_no_verdict() -> None:
    rng = np.random.default_rng(0)
    plus = rng.normal(size=FEWEST_PROMPTS) + 9
    few = paired_auc(plus[1:], plus[1:] - 99)
    enough = paired_auc(plus, plus - 99)
    assert few is not None
    assert enough is not None
    assert (few.low, few.differs) == (None, False)
    assert enough.differs
    assert "no verdict on 7 prompts" in text_verdict(few, "E+", "E-")


def test_a_scores_sign_and_scale_turn_the_interval_round() -> None:
    rng = np.random.default_rng(1)
    plus, minus = texts(rng, 0.8, 25, 0.3)
    one, other, scaled = paired_auc(plus, minus), paired_auc(minus, plus), paired_auc(3 * plus + 7, 3 * minus + 7)
    assert one is not None
    assert other is not None
    assert other[:3] == pytest.approx((1 - one.auc, 1 - one.high, 1 - one.low), abs=1e-3)
    assert scaled == one


@pytest.mark.parametrize("prompts", [FEWEST_PROMPTS, 30])
@pytest.mark.parametrize("auc", [0.5, 0.7, 0.87, 0.99])
@pytest.mark.parametrize("shared", [0.0, 0.5])
def test_the_interval_covers_the_truth(prompts: int, auc: float, shared: float) -> None:
    rng = np.random.default_rng([prompts, int(100 * auc), int(10 * shared)])
    # the prompt's part moves the two texts of a pair together and no other pair, so the AUC over all pairs stays
    found = [paired_auc(*texts(rng, auc, prompts, shared)) for _ in range(RUNS)]
    covered = np.mean([each.low <= auc <= each.high for each in found])
    error = np.sqrt(0.95 * 0.05 / RUNS)
    assert covered > 0.95 - 3 * error - 0.01


@pytest.mark.parametrize(("auc", "words", "rate"), [(0.5, "no effect on text", 0.95), (0.75, "told apart with", 0.90)])
def test_verdicts_keep_their_rates_on_thirty_prompts(auc: float, words: str, rate: float) -> None:
    rng = np.random.default_rng(7)
    lines = [text_verdict(paired_auc(*texts(rng, auc, 30, 0.2)), "E+", "E-") for _ in range(RUNS)]
    assert np.mean([words in line for line in lines]) >= rate - 2 * np.sqrt(rate * (1 - rate) / RUNS)


def test_equal_texts_have_no_effect() -> None:
    scores = np.random.default_rng(0).normal(size=30)
    same = paired_auc(scores, scores)
    assert same is not None
    assert same.auc == 0.5
    assert "no effect on text" in text_verdict(same, "E+", "E-")


@pytest.mark.parametrize(
    ("auc", "said"),
    [
        (Auc(0.874, 0.801, 0.929, 30), "E+ and E- texts are told apart with AUC .87 [.80, .93] on 30 unseen prompts"),
        (Auc(1.0, 0.94, 1.0, 30), "E+ and E- texts are told apart with AUC 1.00 [.94, 1.00] on 30 unseen prompts"),
        (Auc(0.52, 0.38, 0.66, 30), "no effect on text: E+ and E- texts have AUC .52 [.38, .66] on 30 unseen prompts"),
        (Auc(0.2, 0.1, 0.34, 9), "E+ and E- texts are told apart the wrong way round, with AUC .20 [.10, .34] on 9 "
         "unseen prompts"),
        (None, "E+ and E- texts are not classified: no prompt has a text of both"),
    ],
)  # fmt: skip
def test_a_verdict_is_one_line(auc: Auc | None, said: str) -> None:
    assert text_verdict(auc, "E+", "E-") == said


def test_what_is_not_described_is_not_classified() -> None:
    said = text_verdict(None, "172481", "opposite of 172481", described=False, perplexity_ratio=1.2)
    assert "there are no descriptions to judge them by; perplexity 1.20x" in said


def test_a_verdict_says_what_confirms_it_and_what_it_costs() -> None:
    clear, none = Auc(0.9, 0.8, 0.96, 30), Auc(0.5, 0.4, 0.6, 30)
    said = text_verdict(clear, "E+", "E-", embeddings=Auc(0.8, 0.7, 0.9, 30), perplexity_ratio=1.234)
    assert said.endswith("; sentence embeddings confirm it: .80 [.70, .90]; perplexity 1.23x that of unsteered text")
    assert "do not confirm it: .50 [.40, .60]" in text_verdict(clear, "E+", "E-", embeddings=none)
    assert "confirm" not in text_verdict(none, "E+", "E-", embeddings=clear)
