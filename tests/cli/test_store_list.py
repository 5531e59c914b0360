"""`pasctl store ls` and `store diff`: what is asked of artifacts, in which order, and in which form."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.cli.written_table import written_table
from pasctl.stages.listing import parse_condition
from pasctl.store import Artifact, Store, make_key
from tests.store.worker import commit

RUNS = [(1, 4.0, 0.25, 3.1), (2, 4.0, 0.1, 2.5), (3, 10.0, None, 9.75), (4, "auto", 0.5, 2.9)]
"""Seed, alpha, distinctive r and composite of four evaluations, oldest first."""


@pytest.fixture
def runs(tmp_path: Path) -> Store:
    store = Store(tmp_path / "artifacts")
    for seed, alpha, r, composite in RUNS:
        document = {
            "stage": "eval",
            "stage_version": 6,
            "params": {"alphas": [alpha]},
            "numerics": {"seed": seed},
            "inputs": {},
        }
        staging = store.stage(make_key(document))
        row = {"condition": "pas", "setting": "", "distinctive_r": r, "composite": composite, "personas": 5}
        staging.write_json("metrics.json", {"conditions": [{"condition": "no-change", "composite": 4.0}, row]})
        commit(staging, document, "builtin", kind="results", stage="eval")
    return store


def invoke(store: Store, *words: str) -> Any:
    return CliRunner().invoke(app, ["store", *words, "--store", str(store.root)])


def composites(store: Store, *words: str) -> list[float]:
    done = invoke(store, "ls", *words, "--json")
    assert done.exit_code == 0, done.stderr
    return [row["figures"]["composite"] for row in json.loads(done.stdout)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [2.9, 9.75, 2.5, 3.1]),
        (["--reverse"], [3.1, 2.5, 9.75, 2.9]),
        (["--sort", "composite"], [2.5, 2.9, 3.1, 9.75]),
        (["--sort", "composite", "--reverse", "--limit", "2"], [9.75, 3.1]),
        (["--sort", "distinctive_r"], [2.5, 3.1, 2.9, 9.75]),  # those without one are last
        (["--sort", "distinctive-r", "--reverse"], [2.9, 3.1, 2.5, 9.75]),
        (["--sort", "alpha"], [2.5, 3.1, 9.75, 2.9]),  # 10 after 4, and texts after numbers
        (["--where", "alpha=4"], [2.5, 3.1]),
        (["--where", "alpha!=4"], [2.9, 9.75]),
        (["--where", "alpha>4"], [2.9, 9.75]),  # "auto" > "4", as texts
        (["--where", "composite<2.9"], [2.5]),
        (["--where", "composite <= 2.9", "--where", "distinctive_r>=0.5"], [2.9]),
        (["--where", "distinctive_r!=0.5"], [9.75, 2.5, 3.1]),
        (["--where", "name~builtin"], [2.9, 9.75, 2.5, 3.1]),
        (["--where", "seed=3"], [9.75]),
        (["--where", "kind=results", "--where", "seed>9"], []),
    ],
)
def test_rows_are_those_for_which_all_holds_in_order(runs: Store, words: list[str], expected: list[float]) -> None:
    assert composites(runs, *words) == expected


def test_csv_has_a_column_for_each_option_and_figure(runs: Store) -> None:
    rows = list(csv.DictReader(io.StringIO(invoke(runs, "ls", "--format", "csv").stdout)))
    assert [(row["alpha"], float(row["composite"]), row["distinctive_r"]) for row in rows] == [
        (f"{alpha:g}" if isinstance(alpha, float) else alpha, composite, "" if r is None else str(r))
        for _, alpha, r, composite in RUNS[::-1]
    ]
    assert {"name", "key", "kind", "model", "bytes", "made", "tags", "seed"} <= rows[0].keys()


def test_markdown_is_a_table_and_json_is_that_of_the_flag(runs: Store) -> None:
    head, rule, *body = invoke(runs, "ls", "--format", "markdown").stdout.splitlines()
    assert {line.count("|") for line in (head, *body)} == {rule.count("|")} == {8}
    assert len(body) == 4
    assert invoke(runs, "ls", "--format", "json").stdout == invoke(runs, "ls", "--json").stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--where", "compsite<3"], "did you mean composite"),
        (["--sort", "sed"], "did you mean seed"),
        (["--where", "composite"], "no condition"),
        (["--where", "=3"], "no condition"),
        (["--format", "xml"], "xml"),
        (["--limit", "0"], "--limit"),
    ],
)
def test_what_nothing_can_be_asked_is_refused(runs: Store, words: list[str], told: str) -> None:
    done = invoke(runs, "ls", *words)
    assert done.exit_code == 2
    assert told in done.stderr
    assert done.stdout == ""


def test_a_condition_has_a_name_a_sign_and_a_value() -> None:
    assert parse_condition("a<=3").sign == "<="
    assert parse_condition("option-order = both ").value == "both"
    assert parse_condition("x~a=b").value == "a=b"
    assert parse_condition("memory-size>1").name == "memory_size"


def test_diff_says_which_options_and_figures_differ(runs: Store) -> None:
    listed = json.loads(invoke(runs, "ls", "--json").stdout)
    a, b = (next(row["name"] for row in listed if row["figures"]["composite"] == value) for value in (2.5, 9.75))
    document = json.loads(invoke(runs, "diff", a, b, "--json").stdout)
    assert {(each["name"], str(each["a"]), str(each["b"])) for each in document["options"]} >= {
        ("alpha", "[4.0]", "[10.0]"),
        ("seed", "2", "3"),
    }
    figures = {each["name"]: (each["a"], each["b"]) for each in document["figures"]}
    assert figures["pas: composite"] == (2.5, 9.75)
    assert figures["pas: distinctive_r"] == (0.1, None)
    assert figures["no-change: composite"] == (4.0, 4.0)
    text = invoke(runs, "diff", a, b).stdout
    assert "+7.25" in text
    same = invoke(runs, "diff", a, a, "--json")
    assert json.loads(same.stdout)["options"] == []


def test_diff_looks_at_what_each_was_made_from(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    found = json.loads(invoke(store, "diff", source.name, probes.name, "--json").stdout)
    assert found["a"]["name"] == source.name
    assert any(each["name"].startswith("activations.") for each in found["options"])


def test_cells_are_safe_wherever_they_go() -> None:
    nasty = "=HYPERLINK(1)|\x1b[31m\n"
    text = written_table(["a"], [[nasty], ["-3.5"], [2.5]], form="csv")
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[1][0].startswith("'=HYPERLINK")
    assert (rows[2], rows[3]) == (["-3.5"], ["2.5"])
    assert "\x1b" not in text
    line = written_table(["a"], [[nasty]], form="markdown").splitlines()[2]
    assert line.count("|") - line.count("\\|") == 2
    assert "\x1b" not in line
