"""One figure of an artifact of each kind, from its files alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from pasctl.errors import InputError
from pasctl.report.plot import plot
from pasctl.stages.runner import Store
from tests.report import drawings
from tests.report.conftest import DIRECTIONS, REFS, put

DRAWN = [ref for ref in REFS if ref != "activations"]


@pytest.mark.parametrize("kind", DRAWN)
def test_each_kind_has_a_figure_whose_texts_do_not_touch(store: Store, kind: str, tmp_path: Path) -> None:
    figure = plot(store.resolve(kind))
    assert isinstance(figure, Figure)
    assert drawings.faults(figure) == []
    for ending in ("pdf", "png", "svg"):
        figure.savefig(tmp_path / f"x.{ending}")
        assert (tmp_path / f"x.{ending}").stat().st_size > 1000


def test_results_and_strengths_are_drawn_as_they_are_stored(store: Store) -> None:
    results = store.resolve("results")
    known = [row for row in results.read_json("metrics.json")["conditions"] if row["composite"] is not None]
    assert [x for x, _ in drawings.values(plot(results), "mean")] == [row["composite"] for row in known]
    strengths = store.resolve("strengths")
    curves = strengths.read_json("curves.json")
    for line, name in zip(drawings.lines(plot(strengths), "series"), ("mae", "kl"), strict=True):
        expected = dict(zip(curves["alphas"], np.mean(curves[name], axis=1), strict=True))
        assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == pytest.approx(expected)


def test_directions_and_probes_have_a_cell_per_head(store: Store) -> None:
    directions = store.resolve(DIRECTIONS)
    heads = directions.read_arrays("directions.safetensors")["heads"]
    told = {tip for _, tip in drawings.cells(plot(directions))}
    for layer, head in np.unique(heads.reshape(-1, 2), axis=0):
        count = int((heads == [layer, head]).all(axis=2).sum())
        assert f"layer {layer}, head {head}: {count}" in told
    accuracy = store.resolve("probes").read_arrays("scores.safetensors")["accuracy"]
    assert len(drawings.cells(plot(store.resolve("probes")))) == np.isfinite(accuracy).any(axis=0).sum()


def test_results_of_trait_poles_show_every_trait(store: Store, tmp_path: Path) -> None:
    """Nobody answered for a pole, so that there is no error to draw."""
    metrics = store.resolve("results").read_json("metrics.json")
    conditions = [{**row, "composite": None, "composite_interval": None} for row in metrics["conditions"]]
    pole = {"persona": "E+", "target": "E", "condition": "pas", "setting": "4", "alpha": 4.0, "interval": None}
    shifts = [{**pole, "trait": trait, "shift": 0.1, "meant": trait == "E"} for trait in "OCEAN"]
    document = {**metrics, "conditions": conditions, "differences": [], "trait_shifts": shifts}
    poles = put(Store(tmp_path / "store"), "results", {"metrics.json": document})
    written = [text.get_text() for text in plot(poles).findobj(Text)]
    assert sum("0.10" in each for each in written) >= len(shifts)
    assert {"O", "C", "E", "A", "N"} <= set(written)


def test_what_cannot_be_drawn_is_said_in_one_line(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no figure of activations, expected one of answers, directions"):
        plot(store.resolve("activations"))
    other = Store(tmp_path / "store")
    empty = put(other, "trials", {"trials.json": {}})
    with pytest.raises(InputError, match="trials/tiny/made@v1 has nothing to draw"):
        plot(empty)


def test_the_module_is_light_until_something_is_drawn(clean_environment: dict[str, str]) -> None:
    script = "import sys, pasctl.report.plot\nassert not {'matplotlib', 'numpy', 'pandas', 'torch'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_notebook_shows_a_figure_without_a_backend() -> None:
    from pasctl.report.figures.style import sheet

    picture = sheet(200, 100)._repr_png_()  # type: ignore[attr-defined]
    assert picture.startswith(b"\x89PNG")
