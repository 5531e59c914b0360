"""What `pasctl bench-tasks` prints and says, of rows as the stage stores them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.cli.bench_tasks import tables
from pasctl.evaluation.bench_verdict import bench_finding
from pasctl.report.sections.benchmarks import benchmarks


def row(
    condition: str, difference: float, p: float | None, *, metric: str = "acc", higher: bool = True
) -> dict[str, Any]:
    compared = {"difference": difference, "low": difference - 0.02, "high": difference + 0.02, "p": p, "changed": 3}
    if p is None:
        compared |= {"low": None, "high": None}
    return {
        "task": "arc",
        "metric": metric,
        "filter": "none",
        "condition": condition,
        "persona": "E+",
        "alpha": 2.0,
        "title": {"persona": "E+ at alpha 2", "random-direction": "random direction, E+ at alpha 2"}[condition],
        "draws": 1 if condition == "persona" else 2,
        "documents": 1200,
        "higher_is_better": higher,
        "value": 0.5 + difference,
        **compared,
        "p_holm": p,
    }


def plain(metric: str = "acc", higher: bool = True) -> dict[str, Any]:
    kept = ("task", "metric", "filter", "documents", "higher_is_better", "value")
    about = {"condition": "no-change", "persona": "", "alpha": None, "title": "no change", "draws": 1}
    return {name: row("persona", 0.0, 1.0, metric=metric, higher=higher)[name] for name in kept} | about


@pytest.mark.parametrize(
    ("rows", "against", "sentence"),
    [
        (
            [row("persona", -0.1, 0.01), row("persona", 0.3, 0.02, metric="loss", higher=False)],
            [row("persona", -0.1, 0.03)],
            "E+ at alpha 2: worse than no change on 2 of 2 figures, better on 0; most: arc loss +0.300 "
            "[+0.280, +0.320]; worse than random directions of its norm on 1",
        ),
        (
            [row("persona", 0.1, 0.01), row("persona", -0.3, 0.2, metric="loss", higher=False)],
            [],
            "E+ at alpha 2: worse than no change on 0 of 2 figures, better on 1; most: arc loss -0.300 "
            "[-0.320, -0.280]",
        ),
        (
            [row("persona", -0.01, 0.4)],
            [row("persona", -0.1, 0.03)],
            "E+ at alpha 2: none of 1 figure differs clearly from no change; most: arc acc -0.010 [-0.030, +0.010]",
        ),
        (
            [row("persona", -0.01, 0.4), {**row("persona", -0.5, 0.001), "condition": "prompted", "alpha": None}],
            [],
            "E+ at alpha 2: none of 1 figure differs clearly from no change; most: arc acc -0.010 [-0.030, +0.010]; "
            "prompted with it: worse on 1 of 1",
        ),
        ([row("persona", -0.1, None)], [], "E+ at alpha 2: no interval can be had, there are too few documents"),
    ],
)
def test_the_finding_says_on_how_many_figures_a_persona_is_worse(rows: Any, against: Any, sentence: str) -> None:
    assert bench_finding({"rows": [plain(), *rows], "against_random": against}) == sentence


def test_tables_have_a_line_per_condition() -> None:
    found = {"rows": [plain(), row("persona", -0.1, 0.01), row("random-direction", 0.0, None)], "against_random": []}
    [table] = tables(found)
    head, columns, *lines = table.splitlines()
    assert head == "arc: acc, higher is better, 1,200 documents"
    assert columns.split() == ["condition", "value", "difference", "95%", "interval", "changed"]
    assert [" ".join(line.split()) for line in lines] == [
        "no change 0.500",
        "E+ at alpha 2 0.400 -0.100 -0.120 to -0.080 3",
        "random direction, E+ at alpha 2 (2 draws) 0.500 +0.000 - 3",
    ]
    content = benchmarks(found)
    [block] = content.blocks
    assert len(block.rows) == 3  # type: ignore[union-attr]
    assert block.rows[1][2].mark  # type: ignore[union-attr]


def test_without_lm_eval_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "pasctl.evaluation.lm_eval_tasks", raising=False)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    done = CliRunner().invoke(app, ["bench-tasks", "--tasks", "arc_easy", "--store", str(tmp_path)])
    assert done.exit_code == 3
    assert "tasks need lm-eval, which cannot be imported" in done.output
    assert "pip install 'pasctl[lm-eval]'" in done.output
    assert "Traceback" not in done.output
