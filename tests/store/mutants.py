"""The store with one of its syncs, renames or digest checks taken out, loaded in place of the real one."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pasctl.store

FOLDER = Path(pasctl.store.__file__).parent
SYNCS = {"make_durable", "fsync", "_sync"}
MOVES = {"rename", "replace", "link", "link_or_copy", "_copy"}
DIGESTS = ("digest", "sha256", "make_key(", "key_hash(", "held == key", "found != expected")
"""What a comparison says that compares digests or keys."""
NOT_MEANT = {"labels.py"}
"""Files whose comparisons of digests are about options of artifacts, and not about bytes."""


@dataclass(frozen=True)
class Mutant:
    """One place of the package, and what is taken out there."""

    file: str
    line: int
    column: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def mutants() -> list[Mutant]:
    """Every sync, rename, link and comparison of digests in the package."""
    made = []
    for path in sorted(path for path in FOLDER.glob("*.py") if path.name not in NOT_MEANT):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if _is_call(node) or _is_check(node, source):
                text = ast.get_source_segment(source, node) or ""
                made.append(Mutant(path.name, node.lineno, node.col_offset, " ".join(text.split())))  # type: ignore[attr-defined]
    return made


def _is_call(node: ast.AST) -> bool:
    """A statement that syncs or moves; replace() of a text is an expression and no statement."""
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    function = node.value.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    return name in SYNCS | MOVES


def _is_check(node: ast.AST, source: str) -> bool:
    if not (isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)):
        return False
    text = ast.get_source_segment(source, node) or ""
    return any(word in text for word in DIGESTS)


class _TakeOut(ast.NodeTransformer):
    def __init__(self, mutant: Mutant) -> None:
        self.mutant, self.count = mutant, 0

    def _is_it(self, node: ast.expr | ast.stmt) -> bool:
        it = (node.lineno, node.col_offset) == (self.mutant.line, self.mutant.column)
        self.count += it
        return it

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        if _is_call(node) and self._is_it(node):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        # a comparison that passes: what should be equal is, what should not differ does not
        if isinstance(node.ops[0], ast.Eq | ast.NotEq) and self._is_it(node):
            return ast.copy_location(ast.Constant(isinstance(node.ops[0], ast.Eq)), node)
        return self.generic_visit(node)


@contextlib.contextmanager
def loaded(mutant: Mutant | None) -> Iterator[types.ModuleType]:
    """The package `pasctl.store` with one place taken out, for the `with` block; the rest of pasctl is as it is."""
    before = {name: module for name, module in sys.modules.items() if f"{name}.".startswith("pasctl.store.")}
    for name in before:
        del sys.modules[name]
    finder = _Finder(mutant)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("pasctl.store")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if f"{name}.".startswith("pasctl.store.")]:
            del sys.modules[name]
        sys.modules.update(before)
        sys.modules["pasctl"].store = before["pasctl.store"]  # type: ignore[attr-defined]


class _Finder:
    """Gives the package's modules, one of them changed. Others are compiled once."""

    _codes: dict[str, types.CodeType] = {}  # noqa: RUF012

    def __init__(self, mutant: Mutant | None) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: object = None, target: object = None) -> object:
        if not f"{name}.".startswith("pasctl.store."):
            return None
        file = "__init__.py" if name == "pasctl.store" else name.removeprefix("pasctl.store.") + ".py"
        return importlib.util.spec_from_loader(name, _Loader(self, file), is_package=file == "__init__.py")

    def code(self, file: str) -> types.CodeType:
        source = FOLDER / file
        if self.mutant is not None and self.mutant.file == file:
            change = _TakeOut(self.mutant)
            tree = ast.fix_missing_locations(change.visit(ast.parse(source.read_text(encoding="utf-8"))))
            assert change.count == 1, self.mutant
            return compile(tree, str(source), "exec", dont_inherit=True)
        if file not in self._codes:
            self._codes[file] = compile(source.read_text(encoding="utf-8"), str(source), "exec", dont_inherit=True)
        return self._codes[file]


class _Loader:
    def __init__(self, finder: _Finder, file: str) -> None:
        self.finder, self.file = finder, file

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: types.ModuleType) -> None:
        if self.file == "__init__.py":
            module.__path__ = [str(FOLDER)]
        exec(self.finder.code(self.file), module.__dict__)  # noqa: S102
