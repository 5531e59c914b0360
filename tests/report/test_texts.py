"""The section of texts: texts first, then what tells them apart, for any number of conditions and measures."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pasctl.evaluation.text_metrics import AS_IS, COLUMNS, DOWN, PROMPTED, UP, text_metrics
from pasctl.report.blocks import Table
from pasctl.report.sections.texts import MOST_PROMPTS, texts

PROMPTS = 12


def frame(target: str = "E+", *, prompted: bool = True) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for place in range(PROMPTS):
        for condition, shift in {AS_IS: 0.0, UP: 2.0, DOWN: -2.0, PROMPTED: 2.0}.items():
            if condition == PROMPTED and not prompted:
                continue
            row = dict.fromkeys(COLUMNS, np.nan) | {"target": target, "condition": condition, "finish": "stop"}
            row |= {"alpha": 1.5 if condition in (UP, DOWN) else 0.0, "tokens": 9, "repetition": 0.1}
            row |= {"prompt": f"prompt {place}", "text": f"{condition} {place}", "perplexity": 9.0 + rng.random()}
            rows.append(row | {"log_odds": shift + rng.normal(), "embedding_score": shift + rng.normal()})
    return pd.DataFrame(rows)


def metrics(rows: pd.DataFrame, **more: Any) -> dict[str, Any]:
    return {
        "rows": [row | {"kl": {UP: 0.1, DOWN: 0.2}} for row in text_metrics(rows, {"E+": "E-"})],
        "prompts": PROMPTS,
        "words": {"E+": ["You are lively.", "You are quiet."]},
        "notes": [],
        "embeddings": "all-MiniLM-L6-v2",
        "judge": None,
    } | more


def test_texts_come_first_and_measures_after() -> None:
    content = texts(frame().to_dict("records"), metrics(frame()))
    before, measures, sizes = content.blocks
    assert isinstance(before, Table)
    assert isinstance(measures, Table)
    assert isinstance(sizes, Table)
    assert before.head == ("prompt", "as it is", "E+ at alpha 1.5", "E+ at alpha -1.5", "prompted: E+")
    assert len(before.rows) == MOST_PROMPTS
    assert [cell.text for cell in before.rows[2]] == [
        "prompt 2",
        *(f"{name} 2" for name in (AS_IS, UP, DOWN, PROMPTED)),
    ]
    assert f"{PROMPTS - MOST_PROMPTS} more prompts" in before.caption
    assert "AUC, embeddings" in measures.head
    assert "AUC, judge" not in measures.head
    assert {len(row) for table in content.blocks for row in table.rows} == {len(t.head) for t in content.blocks}
    assert content.facts == (("E+", "You are lively. / You are quiet."),)
    assert content.lead[0].startswith("E+ and E- texts are told apart with AUC")


def test_a_marked_auc_is_one_whose_interval_excludes_chance() -> None:
    known = metrics(frame())
    null = copy.deepcopy(known)
    null["rows"][0]["auc"] = [0.52, 0.4, 0.64, PROMPTS]
    for document, marked in ((known, True), (null, False)):
        measures = texts(frame().to_dict("records"), document).blocks[1]
        assert measures.rows[0][2].mark is marked


@pytest.mark.parametrize("prompted", [True, False])
def test_what_was_not_measured_is_left_out(prompted: bool) -> None:
    rows = frame(prompted=prompted).assign(log_odds=np.nan, embedding_score=np.nan)
    content = texts(
        rows.to_dict("records"), metrics(rows, embeddings=None, words={"E+": None}, notes=["warning: none"])
    )
    assert ("prompted: E+" in content.blocks[0].head) is prompted
    assert "AUC, embeddings" not in content.blocks[1].head
    assert content.facts == ()
    assert content.lead[-1] == "Warning: none."
