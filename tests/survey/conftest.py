from __future__ import annotations

from pathlib import Path

import pytest

from tests.inventory.papi_files import answers, write_folder


@pytest.fixture
def small_papi(tmp_path: Path) -> Path:
    """A folder of 50 invented items and 60 invented respondents, stored keyed as PAPI is."""
    return write_folder(tmp_path / "small-papi", answers(60, keyed=True))
