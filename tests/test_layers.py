"""The package's form: imports run downward in no cycle, the runner alone uses the store, files and functions are short.

One test per property, which lists what breaks it. A list of exceptions below may only shrink: a test fails as soon as
one of them is no longer needed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pasctl

ROOT = Path(pasctl.__file__).parent

# Design section 2, top to bottom; packages of one row may import each other.
LAYERS = (
    {"cli", "__main__", "harness"},
    {"view"},
    {"chat", "survey", "serving"},
    {"demo"},
    {"stages", "commands"},  # a stage's declaration is in commands, its computation in stages
    {"report"},
    {"export", "vllm_plugin"},
    {"evaluation"},
    {"memory"},
    {"generation"},  # below memory: it knows a text's state as a protocol, and a memory is one
    {"directions", "probes"},
    {"activations"},
    {"steering"},
    {"models"},
    {"contrasts"},
    {"inventory"},
    {"store"},
    {"registry"},
    {"declaration"},
    {"option", "text_file"},
    {"errors", "version"},
    {"bounded", "json_file", "printable"},
)
BELOW_THE_STORE = {"store", "errors", "json_file", "printable"}
STORE_USERS = {
    *("stages/runner.py", "stages/following.py", "stages/job.py", "stages/listing.py"),
    *(f"cli/store{part}.py" for part in ("", "_list", "_remove", "_bundle", "_remote")),
}
FRAMES = "frames.py"  # of a package: its kinds of artifacts, which the store finds by name
DURABLE = "pasctl.store.disk"  # how files are written so that they last: it knows no store, and anybody may use it

OPTIONS = "pasctl.serving.settings"  # a front end's group of options, which the declaration of its command nests

OWN_JSON = {  # what is read elsewhere was just made, by tokenizers, by matplotlib, or by the other process of a pair
    "json_file.py",
    "export/gguf_tokenizer.py",
    "export/vllm_reader.py",
    "models/template_trial.py",
    "models/tokenizer_probe.py",
    "report/encode.py",
    "stages/made_options.py",
}
PRINTERS = {"cli/output.py", "cli/failure.py", "cli/reference.py", "cli/app.py"}

MOST_LINES = 300
LONG_FILES: set[str] = set()
MOST_LINES_OF_FUNCTION = 59
LONG_FUNCTIONS: set[str] = set()


def _uses_store(file: str) -> bool:
    return file in STORE_USERS or file.endswith(f"/{FRAMES}")


def test_imports_run_downward() -> None:
    assert [
        f"{file} imports {module}"
        for file, module in internal_imports()
        if level(package(module)) < level(package_of(file)) and (package_of(file), module) != ("commands", OPTIONS)
    ] == []


def test_the_store_is_used_by_the_runner_and_imports_nothing_of_the_rest() -> None:
    assert [
        f"{file} imports {module}"
        for file, module in internal_imports()
        if (package_of(file) == "store" and package(module) not in BELOW_THE_STORE)
        or (package(module) == "store" != package_of(file) and module != DURABLE and not _uses_store(file))
    ] == []


def test_every_package_has_its_layer() -> None:
    assert sorted({package_of(file) for file in files()} - set().union(*LAYERS)) == []


def test_no_module_imports_itself_on_a_way_round() -> None:
    """Imports in functions count, and those for types: who needs another's names cannot be read or moved without it."""
    graph: dict[str, set[str]] = {module_of(file): set() for file in files()}
    for file, module in internal_imports():
        graph[module_of(file)].add(module)
    assert [" -> ".join(cycle) for cycle in cycles(graph)] == []


def test_the_package_imports_no_tests() -> None:
    assert [f"{file} imports {module}" for file, module in imports() if module.split(".")[0] == "tests"] == []


def test_nothing_loads_code_from_data() -> None:
    unsafe = {"pickle", "joblib", "marshal", "shelve", "dill"}
    assert [f"{file} imports {module}" for file, module in imports() if module.split(".")[0] in unsafe] == []


def test_json_is_read_in_one_place() -> None:
    """Others know no bounds: a file may be nested so deeply that reading it fails, or what looks into it later."""
    assert {file for file, name in calls() if name in ("json.load", "json.loads")} == OWN_JSON


def test_commands_print_in_one_place() -> None:
    """Elsewhere, what others wrote would reach the terminal as it is."""
    assert {file for file, name in calls() if name == "print" and package_of(file) == "cli"} == PRINTERS


def test_files_are_short() -> None:
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in files()}
    long = {file: count for file, count in lines.items() if count > MOST_LINES}
    assert set(long) == LONG_FILES, long


def test_functions_are_short() -> None:
    long = {name: count for name, count in functions() if count > MOST_LINES_OF_FUNCTION}
    assert set(long) == LONG_FUNCTIONS, long


def test_a_cycle_is_seen() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": {"d"}}
    assert sorted(sorted(set(cycle)) for cycle in cycles(graph)) == [["a", "b", "c"], ["d", "e"]]
    assert cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@cache
def files() -> tuple[str, ...]:
    """Every module of the package but the facade `pasctl/__init__.py`, which names them all."""
    paths = (path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
    return tuple(sorted(path for path in paths if path != "__init__.py"))


@cache
def tree(file: str) -> ast.Module:
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


@cache
def imports() -> tuple[tuple[str, str], ...]:
    """(file, module it imports), wherever in the file."""
    return tuple((file, module) for file in files() for node in ast.walk(tree(file)) for module in named(node))


def named(node: ast.AST) -> Iterator[str]:
    """The modules that an import statement names: `from pasctl.memory import params` is `pasctl.memory.params`."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        known = {module_of(file) for file in files()}
        names = {f"{node.module}.{alias.name}" for alias in node.names}
        yield from sorted(names & known) or [node.module]


def calls() -> Iterator[tuple[str, str]]:
    """(file, "name" or "module.name" that is called in it)."""
    for file in files():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                yield file, node.func.id
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                yield file, f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"


def internal_imports() -> Iterator[tuple[str, str]]:
    return ((file, module) for file, module in imports() if module.startswith("pasctl."))


def module_of(file: str) -> str:
    return "pasctl." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def package_of(file: str) -> str:
    return package(module_of(file))


def package(module: str) -> str:
    return module.split(".")[1]


def level(name: str) -> int:
    return next(row for row, names in enumerate(LAYERS) if name in names)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Cycles of module -> modules it imports; each is cut once it is seen."""
    found: list[list[str]] = []
    graph = {name: set(others) for name, others in graph.items()}
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            cycle = error.args[1][::-1]  # graphlib gives it from the module that is imported to the one that imports
            found.append(cycle)
            graph[cycle[0]].discard(cycle[1])
        else:
            return found


def functions() -> Iterator[tuple[str, int]]:
    """("file:function", its lines), signature and docstring included."""
    for file in files():
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{file}:{node.name}", (node.end_lineno or node.lineno) - node.lineno + 1
