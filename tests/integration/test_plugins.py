"""A third-party package that adds one of everything by entry points, installed for real, offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pasctl

pytestmark = pytest.mark.integration

PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "pasctl-more"
version = "1.2"

[tool.setuptools]
py-modules = ["pasctl_more"]

[project.entry-points."pasctl.directions"]
first-item = "pasctl_more:FirstItem"

[project.entry-points."pasctl.probes"]
guess = "pasctl_more:Guess"

[project.entry-points."pasctl.families"]
more-llama = "pasctl_more:FAMILY"

[project.entry-points."pasctl.engines"]
elsewhere = "pasctl_more:Elsewhere"

[project.entry-points."pasctl.memory_tasks"]
colours = "pasctl_more:colours"

[project.entry-points."pasctl.inventories"]
short = "pasctl_more:short"
"""
MODULE = """
from dataclasses import dataclass, replace

import torch

from pasctl.export.engines.transformers import Transformers
from pasctl.inventory import builtin_inventory
from pasctl.memory.tasks.passkey import make
from pasctl.models.adapters import Adapter
from pasctl.probes.pairs import pair_rows

FAMILY = Adapter("more-llama")


@dataclass(frozen=True)
class FirstItem:
    strength: float = 1.0

    def raw(self, layer_x, pairs, signs):
        rows = pair_rows(layer_x, pairs)
        return (self.strength * (rows[:, 0] - rows[:, 1]))[None].repeat(len(signs), 1, 1)


@dataclass(frozen=True)
class Guess:
    def fit(self, rows, labels, usable):
        shape = (len(labels), len(rows), rows.shape[2])
        return torch.ones(shape, dtype=torch.float64), torch.zeros(shape[:2], dtype=torch.float64)


class Elsewhere(Transformers):
    pass


def colours(length, depth, seed, count, *, shades: int = 3):
    return make(length, depth, seed + shades, count)


def short():
    whole = builtin_inventory()
    return replace(whole, name="short", items=whole.items[:30])
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    pytest.importorskip("setuptools")
    source, target = tmp_path_factory.mktemp("more"), tmp_path_factory.mktemp("site")
    (source / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    (source / "pasctl_more.py").write_text(MODULE, encoding="utf-8")
    words = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", str(target), str(source)]
    subprocess.run([sys.executable, "-m", "pip", "install", *words], check=True, timeout=300, capture_output=True)
    return target


def run(site: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(site), str(Path(pasctl.__file__).parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "PASCTL_STORE": str(folder / "store")}
    return subprocess.run(
        [sys.executable, *words], env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    ("registry", "name"),
    [
        ("pasctl.directions:DIRECTIONS", "first-item"),
        ("pasctl.probes:PROBES", "guess"),
        ("pasctl.models.adapters:FAMILIES", "more-llama"),
        ("pasctl.export.engines:ENGINES", "elsewhere"),
        ("pasctl.memory.tasks:TASKS", "colours"),
        ("pasctl.inventory.spec:INVENTORIES", "short"),
    ],
)
def test_every_registry_has_it_with_its_origin(registry: str, name: str, site: Path, tmp_path: Path) -> None:
    module, _, attribute = registry.partition(":")
    uses = f"r.names().index({name!r}); r.get({name!r}); print(r.origin({name!r}))"
    script = f"from {module} import {attribute} as r; {uses}"
    done = run(site, tmp_path, "-c", script)
    assert done.stdout.strip() == "pasctl-more==1.2", done.stderr


def test_the_command_line_runs_with_it(site: Path, tmp_path: Path) -> None:
    def made(*words: str) -> dict[str, Any]:
        done = run(site, tmp_path, "-m", "pasctl", *words, "--json")
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    extracted = made("extract", "--model", "demo", "--inventory", "short")
    assert extracted["name"] == "activations/demo/short@v1"
    made("train-probes", "--personas", "O+,E-", "--method", "guess")
    fitted = made("fit-directions", "--method", "first-item:strength=2")
    manifest = json.loads((tmp_path / fitted["path"] / "manifest.json").read_text())
    assert manifest["document"]["params"]["method"] == "first-item@pasctl-more==1.2:strength=2.0"
    again = made("fit-directions", "--method", "first-item@pasctl-more==1.2:strength=2.0")
    assert again["reused"]
    assert again["key"] == fitted["key"]


def test_an_unknown_name_lists_it(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, "-m", "pasctl", "extract", "--model", "demo", "--inventory", "shrot")
    assert done.returncode == 2
    assert "short" in done.stderr
    assert "Traceback" not in done.stderr


def test_two_packages_of_one_name_are_refused(site: Path, tmp_path: Path) -> None:
    twin = tmp_path / "twin-3.0.dist-info"
    twin.mkdir()
    (twin / "METADATA").write_text("Metadata-Version: 2.1\nName: twin\nVersion: 3.0\n", encoding="utf-8")
    (twin / "entry_points.txt").write_text("[pasctl.directions]\nmass-mean = pasctl_more:FirstItem\n", encoding="utf-8")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from pasctl.directions import DIRECTIONS as d; d.names()"
    )
    done = run(site, tmp_path, "-c", script)
    assert "'mass-mean' is already registered" in done.stderr
    assert "twin==3.0" in done.stderr
