"""A model on several devices, or with layers on the disk, gives what it gives on one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pasctl.models.load import load_model
from pasctl.models.placement import device_of, is_spread
from pasctl.models.selfcheck import self_check
from tests.devices import on_devices
from tests.tiny import save_tiny, tiny_loaded
from tests.whole_run import results

PLACES = {"embed": "cuda:0", "rotary": "cuda:0", "layers.0": "cuda:1", "layers.1": "cuda:0", "norm": "cuda:1"}
ALL_ON_DISK = {"model.embed_tokens": "disk", "model.layers": "disk", "lm_head": "disk"}


def require_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name].cpu(), tensor, atol=tolerance, rtol=tolerance, msg=name)


# softcap and sliding windows, a norm behind the rotation, layers with a state
@pytest.mark.parametrize("family", ["gemma2", "hunyuan_v1_dense", "lfm2"])
def test_two_devices_give_what_one_does(family: str, tmp_path: Path) -> None:
    model = tiny_loaded(family)
    expected = results(model, tmp_path)
    places = {f"model.{part}": place for part, place in PLACES.items()} | {"model.layers": "cuda:1", "": "cuda:0"}
    with on_devices(model, places) as spread:
        assert spread.device == "cuda:0"
        assert is_spread(spread.model)
        self_check(spread)
        require_same(results(spread, tmp_path), expected)


@pytest.mark.parametrize(
    ("family", "places"),
    [
        ("llama", {"model.layers.1": "disk"}),
        ("qwen3_moe", ALL_ON_DISK),  # whose weights transformers converts as it reads them
        ("hunyuan_v1_dense", ALL_ON_DISK),  # the weights of a norm are read by pasctl itself
    ],
)
def test_layers_on_the_disk_give_what_those_in_memory_do(family: str, places: dict[str, str], tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", family)
    expected = results(load_model(str(folder), dtype="float32"), tmp_path)
    offloaded = load_model(str(folder), dtype="float32", device_map=_whole(places))
    meta = [name for name, weight in offloaded.model.named_parameters() if weight.is_meta]
    assert meta
    assert is_spread(offloaded.model)
    assert offloaded.device == "cpu"
    require_same(results(offloaded, tmp_path), expected)


def test_the_device_of_a_module_is_where_it_computes(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path, "llama")
    model = load_model(str(folder), dtype="float32", device_map=_whole({"model.layers.1": "disk"}))
    modules = [model.model.model.layers[1].self_attn.o_proj, model.lm_head, torch.nn.Identity()]
    assert [str(device_of(module)) for module in modules] == ["cpu"] * 3
    assert modules[0].weight.is_meta


def _whole(places: dict[str, str]) -> dict[str, str]:
    """A device map of all of a tiny model, on the CPU where nothing else is said."""
    parts = ["model.embed_tokens", *(f"model.layers.{number}" for number in range(3)), "model.norm"]
    parts += ["model.rotary_emb", "lm_head"]
    return {part: next((where for name, where in places.items() if part.startswith(name)), "cpu") for part in parts}
