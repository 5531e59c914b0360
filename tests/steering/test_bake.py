"""A baked checkpoint, loaded by plain transformers, is the steered model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, bake, steer
from pasctl.steering.as_llama import has_window
from pasctl.steering.bake import bake_values, value_shift
from tests.steering.test_hooks import WIDTH, logits, random_intervention
from tests.tiny import FAMILIES, HEAD_DIM, HEADS, KV_HEADS, tiny_loaded, tiny_model, tiny_tokenizer


def shared_intervention(seed: int) -> Intervention:
    """Displacements in layers 0 and 2 that the heads of a key-value group share, different between groups."""
    generator = torch.Generator().manual_seed(seed)
    per_group = (torch.randn(KV_HEADS, 1, HEAD_DIM, generator=generator) for _ in range(2))
    rows = [each.expand(-1, HEADS // KV_HEADS, -1).reshape(1, WIDTH) for each in per_group]
    return Intervention(dict(zip((0, 2), rows, strict=True)))


@pytest.mark.parametrize("family", FAMILIES)
def test_baked_equals_steered(family: str, tmp_path: Path) -> None:
    model = tiny_loaded(family)
    ids = torch.randint(10, 400, (2, 9), generator=torch.Generator().manual_seed(2))
    plain = logits(model, ids)
    intervention = random_intervention(7)
    bake(model, intervention, tmp_path / "baked")
    with steer(model, intervention):
        expected = logits(model, ids)
    baked, report = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.inference_mode():
        found = baked.eval()(ids, use_cache=False).logits
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)
    assert (found - plain).abs().max() > 0.1
    assert torch.equal(logits(model, ids), plain)
    assert getattr(model.model.config, "attention_bias", False) is False
    assert baked.config.model_type == ("llama" if family in ("mistral", "qwen2") else family)


def test_a_baked_checkpoint_is_written_from_the_models_own_tensors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second copy of the weights would be a second model in memory: only biases are new."""
    model = tiny_loaded("llama")
    own = {tensor.data_ptr() for tensor in model.model.state_dict().values()}
    written: dict[str, torch.Tensor] = {}
    save = model.model.save_pretrained

    def spy(folder: Path, *, state_dict: dict[str, torch.Tensor], **how: str) -> None:
        written.update(state_dict)
        save(folder, state_dict=state_dict, **how)

    monkeypatch.setattr(model.model, "save_pretrained", spy)
    bake(model, random_intervention(4), tmp_path / "baked", max_shard_size="50KB")
    copied = [name for name, tensor in written.items() if tensor.data_ptr() not in own]
    assert copied
    assert all(name.endswith("_proj.bias") for name in copied)
    files = sorted((tmp_path / "baked").glob("*.safetensors"))
    assert len(files) > 2
    largest = max(tensor.nbytes for tensor in written.values())
    assert all(path.stat().st_size < max(50_000, largest) + 10_000 for path in files)


def test_a_family_without_the_switch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="family mixtral has no o_proj bias"):
        bake(tiny_loaded("mixtral"), random_intervention(8), tmp_path / "baked")
    with pytest.raises(InputError, match=r"family mixtral has no v_proj bias"):
        bake_values(tiny_loaded("mixtral"), shared_intervention(8), tmp_path / "baked")
    assert not (tmp_path / "baked").exists()


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("mistral", {"sliding_window": 24}),
        ("qwen2", {"layer_types": ["full_attention", "sliding_attention", "full_attention"], "sliding_window": 24}),
    ],
)
def test_a_sliding_window_is_what_a_llama_does_not_compute(
    family: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    model = LoadedModel.wrap(tiny_model(family, **changes), tiny_tokenizer())
    with pytest.raises(InputError, match=f"a {family} with a sliding window of 24 tokens cannot be written as a Llama"):
        bake(model, random_intervention(8), tmp_path / "baked")
    assert not (tmp_path / "baked").exists()


@pytest.mark.parametrize(
    ("said", "window"),
    [
        ({"model_type": "mistral", "sliding_window": None, "max_position_embeddings": 99}, False),
        ({"model_type": "mistral", "sliding_window": 98, "max_position_embeddings": 99}, True),
        ({"model_type": "mistral", "sliding_window": 99, "max_position_embeddings": 99}, False),
        ({"model_type": "mistral", "sliding_window": 9, "layer_types": ["full_attention"]}, True),
        ({"model_type": "qwen2", "sliding_window": 9, "use_sliding_window": False}, False),
        ({"model_type": "qwen2", "sliding_window": 9, "use_sliding_window": True}, True),
        ({"model_type": "qwen2", "sliding_window": 9, "layer_types": ["full_attention"]}, False),
    ],
)
def test_windows_are_found_in_configs(said: dict[str, Any], window: bool) -> None:
    assert has_window(said) == window


@pytest.mark.parametrize("family", FAMILIES)
def test_values_that_are_biased_equal_heads_that_are_steered(family: str, tmp_path: Path) -> None:
    model, ids = tiny_loaded(family), torch.randint(10, 400, (2, 9), generator=torch.Generator().manual_seed(2))
    intervention, plain = shared_intervention(7), logits(model, ids)
    bake_values(model, intervention, tmp_path / "baked")
    with steer(model, intervention):
        expected = logits(model, ids)
    baked, report = AutoModelForCausalLM.from_pretrained(tmp_path / "baked", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    with torch.inference_mode():
        found = baked.eval()(ids, use_cache=False).logits
    torch.testing.assert_close(found, expected, atol=5e-5, rtol=1e-5)
    assert (found - plain).abs().max() > 0.1
    assert torch.equal(logits(model, ids), plain)
    own = model.model.state_dict()
    moved = {name for name, bias in baked.state_dict().items() if name.endswith(".bias") and bias.any()}
    moved -= {name for name in moved if name in own and torch.equal(own[name], baked.state_dict()[name])}
    assert moved == {f"model.layers.{layer}.self_attn.v_proj.bias" for layer in (0, 2)}


def test_values_are_biased_only_where_a_groups_heads_move_alike(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="displaced differently") as caught:
        bake_values(tiny_loaded(), random_intervention(8), tmp_path / "baked")
    assert "--granularity kv-group" in str(caught.value.hint)
    assert not (tmp_path / "baked").exists()
    displaced = torch.arange(WIDTH).view(1, WIDTH) // (WIDTH // KV_HEADS) + 0.5  # the number of the group, and a half
    found = value_shift(displaced, tiny_loaded().geometry)
    assert found.tolist() == [0.5] * HEAD_DIM + [1.5] * HEAD_DIM


def test_rows_of_their_own_cannot_be_baked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one row"):
        bake(tiny_loaded(), Intervention({0: torch.ones(2, WIDTH)}), tmp_path / "baked")
