import json

import numpy as np
import pandas as pd
import pytest

from pasctl.errors import InputError, StoreError
from pasctl.evaluation.export_log import log_name, published_log, write_log
from tests.evaluation.tables import item_frame, predicted

N, P = 20, 3
ITEMS = item_frame([f"i{n}" for n in range(N)], ["NEOAC"[n % 5] for n in range(N)], ["f"] * N, [1, -1] * 10)


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    agreements = rng.integers(1, 6, size=(P, N)).astype(float)
    agreements[0, 3] = np.nan
    return rng.integers(1, 6, size=(P, N)).astype(float), agreements


def log_of(answers: tuple, condition: str = "pas") -> dict:
    predictions, agreements = answers
    rows = pd.concat([predicted(ITEMS, predictions, agreements, condition=name) for name in ("pas", "few-shot")])
    return published_log(rows, condition, "")


def test_layout_and_numbers_are_the_published_ones(answers: tuple) -> None:
    predictions, agreements = answers
    log = log_of(answers)
    assert list(log) == ["score", "mean", "std"]
    kinds = ("mean_{}", "std_{}", "mean_{}_abs", "std_{}_abs")
    assert list(log["score"]) == [kind.format(trait) for kind in kinds for trait in "ACENO"]
    assert list(log["mean"]) == list(log["std"]) == list("ACENO")
    for trait in "ACENO":
        per_person = []
        for p in range(P):
            of = [n for n in range(N) if ITEMS["trait"][n] == trait]
            scores = [predictions[p, n] if ITEMS["key"][n] > 0 else 6 - predictions[p, n] for n in of]
            errors = [abs(predictions[p, n] - agreements[p, n]) for n in of if not np.isnan(agreements[p, n])]
            per_person.append([np.mean(scores), np.std(scores), np.mean(errors), np.std(errors)])
        columns = np.array(per_person).T
        np.testing.assert_allclose(log["mean"][trait], columns[0])
        np.testing.assert_allclose(log["std"][trait], columns[1])
        for kind, column in zip(kinds, columns, strict=True):
            assert log["score"][kind.format(trait)] == pytest.approx(column.mean())


def test_a_person_without_answers_has_scores_but_no_errors(answers: tuple) -> None:
    predictions, agreements = answers
    agreements[:, [n for n in range(N) if ITEMS["trait"][n] == "E"]] = np.nan
    log = log_of((predictions, agreements))
    assert log["score"]["mean_E_abs"] is log["score"]["std_E_abs"] is None
    assert log["score"]["mean_E"] is not None


def test_the_file_is_plain_json(answers: tuple, tmp_path) -> None:
    log = log_of(answers)
    path = tmp_path / "log" / log_name("pas", "Qwen/Qwen3-0.6B")
    write_log(path, log)
    assert json.loads(path.read_text(encoding="utf-8")) == log
    with pytest.raises(StoreError, match="cannot be written"):
        write_log(path / "below-a-file.json", log)


@pytest.mark.parametrize(
    ("condition", "model", "name"),
    [
        ("pas", "Qwen/Qwen3-0.6B", "PAS_Qwen3-0.6B_OOD.json"),
        ("no-change", "./models/tiny/", "NO_CHANGE_tiny_OOD.json"),
        ("personality-prompt", "tiny", "personality_prompt_tiny_OOD.json"),
        ("pas+few-shot", "tiny", "pas+few-shot_tiny_OOD.json"),
    ],
)
def test_names_follow_the_published_scripts(condition: str, model: str, name: str) -> None:
    assert log_name(condition, model) == name


def test_a_condition_without_rows_says_what_there_is(answers: tuple) -> None:
    with pytest.raises(InputError, match=r"expected rows of no-change, found few-shot, pas"):
        log_of(answers, "no-change")
