"""The README's commands and code run, in order, on tiny models laid out as the hub's cache lays them out."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiny import hub_cache_layout, save_tiny

README = Path(__file__).parents[2] / "README.md"

DRIVER = """
import json, sys
from typer.testing import CliRunner
from pasctl.cli.app import app

for kind, text in json.load(sys.stdin):
    print("==", text, flush=True)
    if kind == "python":
        exec(compile(text, "README.md", "exec"), {})
        continue
    result = CliRunner().invoke(app, text)
    print(result.output)
    if result.exit_code != 0:
        sys.exit(f"exit {result.exit_code} {result.exception!r}")
"""


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(sh|python)\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def steps(*, papi: bool) -> list[tuple[str, list[str] | str]]:
    found: list[tuple[str, list[str] | str]] = []
    for language, text in blocks():
        if language == "python":
            found.append(("python", text))
        elif papi or "PAPI" not in text:
            found += [("sh", shlex.split(line)[1:]) for line in text.splitlines()]
    return found


@pytest.mark.integration
def test_the_readme_runs(tmp_path: Path) -> None:
    for number, repo in enumerate(("Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B")):
        hub_cache_layout(tmp_path / "hf" / "hub", repo, save_tiny(tmp_path / f"tiny{number}", seed=number))
    (tmp_path / "long.txt").write_text("Nobody knew who had hidden the letter. " * 120, encoding="utf-8")
    (tmp_path / "more.txt").write_text("The letter lay under the stair. " * 60, encoding="utf-8")
    data = os.environ.get("PASCTL_PAPI")
    if data:
        (tmp_path / "PAPI").symlink_to(data)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PASCTL_")},
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_OFFLINE": "1",
        "PASCTL_CACHE": str(tmp_path / "cache"),
        "PYTHONPATH": str(README.parent),
    }
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(steps(papi=bool(data))),
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_readme_has_its_parts() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(blocks()) >= 6
    for needed in ("make demo", "make test", "constant-3", "own-facet-mean", "composite"):
        assert needed in text
