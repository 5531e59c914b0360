"""The pictures of README and docs are those that the code draws from the numbers that are kept."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pasctl.report.theme import DARK

IMAGES = Path(__file__).parents[2] / "docs" / "images"
NUMBERS = {
    "composite.svg": IMAGES.parents[1] / "pasctl" / "demo" / "model" / "evaluation.json",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    subprocess.run([sys.executable, str(IMAGES / "draw.py"), str(folder)], check=True)
    return folder


@pytest.mark.parametrize("name", NUMBERS)
def test_a_picture_is_up_to_date_and_has_every_number(drawn: Path, name: str) -> None:
    """The words are compared, not the bytes: where they stand differs between versions of matplotlib."""
    kept, again = (re.findall(r"<text[^>]*>([^<]+)<", (folder / name).read_text()) for folder in (IMAGES, drawn))
    assert kept == again
    for row in json.loads(NUMBERS[name].read_text())["conditions"]:
        low, high = row["composite_interval"]
        assert {f"{row['composite']:.2f}", f"{low:.2f} to {high:.2f}"} <= set(kept)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_picture_has_a_background_of_its_own_in_both_themes(name: str) -> None:
    text = (IMAGES / name).read_text()
    assert "fill: #ffffff" in text.split("</style>")[1].split("<text")[0]
    assert f"fill:{DARK['paper']} !important" in text
