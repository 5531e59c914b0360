"""Imports run downward only, as the layout says, and the store is behind the stages' runner."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pasctl

ROOT = Path(pasctl.__file__).parent
LAYERS = (
    {"cli", "__main__"},
    {"chat"},
    {"serving"},
    {"demo"},
    {"stages"},
    {"activations", "probes", "directions", "evaluation", "memory", "report", "export", "survey"},
    {"generation"},
    {"steering"},
    {"models", "inventory"},
    {"registry", "vllm_plugin"},
    {"errors", "version"},
)
STORE_USERS = {"stages/runner.py", "cli/store.py"}
DURABLE = "pasctl.store.disk"  # how files are written so that they last: it knows no store, and anybody may use it


def level(package: str) -> int:
    return next(place for place, names in enumerate(LAYERS) if package in names)


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pasctl."):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("pasctl."))
    return found


FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in ROOT.rglob("*.py")
    if path.name != "__init__.py" or path.parent != ROOT
)


@pytest.mark.parametrize("file", FILES)
def test_imports_run_downward(file: str) -> None:
    own = file.split("/")[0].removesuffix(".py")
    for module in imports(ROOT / file):
        other = module.split(".")[1]
        if other == own:
            continue
        if own == "store":
            assert other == "errors", f"{file} imports {module}"
        elif other == "store":
            assert module == DURABLE or file in STORE_USERS, f"{file} imports {module}"
        elif other == "version":
            continue
        else:
            assert level(other) >= level(own), f"{file} imports {module}"
            assert own != "inventory" or other != "models", f"{file} imports {module}"


@pytest.mark.parametrize("file", FILES)
def test_files_stay_readable(file: str) -> None:
    assert len((ROOT / file).read_text(encoding="utf-8").splitlines()) <= 350


def test_nothing_loads_code_from_data() -> None:
    for file in FILES:
        tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
        names = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        names |= {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not names & {"pickle", "joblib", "marshal", "shelve", "dill"}, file
