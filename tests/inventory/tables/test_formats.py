"""The same people in workbooks and in files of SPSS, Stata, SAS and Arrow."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import PersonaSet, builtin_inventory, load_personas, open_personas, simulate
from pasctl.inventory.persona_file import PersonaFile
from pasctl.inventory.tables import binary_table, large
from pasctl.inventory.tables.read import read_table
from tests.inventory.papi_files import write_xlsx

INVENTORY = builtin_inventory()
IDS = list(INVENTORY.position)
pyreadstat = pytest.importorskip("pyreadstat")
LABELS = {float(s): label for s, label in zip(INVENTORY.scale.scores, INVENTORY.scale.labels, strict=True)}
AGES = [20.0 + n for n in range(24)]


@pytest.fixture(scope="module")
def people() -> PersonaSet:
    answers = simulate(INVENTORY).agreements[:24].copy()
    answers[3, 5] = answers[7, :4] = np.nan
    return PersonaSet("people", tuple(f"s{n:02d}" for n in range(24)), answers)


def frame(people: PersonaSet, values: np.ndarray | None = None) -> pd.DataFrame:
    data = pd.DataFrame(people.agreements if values is None else values, columns=IDS)
    data.insert(0, "id", list(people.ids))
    return data.assign(age=AGES)


def xlsx(people: PersonaSet, path: Path) -> None:
    rows = frame(people).to_numpy().tolist()
    cells = [["" if isinstance(cell, float) and np.isnan(cell) else cell for cell in row] for row in rows]
    write_xlsx(path, [["id", *IDS, "age"], *cells])


def labelled_from_ten(people: PersonaSet) -> tuple[pd.DataFrame, dict[str, dict[float, str]]]:
    """Values 10, 20, .. whose meaning the file alone says."""
    labels = {10 * score: label for score, label in LABELS.items()}
    return frame(people, people.agreements * 10), dict.fromkeys(IDS, labels)


def sav_with_labels(people: PersonaSet, path: Path) -> None:
    data, labels = labelled_from_ten(people)
    pyreadstat.write_sav(data, str(path), variable_value_labels=labels)


def dta_with_labels(people: PersonaSet, path: Path) -> None:
    data, labels = labelled_from_ten(people)
    pyreadstat.write_dta(data, str(path), variable_value_labels=labels)


def sav_the_other_way(people: PersonaSet, path: Path) -> None:
    """1 stands for the label that scores 5: the numbers alone would be read upside down."""
    labels = {6 - score: label for score, label in LABELS.items()}
    pyreadstat.write_sav(
        frame(people, 6 - people.agreements), str(path), variable_value_labels=dict.fromkeys(IDS, labels)
    )


def sav_with_missing(people: PersonaSet, path: Path) -> None:
    """8 is declared missing, and 7 is labelled so."""
    values = people.agreements.copy()
    values[3, 5], values[7, :4] = 8, 7
    labels = LABELS | {7.0: "Don't know"}
    ranges = {item: [{"lo": 8, "hi": 8}] for item in IDS}
    pyreadstat.write_sav(
        frame(people, values), str(path), missing_ranges=ranges, variable_value_labels=dict.fromkeys(IDS, labels)
    )


def parquet_of_labels(people: PersonaSet, path: Path) -> None:
    text = [[None if np.isnan(v) else LABELS[v] for v in row] for row in people.agreements.T]
    columns = [pa.array(column).dictionary_encode() for column in text]
    pq.write_table(pa.table([pa.array(people.ids), *columns, pa.array(AGES)], names=["id", *IDS, "age"]), path)


FORMATS: dict[str, Callable[[PersonaSet, Path], Any]] = {
    "people.xlsx": xlsx,
    "people.sav": lambda people, path: pyreadstat.write_sav(frame(people), str(path)),
    "people.dta": lambda people, path: pyreadstat.write_dta(frame(people), str(path)),
    "people.xpt": lambda people, path: pyreadstat.write_xport(frame(people), str(path), table_name="people"),
    "labels.sav": sav_with_labels,
    "labels.dta": dta_with_labels,
    "other.sav": sav_the_other_way,
    "missing.sav": sav_with_missing,
    "people.feather": lambda people, path: feather.write_feather(pa.Table.from_pandas(frame(people)), path),
    "people.parquet": lambda people, path: frame(people).to_parquet(path),
    "labels.parquet": parquet_of_labels,
}


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_people_in_every_format(tmp_path: Path, people: PersonaSet, name: str) -> None:
    FORMATS[name](people, tmp_path / name)
    lines: list[str] = []
    assert load_personas(str(tmp_path / name), INVENTORY, note=lines.append).digest == people.digest
    assert any("not read: age" in line for line in lines)
    assert load_personas(f"{tmp_path / name}:where=age>=40", INVENTORY).ids == people.ids[20:]


@pytest.mark.parametrize("name", ["people.xlsx", "people.sav", "people.feather"])
def test_a_mutated_file_is_one_line_or_read(tmp_path: Path, people: PersonaSet, name: str) -> None:
    FORMATS[name](people, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    draw = random.Random(name)
    broken = [content[: len(content) // 2]]
    for _ in range(1):
        bytes_of = bytearray(content)
        for place in draw.sample(range(len(content)), 30):
            bytes_of[place] = draw.randrange(256)
        broken.append(bytes(bytes_of))
    for content in broken:
        (tmp_path / name).write_bytes(content)
        with suppress(InputError):  # its message is a line
            load_personas(str(tmp_path / name), INVENTORY)


def test_what_is_not_there(tmp_path: Path, people: PersonaSet, monkeypatch: pytest.MonkeyPatch) -> None:
    for ending in (".xlsx", ".sav", ".feather", ".csv"):
        with pytest.raises(MissingError, match="does not exist"):
            read_table(tmp_path / f"nobody{ending}", INVENTORY)
    FORMATS["people.sav"](people, tmp_path / "people.sav")
    monkeypatch.setattr(binary_table, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="needs the package pyreadstat") as caught:
        read_table(tmp_path / "people.sav", INVENTORY)
    assert caught.value.hint == "pip install 'pasctl[tables]'"


# ----- what is too large for memory


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, PersonaSet]:
    """More people than a selection may have in memory, in a file that counts as large."""
    monkeypatch.setattr(large, "LARGE", {})
    rng = np.random.default_rng(0)
    base = simulate(INVENTORY).agreements
    values = base[rng.integers(0, len(base), 2500)]
    values[rng.random(values.shape) < 0.02] = np.nan
    people = PersonaSet("many", tuple(f"p{n}" for n in range(2500)), values)
    data = pd.DataFrame(values, columns=IDS).astype("Int64").astype(object).where(lambda cells: cells.notna(), -99)
    data.insert(0, "ResponseId", list(people.ids))
    data.assign(country=["DE", "AT", "CH", "FR", "IT"] * 500).to_csv(tmp_path / "many.csv", sep=";", index=False)
    return tmp_path / "many.csv", people


def test_a_large_table_is_read_as_a_small_one(many: tuple[Path, PersonaSet], monkeypatch: pytest.MonkeyPatch) -> None:
    path, people = many
    small: list[str] = []
    assert load_personas(str(path), INVENTORY, note=small.append).digest == people.digest
    monkeypatch.setattr("pasctl.inventory.respondents.LARGE", {".csv": 1000})
    lines: list[str] = []
    opened = open_personas(str(path), INVENTORY, note=lines.append)
    assert isinstance(opened, PersonaFile)
    assert (opened.digest, opened.label, lines) == (people.digest, people.label, small)
    german = open_personas(f"{path}:where=country=DE|AT:5-8", INVENTORY)
    assert next(german.parts([(0, 3)])).ids == ("p11", "p15", "p16")
    assert load_personas(f"{path}:where=country=DE:case=p10", INVENTORY).ids == ("p10",)


def test_errors_of_a_large_table_name_it(many: tuple[Path, PersonaSet], monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = many
    monkeypatch.setattr("pasctl.inventory.respondents.LARGE", {".csv": 1000})
    with pytest.raises(InputError, match="nobody of 2500"):
        open_personas(f"{path}:where=country=US", INVENTORY)
    path.write_text(path.read_text().replace("p2400;", "p7;"))
    with pytest.raises(InputError, match=r"many\.csv: persona names must be unique, found more than once: p7"):
        open_personas(f"{path}", INVENTORY)


def test_a_feather_file_that_points_out_of_itself_is_one_line(tmp_path: Path) -> None:
    """Arrow files are read where they lie in memory: an offset that is not looked at is followed anywhere."""
    path = tmp_path / "people.feather"
    table = pa.table({"id": ["ada", "bob", "eve"], IDS[0]: [1, 2, 3]})
    feather.write_feather(table, str(path), compression="uncompressed")
    offsets = np.array([0, 3, 6, 9], dtype=np.int32)
    whole = path.read_bytes()
    assert whole.count(offsets.tobytes()) == 1
    path.write_bytes(whole.replace(offsets.tobytes(), np.array([0, 3, 6, 1 << 30], dtype=np.int32).tobytes()))
    with pytest.raises(InputError, match=r"people\.feather: not readable as Feather"):
        read_table(path, INVENTORY)


@pytest.mark.parametrize("name", ["people.parquet", "people.feather"])
def test_a_small_file_of_very_many_rows_is_one_line(tmp_path: Path, name: str) -> None:
    """A column that says the same in all rows takes next to no room, and all memory as text."""
    count = 6_000_000
    columns = {IDS[0]: pa.array(np.ones(count, dtype=np.int8)), "note": pa.array(np.zeros(count, dtype=np.int8))}
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.table(columns), path, compression="zstd")
    else:
        feather.write_feather(pa.table(columns), str(path), compression="zstd")
    assert path.stat().st_size < 50_000
    with pytest.raises(InputError, match=rf"{name}: not readable as .* rows in a file of"):
        load_personas(str(path), INVENTORY)
