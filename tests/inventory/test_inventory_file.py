"""Inventory files: every format gives the same inventory, and what could be read wrongly is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import (
    Inventory,
    absolute_spec,
    builtin_inventory,
    default_personas,
    load_inventory,
    personality_prompt,
    question,
    trait_poles,
)
from pasctl.inventory.inventory_file import MOST_BYTES
from tests.inventory.instruments import INSTRUMENTS, write_instrument
from tests.inventory.workbook import write_workbook

ROWS: list[dict[str, Any]] = [
    {"id": "M1", "text": 'I keep what I know, "for later".', "trait": "Mach", "key": 1, "facet": "plans"},
    {"id": "M2", "text": "I tell others what I am up to.", "trait": "Mach", "key": -1, "facet": "plans", "weight": 2},
    {"id": "N1", "text": "I like to be looked at.", "trait": "Narc", "key": 1, "split": "fit"},
    {"id": "N2", "text": "I would rather not be in the picture.", "trait": "Narc", "key": -1, "split": "report"},
]
COLUMNS = ("id", "text", "trait", "key", "facet", "split", "weight")
LABELS = ("Never", "Now and then", "Always")


def read(path: Path, text: str) -> Inventory:
    path.write_text(text, encoding="utf-8")
    return load_inventory(str(path))


def table(mark: str, rows: list[dict[str, Any]] | None = None) -> str:
    def quoted(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"'

    lines = [mark.join(COLUMNS)]
    lines += [mark.join(quoted(row.get(name, "")) for name in COLUMNS) for row in rows or ROWS]
    return "\n".join(lines) + "\n"


def test_the_formats_agree(tmp_path: Path) -> None:
    document = {"name": "dark", "scale": list(LABELS), "traits": {"Mach": "Schemer", "Narc": "Narc"}, "items": ROWS}
    comments = f"# name: dark\n# scale: {' | '.join(LABELS)}\n# trait Mach: Schemer\n# trait Narc: Narc\n"
    sheets = {
        "Items": [list(COLUMNS), *([row.get(name, "") for name in COLUMNS] for row in ROWS)],
        "Settings": [["name", "dark"]],
        "scale": [["score", "label"], *([score, label] for score, label in enumerate(LABELS, 1))],
        "traits": [["code", "name"], ["Mach", "Schemer"], ["Narc", ""]],
    }
    write_workbook(tmp_path / "w.xlsx", sheets)
    yaml = "\n".join(
        [
            "name: dark",
            "scale: [Never, Now and then, Always]",
            "traits:\n  Mach: Schemer\n  Narc:",
            "items:",
            *(f"- {json.dumps(row)}" for row in ROWS),
        ]
    )
    made = [
        read(tmp_path / "a.yaml", yaml),
        read(tmp_path / "a.json", json.dumps(document)),
        read(tmp_path / "tabs.json", json.dumps(document, indent="\t")),
        read(tmp_path / "a.csv", comments + table(",")),
        read(tmp_path / "semicolons.csv", "\ufeff" + comments + table(";")),
        read(tmp_path / "a.tsv", comments + table("\t")),
        load_inventory(str(tmp_path / "w.xlsx")),
    ]
    assert len({inventory.digest for inventory in made}) == 1
    assert all(inventory == made[0] for inventory in made)
    first = made[0]
    assert (first.scale.labels, first.scale.scores) == (LABELS[::-1], (3, 2, 1))
    assert [(item.key, item.weight, item.facet) for item in first.items] == [
        *((1, 1.0, "plans"), (-1, 2.0, "plans")),
        *((1, 1.0, "Narc"), (-1, 1.0, "Narc")),
    ]
    assert [trait.name for trait in first.known_traits] == ["Schemer", "Narc"]


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_an_instrument_is_read(name: str, tmp_path: Path) -> None:
    inventory = load_inventory(str(write_instrument(tmp_path, name)))
    assert inventory.name == name
    assert Inventory.from_json(json.loads(json.dumps(inventory.to_json()))) == inventory
    fit, report = inventory.indices("fit"), inventory.indices("report")
    assert abs(len(fit) - len(report)) <= 1
    for trait in inventory.trait_codes:  # both halves have items of both keys where there are enough
        for half in (fit, report):
            keys = {inventory.items[column].key for column in half if inventory.items[column].trait == trait}
            assert keys == ({1} if inventory.items[half[0]].scenario else {1, -1}) or name == "mixed-scales"
    pole = trait_poles(f"{inventory.known_traits[-1].name}-", inventory).agreements[0]
    assert np.array_equal(np.nanmin(inventory.keyed(pole)), inventory.low[~np.isnan(pole)].min())
    text = personality_prompt(inventory, pole, inventory.indices("all"))
    assert "you" not in text.replace("This is who you are.", "").split() or inventory.wording.english
    assert inventory.items[0].text in question(inventory.items[0], inventory)


def test_end_labels_and_scores_from_zero(tmp_path: Path) -> None:
    seven = load_inventory(str(write_instrument(tmp_path, "six-traits-of-seven-ends")))
    assert seven.labels == ("7 (Completely true)", "6", "5", "4", "3", "2", "1 (Not at all true)")
    eleven = load_inventory(str(write_instrument(tmp_path, "one-trait-from-0-to-10")))
    assert (eleven.scale.high, eleven.scale.low, eleven.scale.labels[-1]) == (10, 0, "0 (never)")
    assert "10. 10 (always)" in question(eleven.items[0], eleven)


def test_options_of_a_scenario_score_as_the_file_says(tmp_path: Path) -> None:
    inventory = load_inventory(str(write_instrument(tmp_path, "scenarios")))
    first = inventory.items[0]
    assert first.scenario
    assert first.scale is not None
    assert first.scale.scores == (3, 2, 1, 1)
    assert first.scale.label_of(3).startswith("I begin")
    line = '# language: en\nid,text,trait,key,options\nS1,A friend calls.,Warm,,"I hang up = 1 | I talk = 2"\n'
    row = read(tmp_path / "s.csv", line).items[0]
    assert (row.scale.labels, row.scale.scores, row.key) == (("I talk", "I hang up"), (2, 1), 1)  # type: ignore[union-attr]


def test_words_that_yaml_takes_for_other_things_stay_words(tmp_path: Path) -> None:
    text = (
        "language: no\nscale: [No, Yes]\nitems:\n"
        "  - {id: 007, text: off, trait: N, key: +1, facet: on}\n  - {id: 1e3, text: null point, trait: Y, key: R}\n"
    )
    inventory = read(tmp_path / "odd.yaml", text)
    assert inventory.labels == ("Yes", "No")
    assert inventory.wording.language == "no"
    assert [(item.id, item.text, item.trait) for item in inventory.items] == [
        ("007", "off", "N"),
        ("1e3", "null point", "Y"),
    ]


def test_a_missing_split_depends_on_ids_and_seed_alone(tmp_path: Path) -> None:
    rows = [
        {"id": f"{trait}{number}", "text": "I am here.", "trait": trait, "key": key}
        for trait, count in (("A", 7), ("B", 4), ("C", 1), ("D", 2))
        for key in (1, -1)
        for number in range(key, key * (count + 1), key)
    ]
    head = {"scale": ["No", "Yes"], "language": "en"}

    def split(order: list[dict[str, Any]], **more: object) -> dict[str, str]:
        inventory = read(tmp_path / "s.json", json.dumps({**head, **more, "items": order}))
        return {item.id: item.split for item in inventory.items}

    first = split(rows)
    shuffled = [rows[place] for place in np.random.default_rng(1).permutation(len(rows))]
    assert split(shuffled) == first
    assert split(rows, seed=1) != first
    for trait in "ABCD":
        for key in (1, -1):
            sides = [first[row["id"]] for row in rows if (row["trait"], row["key"]) == (trait, key)]
            assert abs(sides.count("fit") - sides.count("report")) <= 1
        sides = [side for name, side in first.items() if name.startswith(trait)]
        assert sides.count("fit") == sides.count("report")
    given = [row | ({"split": "report"} if row["id"] in ("A1", "A2") else {}) for row in rows]
    kept = split(given)
    assert (kept["A1"], kept["A2"]) == ("report", "report")


def test_accuracy_labels_are_asked_as_the_built_in_inventory_is(tmp_path: Path) -> None:
    rows = [
        {"id": i.id, "text": i.text, "trait": i.trait, "key": i.key, "split": i.split}
        for i in builtin_inventory().items
    ]
    up = list(reversed(builtin_inventory().labels))
    made = read(tmp_path / "b.json", json.dumps({"name": "builtin", "scale": up, "items": rows}))
    assert made.wording == builtin_inventory().wording
    assert made.known_traits == builtin_inventory().known_traits
    assert replace(made, items=builtin_inventory().items).digest == builtin_inventory().digest
    other = read(tmp_path / "c.json", json.dumps({"scale": ["Disagree", "Agree"], "items": rows}))
    assert "accura" not in question(other.items[0], other) + personality_prompt(
        other, np.where(np.isnan(trait_poles("E+", other).agreements[0]), np.nan, 2.0), other.indices("all")
    )


def test_a_table_without_a_scale_is_noted(tmp_path: Path) -> None:
    (tmp_path / "sd3.csv").write_text(table(","), encoding="utf-8")
    notes: list[str] = []
    inventory = load_inventory(str(tmp_path / "sd3.csv"), notes.append)
    assert inventory.labels[0] == "Strongly agree"
    assert [("names no scale" in note, "# scale:" in note) for note in notes] == [(True, True)]
    (tmp_path / "a.csv").write_text("# points: 4\n# low: No\n# high: Yes\n" + table(","), encoding="utf-8")
    assert len(load_inventory(str(tmp_path / "a.csv"), notes.append).labels) == 4
    assert len(notes) == 1


def test_a_file_is_the_same_from_any_folder_and_has_no_respondents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_instrument(tmp_path, "german")
    monkeypatch.chdir(tmp_path)
    assert absolute_spec("german.yaml") == str(path)
    assert absolute_spec("papi:PAPI") == f"papi:{tmp_path / 'PAPI'}"
    assert [absolute_spec(spec) for spec in ("builtin", "papi")] == ["builtin", "papi"]
    assert load_inventory("german.yaml").digest == load_inventory(str(path)).digest
    with pytest.raises(InputError, match="no respondents of its own") as caught:
        default_personas("german.yaml")
    assert "--personas" in str(caught.value.hint)


def test_norms_are_read_by_trait_and_group(tmp_path: Path) -> None:
    norms = load_inventory(str(write_instrument(tmp_path, "weights-and-norms"))).norms
    assert norms.groups == ["", "old"]
    old = norms.of("Maps", "old")
    assert old is not None
    assert (old.mean, old.sd, old.n) == (3.5, 0.7, 400)
    assert norms.correlations == (("Garden", "Music", 0.3), ("Music", "Maps", -0.2))


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"gone\.yaml does not exist"):
        load_inventory(str(tmp_path / "gone.yaml"))
    with pytest.raises(InputError, match="cannot be read"):
        load_inventory(str(_folder(tmp_path / "folder.yaml")))
    (tmp_path / "device.yaml").symlink_to("/dev/zero")
    with pytest.raises(InputError, match="is a device"):
        load_inventory(str(tmp_path / "device.yaml"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(InputError, match="at most 4 MiB"):
        load_inventory(str(tmp_path / "big.yaml"))
    for name, text in (
        ("many.yaml", "a: [" + "1," * 400_000 + "]"),
        ("many.json", '{"a": [' + "1," * 400_000 + "1]}"),
        ("many.csv", "id\n" * 30_000),
    ):
        with pytest.raises(InputError, match=r"expected at most .* found more"):
            read(tmp_path / name, text)
    (tmp_path / "latin.csv").write_bytes("id,text,trait,key\n1,Ich bin müde.,A,1\n".encode("latin-1"))
    with pytest.raises(InputError, match="expected UTF-8 text, found byte 0xfc"):
        load_inventory(str(tmp_path / "latin.csv"))
    (tmp_path / "no.xlsx").write_bytes(b"PK\x03\x04 no workbook")
    with pytest.raises(InputError, match="not a readable workbook"):
        load_inventory(str(tmp_path / "no.xlsx"))


def _folder(path: Path) -> Path:
    path.mkdir()
    return path
