from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import builtin_inventory, default_personas, load_inventory, load_personas

BUILTIN = builtin_inventory()


def test_builtin_and_its_respondents() -> None:
    assert load_inventory("builtin").digest == BUILTIN.digest
    personas = load_personas("builtin", BUILTIN)
    assert (personas.label, len(personas)) == ("builtin", 50)


def test_range_is_half_open_and_counts_from_zero(small_papi: Path) -> None:
    spec = f"papi:{small_papi}"
    inventory = load_inventory(spec)
    everyone = load_personas(spec, inventory)
    assert load_personas(f"{spec}:0-20", inventory).ids == everyone.ids[:20]
    assert load_personas(f"{spec}:59", inventory).ids == everyone.ids[59:]
    assert load_personas(f"{spec}:0-{len(everyone)}", inventory).digest == everyone.digest


@pytest.mark.parametrize(
    ("select", "ids"),
    [
        ("case=1005", ["1005"]),
        ("case=1005,1001", ["1005", "1001"]),
        ("0-2|case=1005,1007", ["1000", "1001", "1005", "1007"]),
        ("case=1005,0-2,1007", ["1005", "1000", "1001", "1007"]),
        ("3,1", ["1003", "1001"]),
        ("case=1005|3", ["1005", "1003"]),
        ("0-3,1-4", ["1000", "1001", "1002", "1003"]),
    ],
)
def test_selections(small_papi: Path, select: str, ids: list[str]) -> None:
    spec = f"papi:{small_papi}"
    personas = load_personas(f"{spec}:{select}", load_inventory(spec))
    assert list(personas.ids) == ids
    assert personas.label == "papi"


def test_selected_people_keep_the_answers_that_the_whole_file_proves(small_papi: Path) -> None:
    """Three respondents could not prove a coding; the selection comes after the proof."""
    spec = f"papi:{small_papi}"
    inventory = load_inventory(spec)
    few, everyone = load_personas(f"{spec}:0-3", inventory), load_personas(spec, inventory)
    assert np.array_equal(few.agreements, everyone.agreements[:3])


def test_a_path_may_contain_colons(small_papi: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a:b" / "c:0-x"
    shutil.copytree(small_papi, odd)
    inventory = load_inventory(f"papi:{odd}")
    assert len(load_personas(f"papi:{odd}", inventory)) == 60
    assert len(load_personas(f"papi:{odd}:0-5", inventory)) == 5


@pytest.mark.parametrize("select", ["0-61", "60", "5-5", "7-3"])
def test_out_of_range_says_how_many_there_are(small_papi: Path, select: str) -> None:
    spec = f"papi:{small_papi}"
    with pytest.raises(InputError, match="60 available"):
        load_personas(f"{spec}:{select}", load_inventory(spec))


def test_unknown_case_suggests_a_near_one() -> None:
    with pytest.raises(InputError, match="no case s7 among 50") as caught:
        load_personas("builtin:case=s7", BUILTIN)
    assert "s" in str(caught.value.hint)
    assert load_personas("builtin:case=s07", BUILTIN).ids == ("s07",)


def test_poles_fit_any_inventory(small_papi: Path) -> None:
    for inventory in (BUILTIN, load_inventory(f"papi:{small_papi}")):
        personas = load_personas("E+,N-", inventory)
        assert personas.ids == ("E+", "N-")
        assert personas.agreements.shape == (2, len(inventory))


def test_answers_file(tmp_path: Path) -> None:
    path = tmp_path / "Ada L.json"
    path.write_text('{"E01": 5}')
    personas = load_personas(str(path), BUILTIN)
    assert (personas.label, personas.ids) == ("ada-l", ("Ada L",))


def test_respondents_of_another_inventory_are_refused(small_papi: Path) -> None:
    with pytest.raises(InputError, match="inventory papi of 50 items, not builtin of 60"):
        load_personas(f"papi:{small_papi}", BUILTIN)
    with pytest.raises(InputError, match="inventory builtin"):
        load_personas("builtin", load_inventory(f"papi:{small_papi}"))


@pytest.mark.parametrize("spec", ["", "Builtin", "papi:", "ipip", "papi2:x"])
def test_unknown_inventory_lists_the_forms(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        load_inventory(spec)
    assert all(form in str(caught.value.hint) for form in ("builtin", "papi:DIR"))


@pytest.mark.parametrize("spec", ["", "nobody", "builtin:first", "builtin:", "papi:", "E", "E+;N-", "answers.doc"])
def test_unknown_personas_list_the_forms(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        load_personas(spec, BUILTIN)
    assert all(form in str(caught.value.hint) for form in ("builtin", "papi:DIR", "E+", ".json", "case="))


def test_a_pole_of_no_trait_names_those_there_are() -> None:
    with pytest.raises(InputError, match=r"no trait pole 'X\+' in inventory builtin") as caught:
        load_personas("X+", BUILTIN)
    assert "O+, O-" in str(caught.value.hint)


def test_missing_folder_is_missing() -> None:
    with pytest.raises(MissingError, match="no/such/folder"):
        load_inventory("papi:no/such/folder")


def test_coding_reaches_the_reader_and_is_refused_elsewhere(small_papi: Path) -> None:
    spec = f"papi:{small_papi}"
    inventory = load_inventory(spec)
    assert load_personas(f"{spec}:0-2", inventory, coding="as-published").coding == "as-published"
    for other in ("builtin", "E+"):
        with pytest.raises(InputError, match="as-published"):
            load_personas(other, BUILTIN, coding="as-published")
    with pytest.raises(InputError, match="raw"):
        load_personas(spec, inventory, coding="raw")


def test_default_personas_are_the_inventory_s_own(small_papi: Path) -> None:
    for spec in ("builtin", f"papi:{small_papi}"):
        assert len(load_personas(default_personas(spec), load_inventory(spec))) in (50, 60)


def test_nothing_heavy_is_imported() -> None:
    """A second run answers from the store in a moment, and it goes through here."""
    code = (
        "import sys; from pasctl.inventory import load_inventory, load_personas;"
        "load_personas('builtin', load_inventory('builtin'));"
        "print(*{'torch', 'transformers', 'pandas', 'sklearn', 'sqlalchemy', 'huggingface_hub'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
