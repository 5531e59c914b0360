"""`pasctl store` on a small store: each command says in JSON and in text what the store knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pasctl.cli.app import app
from pasctl.store import Artifact, Store, make_key, schema
from tests.store.worker import build, commit, document


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


def test_ls_says_which_options_differ_and_the_figure(store: Store) -> None:
    for number, (alpha, r) in enumerate([(4.0, 0.25), ("auto", 0.5)]):
        doc = {"stage": "eval", "stage_version": 6, "params": {"alphas": [alpha], "audit": 0}, "inputs": {}}
        staging = store.stage(make_key(doc))
        row = {"condition": "pas", "distinctive_r": r, "composite": 2.5, "personas": 5}
        staging.write_json("metrics.json", {"conditions": [{"condition": "no-change"}, row]})
        more = {"provenance": {"headline": "stated"}} if number else {}
        commit(staging, doc, "builtin", kind="results", stage="eval", **more)
    second, first = tell(store, "ls", "--kind", "results")
    assert (first["options"], first["figure"]) == ({"alpha": [4.0]}, "distinctive r 0.25, composite 2.50, n 5")
    assert (second["options"], second["figure"]) == ({"alpha": ["auto"]}, "stated")
    _, second_line, first_line = say(store, "ls").splitlines()
    assert "alpha 4 " in first_line
    assert "distinctive r 0.25" in first_line
    assert "alpha auto" in second_line


def test_ls_shows_a_figure_that_cannot_be_read_as_none(store: Store) -> None:
    staging = store.stage(make_key(document(1)))
    staging.write_json("metrics.json", {"conditions": "none"})
    artifact = commit(staging, document(1), kind="results")
    assert tell(store, "ls")[0]["figure"] is None
    (artifact.path / "metrics.json").write_bytes(b"damaged")
    assert tell(store, "ls")[0]["figure"] is None


@pytest.mark.parametrize(
    ("words", "near"),
    [(("--kind", "results2"), "results"), (("--kind", ""), "expected one of"), (("--model", "tin"), "tiny")],
)
@pytest.mark.usefixtures("made")
def test_a_filter_that_nothing_can_pass_is_refused(store: Store, words: tuple[str, str], near: str) -> None:
    result = CliRunner().invoke(app, ["store", "ls", *words, "--store", str(store.root)])
    assert result.exit_code == 2
    assert near in result.stderr


def test_a_kind_that_the_store_has_none_of_is_no_error(store: Store, made: tuple[Artifact, Artifact]) -> None:
    assert tell(store, "ls", "--kind", "trials") == []
    assert tell(store, "ls", "--kind", "trials", "--model", made[0].model) == []


def verified(store: Store, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["store", "verify", "--store", str(store.root), *words])
    return result.exit_code, result.stdout, result.stderr


def test_verify_leaves_with_4_for_damaged_bytes_alone(store: Store, made: tuple[Artifact, Artifact]) -> None:
    source, probes = made
    with store.index.write() as connection:
        connection.execute(schema.artifacts.delete())
    code, out, err = verified(store)
    assert (code, err) == (0, "")
    assert out.startswith("note: index index.sqlite: does not list")
    assert "pasctl store reindex" in out
    store.reindex()
    store.tag(source, "mine")
    (store.root / "refs/tags/mine").write_text("s1:" + "0" * 64 + "\n")
    code, out, _ = verified(store)
    assert code == 0
    assert "stale: tag mine" in out
    (probes.path / "x.json").write_bytes(b"")
    code, out, err = verified(store)
    assert code == 4
    assert f"damaged: {probes.name} ({probes.short_key}) x.json" in out
    assert "remove" not in out + err
    assert json.loads(verified(store, "--json")[1])[0]["grade"] == "damaged"


def test_a_store_that_is_not_there_is_missing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("none", "empty"):
        code, _, err = verified(Store(tmp_path / name))
        assert code == 3
        assert "there is no store" in err
        assert not (tmp_path / name / "index.sqlite").exists()


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
