"""Keys and content digests of every stage's artifact, as they were when the list was written.

Where the processor and the libraries are those of the list, everything must be equal to the bit; elsewhere floats may
differ in their last bits, and with them digests, so that the recipe of each key is compared, and what the files hold
to a tolerance. A stage whose results are changed on purpose gets new rows by `python -m tests.golden CASE...`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pasctl.stages.runner import Artifact
from tests.golden.cases import CASES, make_all
from tests.golden.record import fingerprint, read_golden, record

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Artifact]]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield make_all(tmp_path_factory.mktemp("golden"))
    torch.set_num_threads(threads)


def test_the_list_has_every_case() -> None:
    assert list(read_golden()["cases"]) == list(CASES)


def test_artifacts_are_those_of_the_list(made: dict[str, Artifact]) -> None:
    golden = read_golden()
    names = {artifact.content_digest: name for name, artifact in made.items()}
    rows = {name: record(artifact, names) for name, artifact in made.items()}
    same_machine = golden["fingerprint"] == fingerprint()
    compared = ("key", "digest", "recipe") if same_machine else ("recipe",)
    assert {name: {part: row[part] for part in compared} for name, row in rows.items()} == {
        name: {part: golden["cases"][name][part] for part in compared} for name in CASES
    }
    for name, row in rows.items():
        assert list(row["files"]) == list(golden["cases"][name]["files"]), name
        for file, content in row["files"].items():
            _assert_near(content, golden["cases"][name]["files"][file], f"{name}: {file}")


def _assert_near(content: dict[str, Any], wanted: dict[str, Any], where: str) -> None:
    assert content.keys() == wanted.keys(), where
    for name, (shape, norm) in content.items():
        assert shape == wanted[name][0], f"{where}: {name}"
        known = wanted[name][1]
        assert (norm is None) == (known is None), f"{where}: {name}"
        assert (norm or 0) == pytest.approx(known or 0, rel=1e-2, abs=1e-6), f"{where}: {name}"
