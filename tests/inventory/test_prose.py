"""Descriptions of personas: PAPI's own, and anybody's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import load_prose, papi_personas
from pasctl.inventory.prose import PROSE
from tests.inventory.papi_files import answers, write_folder


@pytest.fixture
def papi(tmp_path: Path) -> Path:
    folder = write_folder(tmp_path / "papi", answers(30, keyed=True))
    texts = [{"input": "ignored", "output": [f"  You are number {n}. ", "another"]} for n in range(30)]
    (folder / PROSE).write_text(json.dumps(texts))
    return folder


def test_papis_prose_goes_by_the_order_of_its_respondents(papi: Path) -> None:
    ids = papi_personas(papi).ids
    found = load_prose(f"papi:{papi}", [ids[7], ids[2]])
    assert found == {ids[7]: "You are number 7.", ids[2]: "You are number 2."}


def test_what_does_not_fit_is_said_in_a_line(papi: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 of 2 personas have no text: E"):
        load_prose(f"papi:{papi}", ["1000", "E+"])
    texts = json.loads((papi / PROSE).read_text())
    (papi / PROSE).write_text(json.dumps(texts[:-1]))
    with pytest.raises(InputError, match=r"29 texts, .* 30 respondents"):
        load_prose(f"papi:{papi}", ["1000"])
    (papi / PROSE).write_text(json.dumps([{"output": []}]))
    with pytest.raises(InputError, match="list output"):
        load_prose(f"papi:{papi}", ["1000"])
    (papi / PROSE).unlink()
    with pytest.raises(MissingError, match=PROSE):
        load_prose(f"papi:{papi}", ["1000"])
    with pytest.raises(MissingError, match="does not exist"):
        load_prose(str(tmp_path / "none.json"), ["a"])
    path = tmp_path / "some.json"
    path.write_text('["a"]')
    with pytest.raises(InputError, match="one text for each persona id"):
        load_prose(str(path), ["a"])


def test_the_real_prose_has_a_text_for_everybody(papi_folder: Path) -> None:
    ids = papi_personas(papi_folder).ids
    found = load_prose(f"papi:{papi_folder}", ids)
    assert list(found) == list(ids)
    assert all(len(text) > 200 for text in found.values())
