"""Exports of survey services, whose headers have several rows and whose columns say more than the answers."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import PersonaSet, builtin_inventory, read_answers, simulate
from pasctl.inventory.tables.read import read_table
from pasctl.inventory.tables.table_map import map_of
from tests.inventory.papi_files import write_xlsx

INVENTORY = builtin_inventory()
LABELS = dict(zip(INVENTORY.scale.scores, INVENTORY.scale.labels, strict=True))


@pytest.fixture(scope="module")
def people() -> PersonaSet:
    answers = simulate(INVENTORY).agreements[:24].copy()
    answers[7, :4] = np.nan
    return PersonaSet("people", tuple(f"R_{n:02d}" for n in range(24)), answers)


def cells(people: PersonaSet, *, labels: bool = False) -> list[list[str]]:
    return [["" if np.isnan(v) else LABELS[int(v)] if labels else f"{v:g}" for v in row] for row in people.agreements]


def text_of(rows: list[list[str]], separator: str = ",") -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator).writerows(rows)
    return stream.getvalue()


def imported(name: str) -> str:
    return f'{{"ImportId":"{name}"}}'


def qualtrics(people: PersonaSet, *, labels: bool) -> list[list[str]]:
    columns = [f"Q3_{n}" for n in range(1, 61)]
    texts = [f"Please rate how well each statement describes you. - {item.text}" for item in INVENTORY.items]
    ids = [f"QID3_{n}" for n in range(1, 61)]
    rows = [
        ["StartDate", "Status", "ResponseId", *columns, "Q4"],
        ["Start Date", "Response Type", "Response ID", *texts, "How old\nare you?"],
        ['{"ImportId":"startDate","timeZone":"America/Denver"}', *map(imported, ["status", "_recordId", *ids, "QID4"])],
    ]
    body = zip(people.ids, cells(people, labels=labels), strict=True)
    return rows + [["2024-01-02 03:04:05", "IP Address", name, *row, "31"] for name, row in body]


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("separator", [",", "\t"])
def test_qualtrics(tmp_path: Path, people: PersonaSet, labels: bool, separator: str) -> None:
    encoding = "utf-16" if separator == "\t" else "utf-8-sig"
    (tmp_path / "people.csv").write_text(text_of(qualtrics(people, labels=labels), separator), encoding=encoding)
    answers = read_table(tmp_path / "people.csv", INVENTORY)
    assert answers.personas.digest == people.digest
    assert answers.reading.items_by == "text"
    assert "3 rows" in answers.reading.lines()[0]
    assert answers.attributes["Status"][0] == "IP Address"


def test_qualtrics_in_another_order_goes_by_the_texts(tmp_path: Path, people: PersonaSet) -> None:
    """Q3_1 is not the inventory's first item: by order it would be read wrong."""
    rows = qualtrics(people, labels=False)
    turned = [[*row[:3], *row[3:-1][::-1], row[-1]] for row in rows[1:]]
    (tmp_path / "people.csv").write_text(text_of([rows[0], *turned]))
    assert read_answers(tmp_path / "people.csv", INVENTORY).digest == people.digest


def test_qualtrics_in_a_workbook(tmp_path: Path, people: PersonaSet) -> None:
    write_xlsx(tmp_path / "people.xlsx", qualtrics(people, labels=True))
    assert read_answers(tmp_path / "people.xlsx", INVENTORY).digest == people.digest


@pytest.mark.parametrize(
    "heading", ["G2Q1[{id}]", "G2Q1_{id}", "{id}. {text}", "G2Q1. How true is it? [{text}]", "{text}"]
)
def test_limesurvey(tmp_path: Path, people: PersonaSet, heading: str) -> None:
    columns = [heading.replace("{id}", item.id).replace("{text}", item.text) for item in INVENTORY.items]
    rows = [["Response ID", "Date submitted", "Start language", *columns]]
    rows += [[name, "2024", "de", *row] for name, row in zip(people.ids, cells(people, labels=True), strict=True)]
    (tmp_path / "people.csv").write_text(text_of(rows, ";"))
    assert read_answers(tmp_path / "people.csv", INVENTORY).digest == people.digest


def test_answer_codes_of_limesurvey_need_a_scale(tmp_path: Path, people: PersonaSet) -> None:
    """A1 is the first option, which may be full agreement or none."""
    coded = [[f"A{6 - int(v)}" if v else "" for v in row] for row in cells(people)]
    rows = [["id", *INVENTORY.position], *([name, *row] for name, row in zip(people.ids, coded, strict=True))]
    (tmp_path / "people.csv").write_text(text_of(rows))
    with pytest.raises(InputError, match=r"found 'A[1-5]'") as caught:
        read_answers(tmp_path / "people.csv", INVENTORY)
    assert "--map FILE" in str(caught.value.hint)
    said = map_of({"scale": {f"A{n}": 6 - n for n in range(1, 6)}}, INVENTORY)
    assert read_answers(tmp_path / "people.csv", INVENTORY, said=said).digest == people.digest


def redcap(people: PersonaSet, names: list[str]) -> str:
    columns = ["record_id", "redcap_event_name", *(item.lower() for item in INVENTORY.position), "big_five_complete"]
    rows = [[name, "baseline_arm_1", *row, "2"] for name, row in zip(names, cells(people), strict=True)]
    return text_of([columns, *rows])


def test_redcap(tmp_path: Path, people: PersonaSet) -> None:
    (tmp_path / "people.csv").write_text(redcap(people, list(people.ids)))
    assert read_answers(tmp_path / "people.csv", INVENTORY).digest == people.digest
    (tmp_path / "people.csv").write_text(redcap(people, ["1", "1", *people.ids[2:]]))
    with pytest.raises(
        InputError, match="column 'record_id' seems to name the respondents, but '1' is in several rows"
    ):
        read_answers(tmp_path / "people.csv", INVENTORY)
    said = map_of({"id": None}, INVENTORY)
    assert read_answers(tmp_path / "people.csv", INVENTORY, said=said).ids[:2] == ("r1", "r2")


def test_lines_of_digits(tmp_path: Path, people: PersonaSet) -> None:
    """As Johnson's files: what is known of a person, then a digit per item, 0 where it is missing."""
    lines = [
        f"{n:>6}{1 + n % 2}{20 + n}   Germany " + "".join("0" if np.isnan(v) else f"{v:g}" for v in row)
        for n, row in enumerate(people.agreements, 1)
    ]
    (tmp_path / "people.dat").write_text("\n".join(lines) + "\n")
    answers = read_table(tmp_path / "people.dat", INVENTORY)
    assert np.array_equal(answers.personas.agreements, people.agreements, equal_nan=True)
    assert "the last 60 characters of each line are the items" in answers.reading.lines()[0]
    (tmp_path / "people.dat").write_text("\n".join(line.replace(" ", "0").replace("Germany", "") for line in lines))
    with pytest.raises(InputError, match="line 1: names of columns are expected") as caught:
        read_table(tmp_path / "people.dat", INVENTORY)
    assert "--map which characters are which column (fixed" in str(caught.value.hint)
