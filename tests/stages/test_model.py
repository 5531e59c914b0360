"""Which artifacts are of a model that a user names."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pasctl.errors import MissingError
from pasctl.stages.model import ModelHandle, ModelOptions, of_model
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


def test_two_models_in_memory_share_no_identity() -> None:
    assert ModelHandle.of(tiny_loaded()).identity != ModelHandle.of(tiny_loaded()).identity
