"""Results that are handed on: who has them computes nothing, and goes on as if they had been made there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from tests.store.trees import digests

pytestmark = pytest.mark.integration


def run(store: Path, *words: str) -> Any:
    result = CliRunner().invoke(app, [*words, "--store", str(store), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("way", ["bundle", "remote"])
def test_a_stage_finds_what_has_arrived(tmp_path: Path, way: str) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    stages = (["extract", "--model", "demo"], ["train-probes", "--permutations", "0"])
    made = [run(here, *words) for words in stages]
    if way == "bundle":
        run(here, "store", "export", "latest", "--with-inputs", "--output", str(tmp_path / "b.tar.zst"))
        run(there, "store", "import", str(tmp_path / "b.tar.zst"))
    else:
        run(here, "store", "push", "latest", "--remote", str(tmp_path / "remote"))
        run(there, "store", "pull", "latest", "--remote", str(tmp_path / "remote"))
    again = [run(there, *words) for words in stages]
    assert [each["reused"] for each in made] == [False, False]
    assert [each["reused"] for each in again] == [True, True]
    assert [each["key"] for each in again] == [each["key"] for each in made]
    assert digests(there / "objects") == digests(here / "objects")
    seeded = [run(place, "train-probes", "--permutations", "0", "--seed", "1") for place in (here, there)]
    assert seeded[0]["key"] == seeded[1]["key"]
    assert [each["name"] for each in seeded] == [seeded[0]["name"]] * 2  # the label says the seed in both
    assert "seed-1" in seeded[0]["name"]
