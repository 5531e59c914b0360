"""What a run takes of memory is told beforehand, bounded by an option, and kept: measured on a process of its own."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import PasctlRun
from tests.integration.refusal import assert_refused
from tests.tiny import save_tiny

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="what a process takes at rest was measured on Linux"),
]

LIMIT = 540_000_000


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose batches take far more than its weights: the MLP is 500 times as wide as the residual stream."""
    return save_tiny(tmp_path_factory.mktemp("models") / "wide", intermediate_size=24_000)


def test_a_run_keeps_to_its_limit_and_takes_what_was_told(wide: Path, run_pasctl: PasctlRun, tmp_path: Path) -> None:
    def extract(*more: str) -> dict[str, Any]:
        asked = ("--answers", "all", "--option-order", "both", "--items", "all", "--dtype", "float32")
        done = run_pasctl("extract", "--model", wide, *asked, "--json", *more, store=tmp_path / "store")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    limit = ("--max-memory", f"{LIMIT}")
    unbounded = extract("--dry-run")["plan"]["memory_bytes"]
    told = extract("--dry-run", *limit)["plan"]["memory_bytes"]
    assert told <= LIMIT < unbounded
    made = extract(*limit)
    provenance = json.loads((Path(made["path"]) / "manifest.json").read_text())["provenance"]
    assert provenance["peak_bytes"] == pytest.approx(told, rel=0.1)
    assert 0 < provenance["seconds_to_first_token"] < provenance["seconds"]


def test_a_limit_that_cannot_be_kept_is_refused_before_weights_are_read(
    wide: Path, run_pasctl: PasctlRun, tmp_path: Path
) -> None:
    done = run_pasctl("extract", "--model", wide, "--max-memory", "300MB", store=tmp_path / "store")
    assert_refused(done, 2, "0.30 GB", "at least 0.")
    needed = re.search(r"at least ([\d.]+) GB", done.stderr)
    assert needed is not None
    assert 0.4 < float(needed[1]) < 0.7  # the process alone takes most of it
    done = run_pasctl("extract", "--model", wide, "--max-memory", "lots", store=tmp_path / "store")
    assert_refused(done, 2, "lots")
