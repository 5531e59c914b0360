"""`pasctl inspect`: who a file is steered to, by what it says and by its bytes, and when the two are not one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner, Result

from pasctl.errors import InputError, MissingError
from pasctl.export.inspection import Inspection
from pasctl.export.origin import NAME, Origin, Trace, read_origin
from pasctl.stages.control_vector import export_control_vector
from pasctl.stages.export import export_model
from pasctl.stages.inspect import inspect_checkpoint
from tests.export.planted import ALPHA, plant
from tests.tiny import save_tiny

WEIGHTS = "model.safetensors"
PLACES = (
    *(("heads", "transformers"), ("groups", "stock"), ("groups", "gguf"), ("qwen2", "stock")),
    ("qwen2", "transformers"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of single heads with exports `out` and `vector.gguf`; one of groups with `stock`, `gguf`, `qwen2`."""
    folder = tmp_path_factory.mktemp("made")
    for name, family, granularity in (
        ("heads", "qwen3", "head"),
        ("groups", "qwen3", "kv-group"),
        ("qwen2", "qwen2", "kv-group"),
    ):
        (folder / name).mkdir()
        plant(folder / name, family, granularity=granularity)
    how = {"alpha": ALPHA, "persona": "E+", "base_model": "org/tiny"}
    for name, engine in PLACES:
        export_model("directions", folder / name / engine, engine=engine, store=folder / name / "store", **how)
    export_control_vector("directions", folder / "heads" / "vector.gguf", store=folder / "heads" / "store", **how)
    return folder


@pytest.mark.parametrize(
    ("place", "kind", "carrier"),
    [
        ("heads/transformers", "folder", "o_proj.bias"),
        ("groups/stock", "folder", "v_proj.bias"),
        ("groups/gguf/model.gguf", "gguf", "v_proj.bias"),
        ("heads/vector.gguf", "vector", "vector"),
    ],
)
def test_a_file_tells_who_it_is(place: str, kind: str, carrier: str, made: Path) -> None:
    found = inspect_checkpoint(made / place, store=made / place.split("/")[0] / "store")
    assert (found.kind, list(found.carried), found.strength, found.fault) == (kind, [carrier], ALPHA, None)
    said = found.origin
    assert said is not None
    assert (said.persona, said.alpha, said.positions, said.base_model) == ("E+", ALPHA, "all", "org/tiny")
    assert list(found.carried[carrier]) == sorted(said.traces) == ([2] if kind == "vector" else [0, 2])
    if kind != "vector":  # the store has the directions that the file names, and they fit its bytes
        assert (found.matches[0].persona, found.matches[0].alpha) == ("E+", pytest.approx(ALPHA, rel=1e-5))
        assert found.matches[0].cosine == pytest.approx(1, abs=1e-5)
        assert abs(found.matches[1].cosine) < 0.5


def test_a_file_without_words_is_told_by_its_bytes(made: Path, tmp_path: Path) -> None:
    """transformers saves the model again elsewhere, in another dtype, and somebody removes what config.json said."""
    model = AutoModelForCausalLM.from_pretrained(made / "heads" / "transformers", dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    assert inspect_checkpoint(tmp_path, store=tmp_path / "none").strength == ALPHA  # which transformers has kept
    config = json.loads((tmp_path / "config.json").read_text())
    del config[NAME]
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = inspect_checkpoint(tmp_path, directions="directions", store=made / "heads" / "store")
    assert (found.origin, found.strength, found.fault) == (None, None, None)
    assert (found.matches[0].persona, found.matches[0].alpha) == ("E+", pytest.approx(ALPHA, rel=1e-2))


def change(folder: Path, how: Callable[[torch.Tensor], torch.Tensor], ends: str = "o_proj.bias") -> None:
    state = load_file(folder / WEIGHTS)
    save_file({name: how(value) if name.endswith(ends) else value for name, value in state.items()}, folder / WEIGHTS)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (lambda bias: 0.5 * bias, "its o_proj.bias is alpha 1"),
        (lambda bias: -bias, "its o_proj.bias is alpha -2"),
        (lambda bias: bias.roll(1), "its o_proj.bias is another shift"),
        (torch.zeros_like, "has no o_proj.bias that does it"),
    ],
)
def test_bytes_that_contradict_what_is_said(
    how: Callable[[torch.Tensor], torch.Tensor], words: str, made: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    shutil.copytree(made / "heads" / "transformers", folder)
    change(folder, how)
    found = inspect_checkpoint(folder, store=tmp_path / "none")
    assert found.fault is not None
    assert words in found.fault


def test_against_its_base_all_tensors_are_compared(made: Path, tmp_path: Path) -> None:
    base, out = made / "heads" / "tiny-qwen3", tmp_path / "out"
    shutil.copytree(made / "heads" / "transformers", out)

    def inspected() -> Inspection:
        return inspect_checkpoint(out, base=str(base), store=tmp_path / "none")

    same = inspected().difference
    assert same is not None
    assert same.none
    assert same.same == len(load_file(base / WEIGHTS))
    change(out, lambda weight: weight + 0.01, "layers.1.mlp.up_proj.weight")
    changed = inspected().difference
    assert changed is not None
    assert changed.changed == ("model.layers.1.mlp.up_proj.weight",)
    plain = inspect_checkpoint(base, base=str(base), store=tmp_path / "none")
    assert (plain.carried, plain.origin, plain.difference and plain.difference.none) == ({}, None, True)
    with pytest.raises(InputError, match=r"is a gguf, and .* a folder"):
        inspect_checkpoint(made / "groups" / "gguf" / "model.gguf", base=str(base), store=tmp_path / "none")


def test_biases_of_the_model_itself_are_no_shift(made: Path, tmp_path: Path) -> None:
    """Qwen2 has biases of q, k and v: beside them a shift of v is told by the base, or by nothing."""
    base, out, store = made / "qwen2" / "tiny-qwen2", made / "qwen2" / "stock", made / "qwen2" / "store"
    alone = inspect_checkpoint(out, store=tmp_path / "none")
    assert (alone.own, alone.strength, alone.fault) == (True, None, None)
    found = inspect_checkpoint(out, base=str(base), store=store)
    assert (found.own, found.strength, found.fault) == (False, ALPHA, None)
    assert list(found.carried["v_proj.bias"]) == [0, 2]
    assert found.matches[0].cosine == pytest.approx(1, abs=1e-5)
    plain = inspect_checkpoint(base, store=tmp_path / "none")
    assert (plain.origin, plain.own) == (None, True)
    written = inspect_checkpoint(made / "qwen2" / "transformers", base=str(base), store=store)  # as a Llama
    assert (written.family, written.strength, list(written.carried)) == ("llama", ALPHA, ["o_proj.bias"])
    assert written.difference is not None
    assert written.difference.none
    shutil.copytree(made / "qwen2" / "transformers", tmp_path / "out")
    change(tmp_path / "out", lambda bias: 0.5 * bias)  # of o_proj, beside the model's own of q, k and v
    halved = inspect_checkpoint(tmp_path / "out", store=tmp_path / "none")
    assert (halved.own, halved.strength) == (True, pytest.approx(ALPHA / 2, rel=1e-5))


def test_what_cannot_be_inspected_is_refused_in_one_line(made: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "pytorch_model.bin").write_bytes(b"")
    (tmp_path / "text").write_text("no model")
    for name, words in (
        ("empty", "has no model.safetensors"),
        ("pickled", "only pickled weights"),
        ("text", "is not a GGUF file"),
    ):
        with pytest.raises(InputError, match=words):
            inspect_checkpoint(tmp_path / name)
    with pytest.raises(MissingError, match="no such file or folder"):
        inspect_checkpoint(tmp_path / "none")
    with pytest.raises(InputError, match=r"its weights in a \.gguf file"):
        inspect_checkpoint(made / "groups" / "gguf")
    other = save_tiny(tmp_path / "qwen2", "qwen2", head_dim=8)
    with pytest.raises(InputError, match=r"v_proj\.bias of layer 0 is 32 wide, of .* 16"):
        inspect_checkpoint(made / "groups" / "stock", base=str(other), store=tmp_path / "none")


def test_an_export_with_other_words_is_another(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "heads", tmp_path / "heads")
    store, out = tmp_path / "heads" / "store", tmp_path / "heads" / "transformers"
    how = {"alpha": ALPHA, "persona": "E+", "store": store}
    assert not export_model("directions", out, base_model="org/tiny", **how).written
    assert not export_model("directions", out, **how).written
    with pytest.raises(InputError, match="holds another export"):
        export_model("directions", out, base_model="org/other", **how)
    with pytest.raises(InputError, match="is no repository of a hub"):
        export_model("directions", tmp_path / "new", base_model="tiny-qwen3", **how)


def test_what_a_file_says_is_read_within_bounds(tmp_path: Path) -> None:
    origin = Origin("E+", 2.0, "all", "org/x", "directions/x", "s1:0", "d", "", "vector", {3: Trace(1.0, 2, -0.5)})
    assert Origin.of_document(json.loads(json.dumps(origin.document()))) == origin
    for name, value in (
        ("alpha", "2"),
        ("alpha", float("nan")),
        ("alpha", 10**400),
        ("persona", None),
        ("carrier", "mlp"),
        ("traces", []),
        ("traces", {"-1": {"norm": 1, "place": 0, "value": 1}}),
        ("traces", {"1": {"norm": 1, "place": -1, "value": 1}}),
        ("format", "pasctl-steering/2"),
    ):
        assert Origin.of_document(origin.document() | {name: value}) is None
    (tmp_path / "config.json").write_text("[" * 9999)
    assert read_origin(tmp_path) is None


def command(*words: object) -> Result:
    from pasctl.cli.app import app

    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_prints_what_was_found_and_fails_on_a_contradiction(made: Path, tmp_path: Path) -> None:
    store = made / "heads" / "store"
    done = command(
        "inspect", made / "heads" / "transformers", "--store", store, "--base", made / "heads" / "tiny-qwen3"
    )
    assert done.exit_code == 0, done.output
    for words in (
        "says     E+ at alpha 2, at every position, on org/tiny",
        "carries  o_proj.bias in layers 0, 2",
        "other tensors are the base's",
        "fits     E+ at alpha 2, cosine 1.000",
        "so       it is steered to E+ at alpha 2, as it says",
    ):
        assert words in done.output
    shutil.copytree(made / "heads" / "transformers", tmp_path / "out")
    change(tmp_path / "out", lambda bias: 0.5 * bias)
    halved = command("inspect", tmp_path / "out", "--store", store, "--json")
    assert halved.exit_code == 1
    document = json.loads(halved.stdout)
    assert document["strength"] == pytest.approx(ALPHA / 2, rel=1e-5)
    assert document["personas"][0]["alpha"] == pytest.approx(ALPHA / 2, rel=1e-5)
    assert "its o_proj.bias is alpha 1" in document["fault"]
    plain = command("inspect", made / "heads" / "tiny-qwen3", "--store", store)
    assert "it is not steered in a way that pasctl writes" in plain.output


def test_the_command_says_who_reads_a_vector_and_how_near_it_comes(made: Path, tmp_path: Path) -> None:
    how = ("--persona", "ada", "--alpha", ALPHA, "--dtype", "float32", "--store", made / "heads" / "store")
    exact = command("export", "directions", "--control-vector", tmp_path / "v.safetensors", *how)
    assert exact.exit_code == 0, exact.output
    assert "added after the attention: the steering itself" in exact.output
    near = command("export", "directions", "--control-vector", tmp_path / "v.json", "--json", *how)
    document = json.loads(near.stdout)
    assert (document["format"], document["added_after"], document["layers"]) == ("vllm-lens", "block", [0, 2])
    assert document["measured"]["mean"] > 0.01
    refused = command("export", "directions", "-o", tmp_path / "x", "--vector-format", "repeng", *how)
    assert refused.exit_code == 2
    assert "--vector-format is for --control-vector" in refused.output
