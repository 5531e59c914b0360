"""Which artifacts are of a model that a user names."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from pasctl.errors import MissingError
from pasctl.stages.extract import extract
from pasctl.stages.model import ModelHandle, ModelOptions, of_model
from pasctl.stages.progress import Silent
from tests.tiny import save_tiny, tiny_loaded


def artifact(slug: str, identity: dict[str, str]) -> SimpleNamespace:
    return SimpleNamespace(model=slug, document={"model": identity})


def test_models_are_told_by_contents_by_hub_id_and_by_name(tmp_path: Path) -> None:
    one, two = (save_tiny(tmp_path / run / "checkpoint", seed=seed) for seed, run in enumerate("ab"))
    of_one = artifact("checkpoint", ModelHandle(str(one)).identity)
    of_two = artifact("checkpoint", ModelHandle(str(two)).identity)
    of_hub = artifact("qwen3-0.6b", {"kind": "hub", "repo": "Qwen/Qwen3-0.6B", "sha": "0" * 40})
    made = {"one": of_one, "two": of_two, "hub": of_hub}

    def fitting(name: str | None) -> set[str]:
        fits = of_model(name)
        return {key for key, each in made.items() if fits(each)}  # type: ignore[arg-type]

    assert fitting(None) == {"one", "two", "hub"}
    assert fitting(str(one)) == {"one"}
    assert fitting(str(two)) == {"two"}
    assert fitting("checkpoint") == {"one", "two"}
    assert fitting("Qwen/Qwen3-0.6B") == fitting("qwen3-0.6b") == {"hub"}
    assert fitting("Qwen/Qwen3-1.7B") == fitting("elsewhere/checkpoint") == set()
    with pytest.raises(MissingError, match="no complete model folder"):
        of_model(str(tmp_path))


def test_a_loaded_model_keeps_its_identity_and_is_not_loaded_again(tmp_path: Path) -> None:
    handle = ModelHandle(str(save_tiny(tmp_path / "tiny")), ModelOptions(dtype="float32"))
    assert not handle.is_loaded
    loaded = handle.load()
    again = ModelHandle.of(loaded)
    assert again.is_loaded
    assert again.load() is loaded
    assert again.identity == handle.identity
    assert again.numerics(0) == handle.numerics(0)
    assert ModelHandle.of(handle) is handle


class Notes(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_a_base_model_is_loaded_with_a_warning(tmp_path: Path) -> None:
    for template, warned in (("base", True), ("qwen3", False)):
        notes = Notes()
        ModelHandle(str(save_tiny(tmp_path / template, template=template))).load(notes)
        assert any("no chat template" in text for text in notes.said) == warned


@pytest.mark.parametrize("source", ["folder", "memory"])
def test_a_dry_run_counts_what_the_run_then_does(source: str, tmp_path: Path) -> None:
    model = tiny_loaded() if source == "memory" else str(save_tiny(tmp_path / "tiny"))
    planned = extract(model, store=tmp_path / "store", dry_run=True).plan
    made = extract(model, store=tmp_path / "store").artifact
    assert made is not None
    assert {name: planned[name] for name in ("tokens_asked", "tokens_run")} == {
        name: made.provenance["counts"][name] for name in ("tokens_asked", "tokens_run")
    }
    shards = [made.read_tensors(name)["head_outputs"] for name in made.files("head_outputs/")]
    size = 4 if isinstance(shards[0], np.ndarray) else 2
    assert planned["bytes"] == sum(math.prod(shard.shape) for shard in shards) * size


def test_two_models_in_memory_share_no_identity() -> None:
    assert ModelHandle.of(tiny_loaded()).identity != ModelHandle.of(tiny_loaded()).identity
