"""Every kind of site goes through all stages: what is read there is shifted there, and layers keep their numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import pasctl
from pasctl.stages.runner import Store
from pasctl.stages.steering import DirectionSet
from tests.integration.warm import Warm
from tests.tiny import save_tiny

pytestmark = pytest.mark.integration

QUICK = ("--neutral-text", "none", "--control-draws", "1", "--alpha", "1", "--mode", "no-change,pas")


@pytest.mark.parametrize(
    ("family", "site", "numbers", "shape"),
    [
        ("qwen3_5", "heads", [1, 3], (6, 16)),
        ("qwen3_next", "linear", [0, 2], (4, 12)),
        ("gemma4_text", "heads@32", [2], (6, 32)),
        ("deepseek_v3", "residual", [0, 1, 2], (1, 48)),
    ],
)
def test_a_kind_of_site_from_extraction_to_results(
    family: str, site: str, numbers: list[int], shape: tuple[int, int], warm: Warm, tmp_path: Path
) -> None:
    model, store = save_tiny(tmp_path / "model", family), tmp_path / "store"
    common = ("--store", store)
    done = warm.run(
        *("run", "--model", model, "--personas", "builtin:0-2", "--contrast", "items", "--site", site),
        *("--dtype", "float32", *QUICK, *common),
    )
    assert done.returncode == 0, done.stderr
    directions = next(iter(Store(store).candidates("directions")))
    frame = directions.frame()
    assert set(frame["layer"]) <= set(numbers)
    assert set(frame["head"]) <= set(range(shape[0]))
    known, loaded = DirectionSet.read(directions), pasctl.load_model(str(model), dtype="float32")
    assert known.site == site
    assert known.theta.shape[-1] == shape[1]
    moved = known.intervention(loaded.geometry, 0, 1.0)
    assert moved.kind == site
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        plain = loaded.model(ids).logits
        with pasctl.steer(loaded, moved):
            assert not torch.allclose(loaded.model(ids).logits, plain)
        assert torch.equal(loaded.model(ids).logits, plain)
    if site != "heads":
        refused = warm.run(
            *(
                "export",
                directions.name,
                "--persona",
                "s01",
                "--alpha",
                "1",
                "--positions",
                "all",
                "--output",
                tmp_path / "made",
                *common,
            )
        )
        assert refused.returncode == 2
        assert f"shifts {site}, an export carries shifts of the usual heads alone" in refused.stderr
    page = tmp_path / "page.html"
    assert warm.run("report", directions.name, "--output", page, *common).returncode == 0


def test_a_kind_that_the_model_has_not_is_one_line(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    done = warm.run("extract", "--model", tiny_folder, "--site", "linear", "--store", tmp_path)
    assert done.returncode == 2
    assert "has no site 'linear', it has heads, residual" in done.stderr
    assert done.stderr.count("\n") <= 3
