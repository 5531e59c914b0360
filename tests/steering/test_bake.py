"""A baked checkpoint, loaded by plain transformers, is the steered model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError
from pasctl.steering import Intervention, bake, steer
from tests.steering.test_hooks import WIDTH, logits, random_intervention
from tests.tiny import tiny_loaded


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
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
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - plain).abs().max() > 0.1
    assert torch.equal(logits(model, ids), plain)
    assert model.model.config.attention_bias is False


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


@pytest.mark.parametrize("family", ["qwen2", "mistral"])
def test_a_family_without_the_switch_is_refused(family: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"family {family} has no o_proj bias"):
        bake(tiny_loaded(family), random_intervention(8), tmp_path / "baked")
    assert not (tmp_path / "baked").exists()


def test_rows_of_their_own_cannot_be_baked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one row"):
        bake(tiny_loaded(), Intervention({0: torch.ones(2, WIDTH)}), tmp_path / "baked")
