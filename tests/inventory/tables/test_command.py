"""`--map` on the command line, and what a manifest keeps of how personas were read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.errors import InputError
from pasctl.inventory import builtin_inventory, load_personas, simulate
from pasctl.inventory.notes import Noted
from pasctl.inventory.respondents import reading_of_file
from tests.inventory.answer_files import as_json, as_wide_tsv

INVENTORY = builtin_inventory()


def test_a_map_makes_another_scale_the_same_people(tmp_path: Path) -> None:
    values = simulate(INVENTORY).agreements[:24].copy()
    values[values == 3] = 2
    right = as_json(tmp_path, values, INVENTORY)
    (tmp_path / "four").mkdir()
    four = as_wide_tsv(tmp_path / "four", values - (values > 3), INVENTORY)
    (tmp_path / "map.yaml").write_text("scale: {1: 1, 2: 2, 3: 4, 4: 5}\n")
    command = ["data", "baselines", "--json"]
    expected = CliRunner().invoke(app, [*command, right])
    found = CliRunner().invoke(app, [*command, four, "--map", str(tmp_path / "map.yaml")])
    assert (expected.exit_code, found.exit_code) == (0, 0), found.output
    assert json.loads(found.stdout)["conditions"] == json.loads(expected.stdout)["conditions"]
    refused = CliRunner().invoke(app, [*command, "E+", "--map", str(tmp_path / "map.yaml")])
    assert refused.exit_code == 2


def test_data_check_shows_what_was_understood(tmp_path: Path) -> None:
    keyed = INVENTORY.keyed(simulate(INVENTORY).agreements[:24])
    path = as_wide_tsv(tmp_path, keyed, INVENTORY)
    (tmp_path / "map.yaml").write_text("keyed: true\n")
    command = ["data", "check", "builtin", "--personas", path, "--map", str(tmp_path / "map.yaml")]
    found = CliRunner().invoke(app, command)
    assert found.exit_code == 0, found.output
    assert "column        id: id, 24 values" in found.stdout
    assert "column        E03: item E03" in found.stdout
    assert "coding        keyed" in found.stdout
    document = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert (document["reading"]["layout"], document["reading"]["items"]) == ("wide", 60)


def test_a_manifest_keeps_the_map_and_what_was_said(tmp_path: Path) -> None:
    lines: list[str] = []
    notes = Noted(lines.append)
    (tmp_path / "people.csv").write_text("ResponseId;E01;E02\na;1;5\nb;5;-9\n")
    load_personas(str(tmp_path / "people.csv"), INVENTORY, note=notes)
    kept = notes.provenance("map.yaml")
    assert kept == {"map_file": "map.yaml", "personas_read": lines}
    assert "'-9' (1)" in lines[0]
    assert Noted(lines.append).provenance(None) == {}


def test_what_is_understood_of_a_file_without_reading_on(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("ResponseId;e1;E02\na;1;5\nb;5;-9\n")
    reading = reading_of_file(f"{tmp_path / 'people.csv'}:0-1", INVENTORY)
    assert json.loads(json.dumps(reading.to_json()))["missing_codes"] == {"-9": 1}
    assert [(column.column, column.item) for column in reading.columns] == [
        ("ResponseId", ""),
        ("e1", "E01"),
        ("E02", "E02"),
    ]
    with pytest.raises(InputError, match="a file of answers is expected"):
        reading_of_file("builtin", INVENTORY)
