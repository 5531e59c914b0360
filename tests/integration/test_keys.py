"""What enters a key and what does not; and nothing of one model is ever used for another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.commands import declaration
from pasctl.errors import InputError
from pasctl.inventory import Inventory, builtin_inventory
from pasctl.stages.job import Outcome
from tests.integration.refusal import assert_refused
from tests.integration.warm import Warm

FP32 = pasctl.ModelOptions(dtype="float32", device="cpu")
Edit = Callable[[Path], None]


def _extract_key(model: Path, store: Path, **more: Any) -> str:
    return pasctl.extract(str(model), store=store, dry_run=True, **({"options": FP32} | more)).key


@pytest.fixture
def model_copy(tiny_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "copy"))


def _with_text(text: str) -> Inventory:
    inventory = builtin_inventory()
    first, *rest = inventory.items
    return replace(inventory, items=(replace(first, text=text), *rest))


EXTRACT_CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "seed": lambda: {"seed": 1},
    "dtype": lambda: {"options": replace(FP32, dtype="bfloat16")},
    "attention": lambda: {"options": replace(FP32, attn="eager")},
    "quantization": lambda: {"options": replace(FP32, quantize="int8")},
    "answers": lambda: {"answers": "all"},
    "option order": lambda: {"option_order": "forward"},
    "items": lambda: {"items": "all"},
    "item text": lambda: {"inventory": _with_text(builtin_inventory().items[0].text + " ")},
    "labels": lambda: {"inventory": replace(builtin_inventory(), labels=("Yes", "Rather", "So so", "Hardly", "No"))},
}


@pytest.mark.parametrize("change", EXTRACT_CHANGES)
def test_option_of_extract_enters_the_key(change: str, tiny_folder: Path, tmp_path: Path) -> None:
    assert _extract_key(tiny_folder, tmp_path, **EXTRACT_CHANGES[change]()) != _extract_key(tiny_folder, tmp_path)


def test_same_content_under_another_name_has_the_same_key(tiny_folder: Path, tmp_path: Path) -> None:
    """Guards the test above: a replaced inventory alone is no difference."""
    same = _extract_key(tiny_folder, tmp_path, inventory=_with_text(builtin_inventory().items[0].text))
    assert same == _extract_key(tiny_folder, tmp_path)


def _flip_weight(folder: Path) -> None:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _edit_json(name: str, **changes: Any) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def _edit_template(folder: Path) -> None:
    """Wherever this version of transformers keeps it."""
    for path in (folder / "chat_template.jinja", folder / "tokenizer_config.json"):
        if path.is_file() and "<|im_start|>assistant" in (text := path.read_text()):
            path.write_text(text.replace("<|im_start|>assistant", "<|im_start|>helper"))
            return
    raise AssertionError("the tiny model has no chat template to edit")


MODEL_EDITS: dict[str, Edit] = {
    "one bit of a weight": _flip_weight,
    "config": _edit_json("config.json", rms_norm_eps=1e-4),
    "chat template": _edit_template,
    "tokenizer": _edit_json("tokenizer_config.json", model_max_length=77),
}


@pytest.mark.parametrize("edit", MODEL_EDITS)
def test_content_of_the_model_folder_enters_the_key(
    edit: str, tiny_folder: Path, model_copy: Path, tmp_path: Path
) -> None:
    MODEL_EDITS[edit](model_copy)
    assert _extract_key(model_copy, tmp_path) != _extract_key(tiny_folder, tmp_path)


def test_what_does_not_change_the_result_stays_out_of_the_key(
    tiny_folder: Path, model_copy: Path, tmp_path: Path
) -> None:
    key = _extract_key(tiny_folder, tmp_path / "a")
    assert _extract_key(tiny_folder, tmp_path / "b") == key
    assert _extract_key(tiny_folder, tmp_path / "a", batch_tokens=64) == key
    assert _extract_key(tiny_folder, tmp_path / "a", options=replace(FP32, device="auto")) == key
    assert _extract_key(model_copy, tmp_path / "a") == key


def _run_stages(store: Path, seed: int = 0, **more: Any) -> dict[str, Outcome]:
    """The stages after extraction, on a store that has activations."""
    return {
        "train-probes": pasctl.train_probes(personas="builtin:0-4", store=store, seed=seed),
        "fit-directions": pasctl.fit_directions(store=store, seed=seed),
        "eval": pasctl.evaluate(
            store=store, alpha=4, modes="no-change,pas", reading="letters", seed=seed, dry_run=True, **more
        ),
    }


@pytest.mark.parametrize("stage", ["extract", "train-probes", "fit-directions", "eval"])
def test_stage_version_enters_the_key(
    stage: str, tiny_folder: Path, finished_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key() -> str:
        if stage == "extract":
            return _extract_key(tiny_folder, finished_store)
        return _run_stages(finished_store)[stage].key

    before = key()
    assert before in {artifact.key for artifact in pasctl.Store(finished_store).artifacts()}
    declared: Any = declaration(stage)
    monkeypatch.setattr(declared, "version", declared.version + 1)
    assert key() != before


DOWNSTREAM_CHANGES: dict[str, tuple[Callable[..., Outcome], dict[str, Any], dict[str, Any]]] = {
    f"{stage.__name__} {name}": (stage, base, {name: value})
    for stage, base, changes in (
        (
            pasctl.train_probes,
            {"personas": "builtin:0-4"},
            {"seed": 1, "personas": "builtin:0-3", "c": 0.5, "validation": 0.3, "weights": True},
        ),
        (pasctl.fit_directions, {}, {"seed": 1, "top_k": 3, "method": "probe-weight", "center": "population"}),
        (
            pasctl.evaluate,
            {"modes": "no-change,pas", "alpha": 4.0, "reading": "letters"},
            {
                "reading": "letters,statements",
                "control_people": 2,
                "seed": 1,
                "modes": "pas",
                "alpha": "4,5",
                "positions": "answer",
                "option_orders": 2,
                "control_draws": 1,
                "neutral_text": "none",
                "audit": 1,
            },
        ),
    )
    for name, value in changes.items()
}


@pytest.mark.parametrize("change", DOWNSTREAM_CHANGES)
def test_option_of_a_later_stage_enters_its_key(change: str, finished_master: Path) -> None:
    stage, base, changed = DOWNSTREAM_CHANGES[change]
    first = stage(**base, store=finished_master, dry_run=True)
    assert first.reused is True  # the base is what the store was made with
    assert stage(**(base | changed), store=finished_master, dry_run=True).key != first.key


def test_batches_and_places_stay_out_of_the_key_of_eval(finished_master: Path, finished_store: Path) -> None:
    base: dict[str, Any] = {"modes": "no-change,pas", "alpha": 4.0, "reading": "letters", "dry_run": True}
    key = pasctl.evaluate(store=finished_master, **base).key
    assert pasctl.evaluate(store=finished_store, **base).key == key
    assert pasctl.evaluate(store=finished_store, batch_tokens=100, **base).key == key
    assert pasctl.evaluate(store=finished_store, **(base | {"alpha": "4.0"})).key == key


@pytest.fixture(scope="module")
def two_models(
    finished_master: Path, other_tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, list[str]]]:
    """A store with all stages of both models, the second's made last; and each model's keys."""
    path = Path(shutil.copytree(finished_master, tmp_path_factory.mktemp("two") / "artifacts"))
    pasctl.extract(str(other_tiny_folder), store=path, options=FP32)
    _run_stages(path)
    pasctl.evaluate(store=path, alpha=4, modes="no-change,pas", reading="letters")
    store = pasctl.Store(path)
    return path, {slug: [a.key for a in store.artifacts(model=slug)] for slug in ("tiny-a", "tiny-b")}


def test_two_models_are_kept_apart(
    two_models: tuple[Path, dict[str, list[str]]], tiny_folder: Path, other_tiny_folder: Path, warm: Warm
) -> None:
    path, keys = two_models
    store = pasctl.Store(path)
    assert [len(keys[slug]) for slug in ("tiny-a", "tiny-b")] == [4, 4]
    assert set(keys["tiny-a"]).isdisjoint(keys["tiny-b"])

    # nothing of one was made from the other
    identities = {slug: store.lookup(keys[slug][0]).document["model"] for slug in keys}  # type: ignore[union-attr]
    for slug, own in keys.items():
        for artifact in store.artifacts(model=slug):
            assert artifact.document["model"] == identities[slug]
            assert {source.key for source in artifact.inputs.values()} <= set(own)

    # the latest that fits is each model's own, though the other's is newer
    for folder, slug in ((tiny_folder, "tiny-a"), (other_tiny_folder, "tiny-b")):
        outcome = pasctl.evaluate(model=str(folder), store=path, modes="pas", alpha=2, options=FP32, dry_run=True)
        assert outcome.inputs["directions"].startswith(f"directions/{slug}/")
        for stage in (pasctl.train_probes, pasctl.fit_directions):
            planned = stage(model=str(folder), store=path, seed=7, dry_run=True)
            assert all(f"/{slug}/" in name for name in planned.inputs.values())

    # and naming the other's is refused
    done = warm.run("eval", "--model", other_tiny_folder, "--directions", "directions/tiny-a", "--store", path)
    assert_refused(done, 2, "directions/tiny-a/builtin@v1", "another model")


def test_results_of_two_models_differ(two_models: tuple[Path, dict[str, list[str]]]) -> None:
    """Equal questions, equal personas: only the model tells the two apart, and it must show."""
    store = pasctl.Store(two_models[0])
    first, second = store.artifacts("results")
    assert first.model != second.model
    assert set(first.parts).isdisjoint(second.parts)
    assert first.read_json("metrics.json") != second.read_json("metrics.json")


@pytest.mark.parametrize("newer", [0, 1])
def test_two_models_in_folders_of_one_name_are_kept_apart(
    newer: int, tiny_folder: Path, other_tiny_folder: Path, tmp_path: Path
) -> None:
    """`runs/a/checkpoint-500` and `runs/b/checkpoint-500` share a name in the store, and nothing else."""
    folders = [
        shutil.copytree(source, tmp_path / name / "checkpoint-500")
        for name, source in (("a", tiny_folder), ("b", other_tiny_folder))
    ]
    store = tmp_path / "artifacts"
    older = 1 - newer
    made = {which: pasctl.extract(str(folders[which]), store=store, options=FP32) for which in (older, newer)}
    for which in (older, newer):
        probes = pasctl.train_probes(personas="E+", model=str(folders[which]), store=store)
        assert probes.artifact is not None
        assert probes.artifact.inputs["activations"].key == made[which].key
    for which in (older, newer):
        directions = pasctl.fit_directions(model=str(folders[which]), store=store)
        assert directions.artifact is not None
        assert directions.artifact.inputs["activations"].key == made[which].key


def test_model_changed_in_place_is_another_model(model_copy: Path, tmp_path: Path) -> None:
    """Directions of weights that were trained on since are refused, and a new extraction does not reuse the old one."""
    store = tmp_path / "artifacts"
    old = pasctl.extract(str(model_copy), store=store, options=FP32)
    pasctl.train_probes(personas="E+", store=store)
    pasctl.fit_directions(store=store)
    _flip_weight(model_copy)
    with pytest.raises(InputError, match="another model"):
        pasctl.evaluate(store=store, modes="pas", dry_run=True)
    assert pasctl.extract(str(model_copy), store=store, options=FP32, dry_run=True).key != old.key
