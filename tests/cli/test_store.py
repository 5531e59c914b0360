"""`pasctl store` on a small store: each command says in JSON and in text what the store knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.store import Artifact, Store, make_key
from tests.store.worker import build, commit, document


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
def made(store: Store) -> tuple[Artifact, Artifact]:
    """Activations, and probes that were made from them."""
    source, _ = build(store)
    staging = store.stage(make_key(document(5)))
    staging.write_json("x.json", 5)
    return source, commit(staging, document(5), kind="probes", inputs={"activations": source})


def say(store: Store, *words: str) -> str:
    result = CliRunner().invoke(app, ["store", *words, "--store", str(store.root)])
    assert result.exit_code == 0, result.output
    return result.stdout


def tell(store: Store, *words: str) -> Any:
    return json.loads(say(store, *words, "--json"))


def test_ls_and_tags(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    assert tell(store, "tag", source.name, "first") == {"tag": "first", "name": source.name, "key": source.key}
    assert [(each["name"], each["tags"]) for each in tell(store, "ls")] == [(probes.name, []), (source.name, ["first"])]
    assert [each["key"] for each in tell(store, "ls", "--kind", "probes")] == [probes.key]
    header, first, second = say(store, "ls").splitlines()
    assert header.split()[:2] == ["name", "key"]
    assert first.startswith(probes.name)
    assert second.rstrip().endswith("first")


def test_show_says_what_it_is_where_it_comes_from_and_what_uses_it(
    store: Store, made: tuple[Artifact, Artifact]
) -> None:
    source, probes = made
    assert tell(store, "show", "probes")["content_digest"] == probes.content_digest
    assert f"input     activations: {source.name}" in say(store, "show", probes.name)
    assert f"used by   {probes.name}" in say(store, "show", source.short_key)


def test_explain_names_the_parameter_that_differs(store: Store, made: tuple[Artifact, Artifact]) -> None:
    other, _ = build(store, seed=1)
    source, _ = made
    assert tell(store, "explain", source.name, other.name) == [{"path": "params.seed", "a": 0, "b": 1}]
    assert "params.seed" in say(store, "explain", source.name, other.name)
    assert say(store, "explain", source.name, source.key).strip() == "the same key"


def test_lineage_goes_down_to_the_first_stage(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    assert say(store, "lineage", "probes").splitlines() == [probes.name, f"  {source.name}"]
    tree = tell(store, "lineage", "probes")
    assert [(each["role"], each["key"], each["present"]) for each in tree["inputs"]] == [
        ("activations", source.key, True)
    ]


def test_path_verify_and_reindex(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, _ = made
    assert say(store, "path", source.name).strip() == str(source.path) == tell(store, "path", source.name)["path"]
    assert tell(store, "verify", "--deep") == []
    assert "is sound" in say(store, "verify")
    for file in store.root.glob("index.sqlite*"):
        file.unlink()
    assert tell(store, "reindex") == {"artifacts": 2, "names": 2, "tags": 0, "broken": 0}
