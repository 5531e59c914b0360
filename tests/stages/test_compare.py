"""Comparing results: side by side only what is about the same persons and items, and nothing invented between."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from pasctl.cli.app import app
from pasctl.cli.compare import comparison_table
from pasctl.errors import InputError
from pasctl.models.options import ModelOptions
from pasctl.report.blocks import WIDE
from pasctl.report.sections.comparison import comparison
from pasctl.report.sections.labels import UPPER_BOUND
from pasctl.stages.compare import compare
from pasctl.stages.evaluate import evaluate
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.job import Job, Stage
from pasctl.stages.runner import Artifact, Store, run_job
from pasctl.stages.train_probes import train_probes
from tests.report.drawings import kinds
from tests.report.full import baseline, condition

ITEMS = tuple(f"{trait}{number:02d}" for trait in "OCEAN" for number in range(4))
ROWS = [
    condition("no-change"),
    condition("pas", "4", 3.5),
    condition("pas", "auto", 3.4),
    condition("pas", "oracle", 3.0),
    baseline("constant-3"),
]

Put = Callable[..., Artifact]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def put(store: Store) -> Put:
    """Results of a model, as the stage of evaluations keeps them, of made-up numbers."""

    def make(
        model: str,
        rows: list[dict[str, Any]] | None = None,
        *,
        items: tuple[str, ...] = ITEMS,
        ids: tuple[str, ...] = ("p0", "p1"),
        flipped: bool = False,
        keyed: int = 1,
        columns: int = 2 * len(ITEMS),
        inventory: str | None = None,
        coding: str = "agreement",
        notes: tuple[str, ...] = (),
        kind: str = "results",
        label: str = "made",
    ) -> Artifact:
        agreements = np.random.default_rng(0).integers(1, 6, (len(ids), columns)).astype(float)
        agreements[0, 0] = np.nan
        agreements[-1, -1] = 5.0 if flipped else 1.0
        people = {
            "label": "made",
            "ids": list(ids),
            "agreements": [[None if np.isnan(each) else each for each in row] for row in agreements.tolist()],
            "coding": coding,
        }
        import pyarrow as pa

        table = {
            "item": [item for item in items for _ in ids],
            "persona": list(ids) * len(items),
            "trait": [item[0] for item in items for _ in ids],
            "facet": [f"{item[0]}1" for item in items for _ in ids],
            "key": pa.array([keyed] * (len(items) * len(ids)), pa.int8()),
        }
        payload = {
            "metrics.json": {"coding": coding, "conditions": rows or ROWS, "notes": list(notes)},
            "units.json": {"personas": people, **({"inventory": inventory} if inventory else {})},
            "rows.parquet": pa.table(table),
        }
        job = Job(
            stage=Stage("by-hand", kind, 1),
            model=model,
            label=label,
            params={"model": model, "kind": kind, "rows": len(rows or ROWS), "notes": list(notes)},
            inputs={},
            identity=None,
            numerics={},
            compute=lambda work: payload,
        )
        made = run_job(store, job).artifact
        assert made is not None
        return made

    return make


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_each_model_has_its_own_numbers_and_a_gap_where_it_was_not_asked(put: Put, store: Store) -> None:
    first = put("one")
    second = put("two", [condition("pas", "2", 3.9), condition("pas", "4", 3.7), baseline("constant-3")])
    found = compare([first, second], store=store)
    assert found.names == ("one", "two")
    assert (found.personas, found.items) == (2, len(ITEMS))
    table = {
        (line.first["condition"], line.first["setting"]): [row and row["composite"] for row in line.results]
        for line in found.lines
    }
    assert list(table.items()) == [
        (("no-change", ""), [4.0, None]),
        (("pas", "4"), [3.5, 3.7]),
        (("pas", "auto"), [3.4, None]),
        (("pas", "oracle"), [3.0, None]),
        (("pas", "2"), [None, 3.9]),
        (("constant-3", ""), [3.8, 3.8]),
    ]
    assert found.path is None
    assert found.figures == ()


def test_the_text_has_composites_intervals_and_correlations_under_each_model(put: Put, store: Store) -> None:
    lines = comparison_table(compare([put("one"), put("two", ROWS[:2])], store=store)).splitlines()
    assert lines[0].split() == ["one", "two"]
    assert lines[1].split() == ["condition", *["composite", "95%", "r"] * 2]
    by_name = {line.split()[0]: line.split() for line in lines[2:4]}
    assert by_name["no-change"][1:] == ["4.000", "3.76..4.27", "0.100"] * 2
    assert lines[3].split()[:2] == ["pas", "4"]
    assert lines[4].split() == ["pas", "auto", "3.400", "3.16..3.67", "0.220", "-"]
    assert UPPER_BOUND.replace("α", "alpha") in "\n".join(lines)
    only = comparison_table(compare([put("three", ROWS[:2]), "results/two/made"], store=store))
    assert "oracle" not in only


def test_many_models_are_told_in_several_tables_that_fit_a_terminal(put: Put, store: Store) -> None:
    names = [f"model-{place}-{'x' * 30 if place == 3 else 'small'}" for place in range(6)]
    table = comparison_table(compare([put(name) for name in names], store=store))
    assert max(map(len, table.splitlines())) <= 120
    assert table.count("condition  ") == 2
    for name in names:
        assert name[:20] in table


def test_a_model_that_comes_twice_is_named_by_its_artifact(put: Put, store: Store) -> None:
    found = compare([put("one"), put("one", ROWS[:3], label="other")], store=store)
    assert found.names == ("one/made@v1", "one/other@v1")


def test_notes_are_told_once_if_all_say_them_else_with_the_model(put: Put, store: Store) -> None:
    both, one = "2 personas: no intervals, they need at least 5", "something else"
    found = compare([put("one", notes=(both, one)), put("two", notes=(both,))], store=store)
    assert found.notes == (both, f"one: {one}")


def test_the_page_has_one_table_and_one_figure_and_loads_nothing(put: Put, store: Store, tmp_path: Path) -> None:
    refs = [put(f"model-{place}") for place in range(3)]
    found = compare(refs, tmp_path / "c.html", svg=tmp_path / "f", png=tmp_path / "f", pdf=tmp_path / "f", store=store)
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert found.path == tmp_path / "c.html"
    assert [path.name for path in found.figures] == [
        f"01-comparison-composite.{ending}" for ending in ("svg", "png", "pdf")
    ]
    assert page.count("<figure>") == page.count("<table") == 1
    assert 'id="lineage"' not in page
    assert 'id="made"' not in page
    assert set(re.findall(r"https?://[^\"'<\s]+", page)) == {"http://www.w3.org/2000/svg"}
    assert page.count(UPPER_BOUND) >= 3, "in the lead, the table and the caption"
    svg = found.figures[0].read_text(encoding="utf-8")
    assert UPPER_BOUND in svg
    [drawn] = comparison(found.names, found.lines, (), ()).blocks[1:]
    assert kinds(drawn.draw(WIDE)) == {"told": 3, "steered": 6, "oracle": 3, "baseline": 1}


def test_without_composites_there_is_no_figure_and_the_page_says_why(put: Put, store: Store, tmp_path: Path) -> None:
    rows = [{**condition("no-change"), "composite": None, "composite_interval": None, "mae": {"O": 1.0}}]
    found = compare([put("one", rows), put("two", rows)], tmp_path / "c.html", store=store)
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<figure>" not in page
    assert "No composite: at least one of the traits has no answers." in page
    assert comparison_table(found).splitlines()[2].split() == ["no-change", "-", "0.100", "-", "0.100"]


def test_a_hostile_model_name_is_no_markup(put: Put, store: Store, tmp_path: Path) -> None:
    rows = [condition("<script>alert(1)</script>", option_mass=0.9), baseline("constant-3")]
    compare([put("one", rows), put("two", rows)], tmp_path / "c.html", store=store)
    assert "<script" not in (tmp_path / "c.html").read_text(encoding="utf-8")


OTHERS = {
    "items": ({"items": ITEMS[:-1]}, "different items, 20 and 19, N03 is only in the first"),
    "no common item": ({"items": tuple(f"{item}x" for item in ITEMS)}, "different inventories, no item in common"),
    "keys": ({"keyed": -1}, "different inventories, item O00 is not the same"),
    "length": ({"columns": 41}, "different inventories, of 40 and 41 items"),
    "digest": ({"inventory": "b" * 64}, "different inventories"),
    "personas": ({"ids": ("p0", "p2")}, "different personas, 2 and 2, p1 is only in the first"),
    "more personas": ({"ids": ("p0", "p1", "p2")}, "different personas, 2 and 3, p2 is only in the second"),
    "answers": ({"flipped": True}, "different personas, p1 does not answer alike in both"),
    "coding": ({"coding": "as-published"}, "as agreement and as as-published"),
}


@pytest.mark.parametrize(("changed", "told"), OTHERS.values(), ids=OTHERS)
def test_results_that_are_about_something_else_are_refused_in_one_line(
    put: Put, store: Store, tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    put("one", inventory="a" * 64)
    put("two", **changed)
    done = invoke("results/one", "results/two", "-o", tmp_path / "c.html", "--store", store.root)
    assert done.exit_code == InputError.exit_code
    error, hint = (line for line in done.stderr.splitlines() if not line.startswith("reading"))
    assert error.startswith("error: results/one/made@v1 and results/two/made@v1 do not compare: ")
    assert told in error
    assert hint.startswith("hint: ")
    assert not (tmp_path / "c.html").exists()


def test_personas_in_another_order_are_the_same_personas(put: Put, store: Store) -> None:
    """Ids and answers are compared, not places: here both come in another order."""
    one = put("one", ids=("p0", "p1"))
    units = one.read_json("units.json")["personas"]
    two = put("two", ids=("p1", "p0"))
    assert units["ids"] != two.read_json("units.json")["personas"]["ids"]
    with pytest.raises(InputError, match="p0 does not answer alike"):
        compare([one, two], store=store)


def test_one_result_or_something_else_is_refused(put: Put, store: Store) -> None:
    one = put("one")
    with pytest.raises(InputError, match="two results or more, found only results/one/made@v1"):
        compare([one, "results/one"], store=store)
    with pytest.raises(InputError, match="two results or more, found none"):
        compare([], store=store)
    put("one", kind="probes")
    for ref in ("probes/one", store.resolve("probes/one")):
        with pytest.raises(InputError, match="expected results, found probes"):
            compare([one, ref], store=store)


def test_results_of_two_real_models_are_compared_and_of_other_personas_are_not(
    tiny_folder: Path, other_tiny_folder: Path, store: Store
) -> None:
    def evaluated(model: Path, personas: str) -> Artifact:
        extract(str(model), store=store, options=ModelOptions(dtype="float32"))
        train_probes(personas=personas, store=store)
        fit_directions(top_k=6, store=store)
        modes = "no-change,pas,random-direction"
        made = evaluate(
            modes=modes, alpha="0,2", control_draws=1, neutral_text="none", reading="letters", store=store
        ).artifact
        assert made is not None
        return made

    one, two = (evaluated(folder, "builtin:0-5") for folder in (tiny_folder, other_tiny_folder))
    found = compare([one, two], store=store)
    assert found.names == ("tiny-a", "tiny-b")
    for place, artifact in enumerate((one, two)):
        kept = {
            (row["condition"], row["setting"]): row["composite"]
            for row in artifact.read_json("metrics.json")["conditions"]
        }
        shown = {(line.first["condition"], line.first["setting"]): line.results[place] for line in found.lines}
        assert {name: row and row["composite"] for name, row in shown.items()} == kept
    baselines = [line for line in found.lines if line.first["option_mass"] is None]
    assert len(baselines) > 3
    assert all(line.results[0] == line.results[1] for line in baselines), "a baseline does not depend on the model"
    with pytest.raises(InputError, match=r"different personas, 5 and 4, .* is only in the first"):
        compare([one, evaluated(other_tiny_folder, "builtin:0-4")], store=store)


def test_json_has_every_row_and_names_what_was_written(put: Put, store: Store, tmp_path: Path) -> None:
    put("one")
    put("two", ROWS[:1])
    done = invoke("results/one", "results/two", "-o", tmp_path / "c.html", "--store", store.root, "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["artifacts"] == ["results/one/made@v1", "results/two/made@v1"]
    assert document["path"] == str(tmp_path / "c.html")
    assert [(row["condition"], row["setting"]) for row in document["rows"]] == [
        (row["condition"], row["setting"]) for row in ROWS
    ]
    assert document["rows"][1]["results"] == [
        {"composite": 3.5, "composite_interval": ROWS[1]["composite_interval"], "item_correlation": 0.9 - 3.5 / 5},
        None,
    ]
