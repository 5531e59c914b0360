"""The library: the same stages, the same keys, and steering in a `with` block."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import pasctl
from pasctl.errors import InputError, MissingError
from tests.integration.warm import Warm

HEAVY = ("torch", "transformers", "pandas", "sklearn", "sqlalchemy", "numpy")


def test_import_is_light_and_every_name_is_there(clean_environment: dict[str, str]) -> None:
    script = (
        "import sys, pasctl\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "missing = [name for name in pasctl.__all__ if not hasattr(pasctl, name)]\n"
        "assert not missing, missing\n"
        "assert set(pasctl.__all__) <= set(dir(pasctl))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pasctl.no_such_name


def test_stages_from_python_have_the_keys_and_contents_of_the_command_line(
    tiny_folder: Path, finished_master: Path, tmp_path: Path
) -> None:
    """`finished_master` was made by the command line, in other processes."""
    store = pasctl.Store(tmp_path / "artifacts")
    options = pasctl.ModelOptions(dtype="float32")
    outcomes = [
        pasctl.extract(str(tiny_folder), store=store, options=options),
        pasctl.train_probes(personas="builtin:0-4", store=store),
        pasctl.fit_directions(store=store),
        pasctl.evaluate(alpha=4, modes="no-change,pas", reading="letters", store=store),
    ]
    by_command = {artifact.stage: artifact for artifact in pasctl.Store(finished_master).artifacts()}
    assert [outcome.stage for outcome in outcomes] == ["extract", "train-probes", "fit-directions", "eval"]
    for outcome in outcomes:
        assert outcome.artifact is not None
        assert outcome.reused is False
        assert outcome.key == by_command[outcome.stage].key
        assert outcome.artifact.content_digest == by_command[outcome.stage].content_digest
        assert outcome.artifact.name == by_command[outcome.stage].name


def test_run_gives_each_stage_as_it_comes(tiny_folder: Path, finished_store: Path) -> None:
    from pasctl.stages.pipeline import PipelineParams

    options = pasctl.ModelOptions(dtype="float32")
    how = {
        "recipe": "paper",
        "option_order": "both",
        "center": "letters",
        "reading": "letters",
        "modes": "no-change,pas",
        "alpha": 4,
    }
    params = PipelineParams(personas="builtin:0-4", options=options, **how)
    outcomes = pasctl.run([str(tiny_folder)], params, store=finished_store)
    assert next(iter(outcomes)).stage == "extract"
    rest = list(outcomes)
    assert [outcome.stage for outcome in rest] == ["train-probes", "fit-directions", "eval"]
    assert all(outcome.reused for outcome in rest)


def test_loaded_model_has_the_key_of_its_folder(tiny_folder: Path, tmp_path: Path) -> None:
    model = pasctl.load_model(str(tiny_folder), dtype="float32", device="cpu")
    by_model = pasctl.extract(model, store=tmp_path, dry_run=True)
    by_path = pasctl.extract(
        str(tiny_folder), store=tmp_path, dry_run=True, options=pasctl.ModelOptions(dtype="float32")
    )
    assert by_model.key == by_path.key


def test_steering_changes_logits_inside_the_block_and_not_after(tiny_folder: Path, finished_master: Path) -> None:
    import torch

    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    persona = pasctl.Store(finished_master).resolve("directions").read_json("personas.json")["ids"][0]
    ids = torch.tensor([model.chat.encode("How are you?")])

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return model.model(input_ids=ids).logits

    def steered(strength: float) -> torch.Tensor:
        shift = pasctl.intervention(model, persona, strength, store=finished_master)
        with pasctl.steer(model, shift):
            return logits()

    before = logits()
    assert not torch.allclose(steered(2.0), before, atol=1e-3)
    assert torch.equal(logits(), before)
    assert torch.equal(steered(0.0), before)
    # a stronger displacement moves further, and the opposite one elsewhere
    assert (steered(0.2) - before).norm() < (steered(0.4) - before).norm()
    assert not torch.allclose(steered(2.0), steered(-2.0), atol=1e-3)
    with (
        pytest.raises(RuntimeError, match="inside"),
        pasctl.steer(model, pasctl.intervention(model, persona, 4.0, store=finished_master)),
    ):
        raise RuntimeError("inside")
    assert torch.equal(logits(), before)


def test_intervention_refuses_what_it_has_no_directions_for(
    tiny_folder: Path, other_tiny_folder: Path, finished_master: Path
) -> None:
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    with pytest.raises(InputError, match="nobody"):
        pasctl.intervention(model, "nobody", 4.0, store=finished_master)
    other = pasctl.load_model(str(other_tiny_folder), dtype="float32")
    with pytest.raises(MissingError):
        pasctl.intervention(other, "nobody", 4.0, store=finished_master)
    with pytest.raises(InputError, match="another model"):
        pasctl.intervention(other, "nobody", 4.0, directions="directions/tiny-a", store=finished_master)


def test_command_line_reads_what_python_wrote(warm: Warm, tiny_folder: Path, tmp_path: Path) -> None:
    pasctl.extract(str(tiny_folder), store=tmp_path / "artifacts", options=pasctl.ModelOptions(dtype="float32"))
    done = warm.run(
        "extract", "--model", tiny_folder, "--dtype", "float32", "--json", "--store", tmp_path / "artifacts"
    )
    assert done.document["reused"] is True
