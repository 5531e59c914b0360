"""Names of what the commands make: one set of options each, whatever is made after it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from pasctl.store import Store
from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm

EVAL = ("eval", "--mode", "no-change,pas", "--reading", "letters", "--neutral-text", "none")


def make(warm: Warm, store: Path, *words: str) -> str:
    done = warm.run(*words, "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    name: str = done.document["name"]
    return name


def test_other_people_and_another_alpha_have_names_of_their_own(warm: Warm, fitted_store: Path) -> None:
    """Results of 4 people at alpha 4 and of 6 at alpha 2; the names of the first stay and mean the first."""
    first = make(warm, fitted_store, *EVAL, "--alpha", "4")
    assert first == "results/tiny-a/builtin@v1"
    probes = make(warm, fitted_store, "train-probes", "--personas", "builtin:0-6")
    directions = make(warm, fitted_store, "fit-directions")
    results = make(warm, fitted_store, *EVAL, "--alpha", "2")
    assert probes == "probes/tiny-a/builtin~personas-0-6@v1"
    assert directions == "directions/tiny-a/builtin~personas-0-6@v1"
    assert results == "results/tiny-a/builtin~personas-0-6~alpha-2@v1"
    same_alpha = make(warm, fitted_store, *EVAL, "--alpha", "4")
    assert same_alpha == "results/tiny-a/builtin~personas-0-6@v1"
    store = Store(fitted_store)
    for name in (first, probes, directions, results, same_alpha):
        assert store.resolve(name.partition("@")[0]).name == name
    assert store.resolve("directions/tiny-a/builtin").name == "directions/tiny-a/builtin@v1"
    assert make(warm, fitted_store, *EVAL, "--alpha", "4", "--directions", "directions/tiny-a/builtin") == first
    assert store.verify(deep=True) == []
    _listed(warm, fitted_store)


def _listed(warm: Warm, store: Path) -> None:
    """`store ls` shows what differs, and the figure."""
    rows: list[dict[str, Any]] = warm.run("store", "ls", "--kind", "results", "--json", "--store", store).document
    assert sorted(row["options"]["alpha"] for row in rows) == [[2.0], [4.0], [4.0]]
    assert all(row["figure"] and " n " in f" {row['figure']}".replace(",", "") for row in rows)
    shown = warm.run("store", "ls", "--kind", "results", "--store", store).stdout
    assert "alpha 2" in shown
    assert "composite" in shown


def test_a_fit_of_groups_does_not_take_over_the_name_of_the_heads(warm: Warm, fitted_store: Path) -> None:
    group = make(warm, fitted_store, "fit-directions", "--granularity", "kv-group")
    assert group == "directions/tiny-a/builtin~top-k-6~granularity-kv-group@v1"
    assert Store(fitted_store).resolve("directions/tiny-a/builtin").params.get("granularity") is None


def test_activations_with_other_options_are_found_and_told_apart(
    warm: Warm, fitted_store: Path, tiny_folder: Path
) -> None:
    both = make(warm, fitted_store, "extract", "--model", str(tiny_folder), "--dtype", "float32", "--items", "all")
    assert both == "activations/tiny-a/builtin~items-all@v1"
    assert make(warm, fitted_store, "train-probes", "--personas", "builtin:0-4") == "probes/tiny-a/builtin~items-all@v1"


def test_a_memory_keeps_its_name_while_it_is_extended(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    store, small = (
        tmp_path / "artifacts",
        (
            "--n-init",
            "8",
            "--n-local",
            "128",
            "--n-mem",
            "64",
            "--chunk",
            "32",
            "--min-block",
            "4",
            "--max-block",
            "32",
        ),
    )
    for name in ("story", "more"):
        (tmp_path / f"{name}.txt").write_text(f"Nobody knew who had hidden the {name}. " * 30, encoding="utf-8")
    story, more = str(tmp_path / "story.txt"), str(tmp_path / "more.txt")
    first = make(warm, store, "memory-run", story, "--model", str(tiny_folder), *small)
    assert first == "memory/tiny-a/story@v1"
    other = make(warm, store, "memory-run", story, "--model", str(tiny_folder), *small, "--gamma", "0.5")
    assert other == "memory/tiny-a/story~gamma-0.5@v1"
    assert make(warm, store, "memory-run", more, "--extend", first) == "memory/tiny-a/story@v2"
    assert make(warm, store, "memory-run", more, "--extend", other) == "memory/tiny-a/story~gamma-0.5@v2"


@pytest.mark.parametrize("seconds", ["0", "0.5"])
def test_wait_gives_up_with_5(warm: Warm, fitted_store: Path, seconds: str) -> None:
    command = ("train-probes", "--personas", "builtin:0-5")
    planned = warm.run(*command, "--dry-run", "--json", "--store", fitted_store).document
    with Store(fitted_store).lease(planned["key"]):
        begun = time.monotonic()
        done = warm.run(*command, "--wait", seconds, "--store", fitted_store)
        assert_refused(done, 5, "is still working on")
        assert time.monotonic() - begun < 20
    assert warm.run(*command, "--wait", seconds, "--json", "--store", fitted_store).document["key"] == planned["key"]


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_what_is_no_time_to_wait_is_refused(warm: Warm, fitted_store: Path, seconds: str) -> None:
    done = warm.run("train-probes", f"--wait={seconds}", "--store", fitted_store)
    assert done.returncode == 2, done.stderr
