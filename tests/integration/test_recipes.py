"""CONTRIBUTING's recipes for a new option and a new stage, followed literally in a copy of the package."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pasctl

ROOT = Path(pasctl.__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.integration


def section(title: str) -> str:
    return re.split(r"^## ", TEXT.split(f"## {title}\n")[1], maxsplit=1, flags=re.MULTILINE)[0]


def blocks(title: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", section(title), re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with both recipes done."""
    folder = tmp_path_factory.mktemp("copy")
    shutil.copytree(ROOT / "pasctl", folder / "pasctl", ignore=shutil.ignore_patterns("__pycache__"))
    (field,) = blocks("A new option")
    declared = folder / "pasctl" / "commands" / "extract.py"
    declared.write_text(declared.read_text(encoding="utf-8").rstrip() + "\n" + field, encoding="utf-8")
    names = re.findall(r"`(pasctl/[a-z_/]+\.py)`", section("A new stage"))
    for name, content in zip(names, blocks("A new stage"), strict=True):
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def run(copy: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def outcome(copy: Path, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run(copy, "-m", "pasctl", *words, "--json"))
    return document


def test_a_new_option_is_one_field(copy: Path) -> None:
    for command in ("extract", "run"):
        assert "--remark" in run(copy, "-m", "pasctl", command, "--help")
    script = "import inspect, pasctl; print(inspect.signature(pasctl.extract).parameters['remark'].default == '')"
    assert run(copy, "-c", script).strip() == "True"
    plain = outcome(copy, "extract", "--model", "demo", "--dry-run")["key"]
    assert plain == pasctl.extract("demo", store=copy / "none", dry_run=True).key
    assert outcome(copy, "extract", "--model", "demo", "--remark", "again", "--dry-run")["key"] != plain
    (copy / "pasctl.toml").write_text('[extract]\nremark = "again"\n')
    try:
        assert outcome(copy, "extract", "--model", "demo", "--dry-run")["key"] != plain
    finally:
        (copy / "pasctl.toml").unlink()


def test_a_new_stage_is_two_files(copy: Path) -> None:
    assert "count-words" in run(copy, "-m", "pasctl", "--help")
    first = outcome(copy, "count-words", "--model", "demo")
    assert not first["reused"]
    assert first["name"] == "counts/demo/builtin@v1"
    assert outcome(copy, "count-words", "--model", "demo")["reused"]
    fit = outcome(copy, "count-words", "--model", "demo", "--items", "fit")
    assert fit["key"] != first["key"]
    counts = json.loads((Path(copy / fit["path"]) / "counts.json").read_text())
    assert len(counts) == 30
    assert all(count > 0 for count in counts.values())
    script = "import pasctl; print(pasctl.count_words('demo', items='fit', store='artifacts').key)"
    assert run(copy, "-c", script).strip() == fit["key"]
