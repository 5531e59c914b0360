from __future__ import annotations

import ast
import copy
import enum
import hashlib
import json
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pasctl.store
from pasctl.store import ABSENT, Difference, canonical_json, explain, file_digest, make_key
from pasctl.store.keys import is_key, key_hash

LETTERS = [*string.ascii_letters, "é", "\n", '"', "\ud800"]


def random_value(draw: np.random.Generator, depth: int = 0) -> object:
    kind = draw.integers(8 if depth < 3 else 6)
    if kind == 6:
        return [random_value(draw, depth + 1) for _ in range(draw.integers(4))]
    if kind == 7:
        names = ["".join(LETTERS[index] for index in draw.integers(len(LETTERS), size=3)) for _ in range(4)]
        return {name: random_value(draw, depth + 1) for name in names[: draw.integers(5)]}
    return [None, True, int(draw.integers(2**62)) * -1000, float(draw.normal()) * 1e9, "naïve 🙂", ""][kind]


@pytest.mark.parametrize("seed", range(40))
def test_canonical_json_reads_back_and_ignores_the_order_of_keys(seed: int) -> None:
    value = random_value(np.random.default_rng(seed))
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text) == value
    assert canonical_json(shuffled(value, np.random.default_rng(seed + 1))) == text


def shuffled(value: object, draw: np.random.Generator) -> object:
    if isinstance(value, dict):
        names = list(value)
        draw.shuffle(names)
        return {name: shuffled(value[name], draw) for name in names}
    return [shuffled(inner, draw) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), [1, {"a": float("nan")}]])
def test_numbers_without_json_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no canonical JSON"):
        canonical_json(value)


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    "value", [np.float64(0.5), np.float32(0.5), np.int64(1), np.zeros(2), {1}, b"x", Path("x"), Colour.RED, {1: "a"}]
)
def test_other_types_are_refused_with_their_place(value: object) -> None:
    with pytest.raises(TypeError, match=r"\$\.params\[0\]"):
        canonical_json({"params": [value]})


DOCUMENT = {
    "stage": "extract",
    "stage_version": 1,
    "params": {"letters": ["A", "E"], "seed": 0, "alpha": 4.0},
    "inputs": {"activations": "ab" * 32},
    "model": {"repo": "Qwen/Qwen3-0.6B", "sha": "cd" * 20, "template": "ef" * 32},
    "numerics": {"dtype": "bfloat16", "attn": "sdpa"},
}


def leaves(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, (*path, name))]
    if isinstance(value, list):
        return [leaf for index, inner in enumerate(value) for leaf in leaves(inner, (*path, index))]
    return [path]


@pytest.mark.parametrize("path", leaves(DOCUMENT), ids=str)
def test_every_leaf_of_the_document_changes_the_key_and_is_explained(path: tuple[object, ...]) -> None:
    changed = copy.deepcopy(DOCUMENT)
    inner = changed
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = "other"
    assert make_key(changed) != make_key(DOCUMENT)
    (difference,) = explain(DOCUMENT, changed)
    assert difference.b == "other"
    assert str(path[0]) in difference.path


def test_key_is_the_sha256_of_the_canonical_text() -> None:
    assert make_key({"b": [1, 2.5], "a": "é"}) == "s1:" + hashlib.sha256(b'{"a":"\\u00e9","b":[1,2.5]}').hexdigest()
    assert is_key(make_key({}))
    assert len(key_hash(make_key({}))) == 64
    with pytest.raises(ValueError, match="not a key"):
        key_hash("s1:../../etc")


def test_numbers_that_python_calls_equal_are_different_keys_and_differences() -> None:
    keys = {make_key({"alpha": value}) for value in (1, 1.0, True, "1")}
    assert len(keys) == 4
    assert explain({"a": 1}, {"a": 1.0}) == [Difference("a", 1, 1.0)]
    assert explain({"a": 0}, {"a": False}) == [Difference("a", 0, False)]


def test_explain_names_what_only_one_side_has() -> None:
    found = explain({"a": {"x": 1}, "items": [{"k": 1}]}, {"a": {"y": 1}, "items": [{"k": 2}, 3]})
    assert found == [
        Difference("a.x", 1, ABSENT),
        Difference("a.y", ABSENT, 1),
        Difference("items[0].k", 1, 2),
        Difference("items[1]", ABSENT, 3),
    ]
    assert explain(DOCUMENT, copy.deepcopy(DOCUMENT)) == []


def test_file_digest(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"abc" * 100_000).hexdigest()


def sources() -> list[Path]:
    return sorted(Path(pasctl.store.__file__).parent.glob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda path: path.name)
def test_the_store_imports_only_what_it_may(path: Path) -> None:
    allowed = {"numpy", "sqlalchemy", "pyarrow", "pandas", "matplotlib", "pasctl", *sys.stdlib_module_names}
    if path.name == "remote_fsspec.py":
        allowed |= {"fsspec", "paramiko"}
    allowed -= {"pickle", "marshal", "shelve", "dill", "joblib"}
    roots = {name.partition(".")[0] for name in imports(path)}
    assert roots <= allowed
    inside = {name for name in imports(path) if name.startswith("pasctl.")}
    below = {"pasctl.errors", "pasctl.json_file", "pasctl.printable"}
    assert all(name in below or name.startswith("pasctl.store") for name in inside)


def test_importing_the_store_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "sqlalchemy", "pyarrow", "pandas", "sklearn"]
    code = f"import sys, pasctl.store; print([name for name in {heavy} if name in sys.modules])"
    root = Path(pasctl.store.__file__).parents[2]
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert found.stdout.strip() == "[]"
