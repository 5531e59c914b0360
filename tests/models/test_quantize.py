"""Quantized weights: a model with them is the model of the numbers that they stand for, in all that pasctl does."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn

from pasctl.activations.extract import extract_head_outputs
from pasctl.errors import InputError, MissingError
from pasctl.memory.proof import prove_memory
from pasctl.models.footprint import Packed
from pasctl.models.identity import resolve_model
from pasctl.models.load import LoadedModel, load_meta_model, load_model
from pasctl.models.options import ModelOptions
from pasctl.models.quantize import require_plain
from pasctl.models.selfcheck import self_check
from pasctl.stages.model import ModelHandle, options_of_artifact
from pasctl.stages.reproduce import Made, reproduce
from pasctl.steering import Intervention, steer
from pasctl.steering.hooks import output_shift
from tests.stages.test_reproduce import EVALUATED, options
from tests.tiny import save_tiny

torchao = pytest.mark.skipif(importlib.util.find_spec("torchao") is None, reason="torchao is not installed")
CASES = [(family, bits) for family in ("qwen3", "llama", "qwen3_moe") for bits in ("int8", "int4")]
WIDE = {"hidden_size": 96}  # of which int4's groups of 32 are a part; 48, the usual tiny width, is left alone


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))


def is_packed(weight: torch.Tensor) -> bool:
    return type(weight) is not nn.Parameter


def dequantized(folder: Path, quantized: LoadedModel) -> LoadedModel:
    """The oracle: the folder's plain model with, in each layer, the matrix that the quantized layer multiplies by."""
    plain = load_model(str(folder), dtype="float32", device="cpu")
    for name, part in quantized.model.named_modules():
        if isinstance(part, nn.Linear) and is_packed(part.weight):
            bias = 0 if part.bias is None else part.bias
            plain.model.get_parameter(f"{name}.weight").data = (part(torch.eye(part.in_features)) - bias).T.contiguous()
    return plain


def random_intervention(model: LoadedModel) -> Intervention:
    generator = torch.Generator().manual_seed(2)
    shifts = {layer: torch.randn(1, model.geometry.width, generator=generator) for layer in (0, 2)}
    return Intervention(shifts)


@torchao
@pytest.mark.parametrize(("family", "bits"), CASES)
def test_head_outputs_and_steered_logits_are_those_of_the_dequantized_model(
    tmp_path: Path, family: str, bits: str
) -> None:
    folder = save_tiny(tmp_path / "m", family, **WIDE)
    quantized = load_model(str(folder), dtype="float32", device="cpu", quantize=bits)
    plain, stored = dequantized(folder, quantized), load_model(str(folder), dtype="float32", device="cpu")
    packed = [module for module in quantized.outputs() if is_packed(module.weight)]
    assert len(packed) == quantized.geometry.layers
    sequences = [quantized.chat.encode(text) for text in ("I worry.", "I am the life of the party.", "I worry a lot.")]
    ours, oracle, other = (
        extract_head_outputs(model, sequences, batch_tokens=64).head_outputs for model in (quantized, plain, stored)
    )
    torch.testing.assert_close(ours, oracle, rtol=2e-5, atol=2e-5)
    assert (other - oracle).abs().max() > 1e-3, "what is left of a difference is rounding, not quantization"

    ids, shift = torch.tensor([sequences[1]]), random_intervention(quantized)
    with torch.inference_mode():
        before = plain.model(ids).logits
        torch.testing.assert_close(quantized.model(ids).logits, before, rtol=5e-5, atol=5e-5)
        with steer(quantized, shift), steer(plain, shift):
            steered, expected = quantized.model(ids).logits, plain.model(ids).logits
    torch.testing.assert_close(steered, expected, rtol=5e-5, atol=5e-5)
    assert (steered - before).abs().max() > 0.1


@torchao
@pytest.mark.parametrize(("family", "bits"), CASES)
def test_a_shift_of_head_outputs_is_a_bias_of_the_packed_projection(tmp_path: Path, family: str, bits: str) -> None:
    """Against the input itself shifted: adding W d to the output is the same if d meets the numbers of the weights."""
    folder = save_tiny(tmp_path / "m", family, **WIDE)
    model = load_model(str(folder), dtype="float32", device="cpu", quantize=bits)
    ids, shift = torch.tensor([[5, 6, 7, 8]]), random_intervention(model)
    with torch.inference_mode(), steer(model, shift):
        ours = model.model(ids).logits
    handles = [
        model.outputs()[layer].register_forward_pre_hook(lambda _, given, d=displacement: (given[0] + d,))
        for layer, displacement in shift.displacements.items()
    ]
    with torch.inference_mode():
        shifted = model.model(ids).logits
    for handle in handles:
        handle.remove()
    torch.testing.assert_close(ours, shifted, rtol=5e-5, atol=5e-5)


@torchao
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bits", ["int8", "int4"])
def test_scores_and_both_proofs_hold(tmp_path: Path, bits: str, dtype: str) -> None:
    folder = save_tiny(tmp_path / "m", **WIDE)
    model = load_model(str(folder), dtype=dtype, device="cpu", quantize=bits)
    assert (model.dtype, model.quantization) == (dtype, bits)
    assert self_check(model).layers == 3
    assert prove_memory(model).holds, prove_memory(model)
    ids, letters = torch.tensor([model.chat.encode("I worry about things.")]), model.chat.letter_ids()
    with torch.inference_mode():
        hidden, full = model.backbone(ids).last_hidden_state, model.model(ids).logits.float()
        rounding = {"float32": 1e-5, "bfloat16": 0.03, "float16": 0.004}[dtype]
        close: Any = {"rtol": rounding, "atol": rounding}
        torch.testing.assert_close(model.letter_logits(hidden, letters), full[..., letters], **close)
        torch.testing.assert_close(model.tile_logits(hidden, 10, 90), full[..., 10:90], **close)
        wanted = torch.tensor([letters[:2]])
        torch.testing.assert_close(model.token_logits(hidden[:, -1], wanted), full[:, -1, letters[:2]], **close)


def assert_alike(ours: Packed | None, expected: Packed | None) -> None:
    """The same but for the few bytes of a rotation's frequencies, which are no weights."""
    assert ours is not None
    assert expected is not None
    assert ours == replace(expected, size=ours.size)
    assert expected.size <= ours.size <= 1.001 * expected.size


@torchao
@pytest.mark.parametrize(("family", "bits"), CASES)
def test_what_it_takes_is_told_before_it_is_loaded(tmp_path: Path, family: str, bits: str) -> None:
    folder = save_tiny(tmp_path / "m", family, **WIDE)
    expected = load_meta_model(str(folder), dtype="float32", quantization=bits)
    plain = load_model(str(folder), dtype="float32", device="cpu")
    loaded = load_model(str(folder), dtype="float32", device="cpu", quantize=bits)
    assert_alike(loaded.footprint.sizes.packed, expected.sizes.packed)
    assert plain.footprint.sizes.packed is None
    assert loaded.footprint.weights < plain.footprint.weights
    assert loaded.footprint.resting < plain.footprint.resting


@torchao
def test_a_layer_that_int4_has_no_groups_for_is_left_alone_and_said(tmp_path: Path) -> None:
    folder, notes = save_tiny(tmp_path / "m"), []
    model = load_model(str(folder), dtype="float32", device="cpu", quantize="int4", note=notes.append)
    packed = {name for name, part in model.model.named_modules() if is_packed(getattr(part, "weight", nn.Parameter()))}
    assert packed == {
        f"model.layers.{layer}.{part}" for layer in range(3) for part in ("self_attn.o_proj", "mlp.down_proj")
    }
    assert_alike(model.footprint.sizes.packed, load_meta_model(str(folder), quantization="int4").sizes.packed)
    [note] = notes
    assert "--quantize int4 packs 2" in note
    narrow = save_tiny(tmp_path / "narrow", num_attention_heads=5, num_key_value_heads=1, intermediate_size=40)
    with pytest.raises(InputError, match="packs no layer of this model: none is a multiple of 32 wide"):
        load_model(str(narrow), dtype="float32", device="cpu", quantize="int4")


@torchao
def test_int4_runs_in_bfloat16_unless_told_otherwise(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m", **WIDE)
    assert load_model(str(folder), device="cpu", quantize="int4").dtype == "bfloat16"
    assert ModelHandle(str(folder), ModelOptions(device="cpu", quantize="int4")).dtype == "bfloat16"


def test_keys_have_it_only_where_it_is_asked_for(tmp_path: Path) -> None:
    folder = str(save_tiny(tmp_path / "m"))
    known = {"dtype": "float32", "device": "cpu"}
    kinds = {
        name: ModelHandle(folder, ModelOptions(**known, quantize=name)).numerics(0)
        for name in ("auto", "none", "int8", "int4")
    }
    assert kinds["auto"] == kinds["none"] == {"dtype": "float32", "attn": "sdpa", "seed": 0}
    for name in ("int8", "int4"):
        assert kinds[name] == kinds["none"] | {"quantize": name}
        handle = ModelHandle(folder, ModelOptions(**known, quantize=name))
        assert handle.provenance()["quantize"] == name
        assert not handle.is_like(ModelHandle(folder, ModelOptions(**known)))
    assert "quantize" not in ModelHandle(folder).provenance()


def test_the_command_of_an_artifact_has_the_weights_that_it_was_made_with() -> None:
    """Also where they were plain by choice: without the option they would be those of the directions."""

    def recorded(numerics: dict[str, Any], **model: Any) -> Any:
        document = {"model": {"kind": "folder"}, "numerics": {"dtype": "float32", **numerics}}
        provenance = {"model": {"spec": "m", **model}}
        made: Any = SimpleNamespace(
            stage="eval", document=document, provenance=provenance, params={}, inputs={}, label="m"
        )
        return Made.of(made).numerics.get("quantize")

    assert recorded({}) is None
    assert recorded({"quantize": "int8"}, quantize="int8") == "int8"
    assert recorded({}, quantize="none") == "none"
    line = reproduce(replace(EVALUATED, numerics={**EVALUATED.numerics, "quantize": "none"}))
    assert options(line)["--quantize"] == "none"


def test_a_later_command_takes_the_weights_that_its_input_was_made_with() -> None:
    made: Any = SimpleNamespace(provenance={"model": {"dtype": "float32", "attn": "sdpa", "quantize": "int8"}})
    assert options_of_artifact(made, ModelOptions()).quantize == "int8"
    assert options_of_artifact(made, ModelOptions(quantize="none")).quantize == "none"


@torchao
def test_a_loaded_model_has_the_key_of_its_weights(tmp_path: Path) -> None:
    """Whether it is handed over as an object, or named on a command line."""
    folder = save_tiny(tmp_path / "m")
    loaded = load_model(str(folder), dtype="float32", device="cpu", quantize="int8")
    named = ModelHandle(str(folder), ModelOptions(dtype="float32", device="cpu", quantize="int8"))
    assert ModelHandle.of(loaded).numerics(3) == named.numerics(3)
    assert ModelHandle.of(loaded).is_like(named)


class Float8Linear(nn.Module):
    """A projection as FP8 checkpoints have it: its own dtype holds three bits of a number's fraction."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter((weight / 0.01).to(torch.float8_e4m3fn), requires_grad=False)
        self.weight_scale_inv = nn.Parameter(torch.tensor(0.01), requires_grad=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(inputs, self.weight.float() * self.weight_scale_inv)


def test_a_displacement_is_not_rounded_to_the_dtype_that_packed_weights_are_kept_in() -> None:
    generator = torch.Generator().manual_seed(1)
    module = Float8Linear(torch.randn(12, 20, generator=generator))
    displacement = torch.randn(2, 20, generator=generator)
    torch.testing.assert_close(output_shift(module, displacement), module(displacement), rtol=1e-6, atol=1e-6)


def with_quantization(folder: Path, **stored: Any) -> Path:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": stored}))
    return folder


def no_package(monkeypatch: pytest.MonkeyPatch, *absent: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name in absent else real(name, *rest))


def test_without_torchao_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_package(monkeypatch, "torchao")
    with pytest.raises(MissingError, match="--quantize int8 needs the package torchao") as caught:
        load_model(str(save_tiny(tmp_path / "m")), device="cpu", quantize="int8")
    assert caught.value.hint == "pip install 'pasctl[quantize]'"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"quantize": "int3"}, r"quantization 'int3' is unknown, expected auto, none, int8, int4"),
        ({"quantize": "int4", "device_map": "auto"}, "one kind of device"),
    ],
)
def test_what_cannot_be_quantized_is_one_line(tmp_path: Path, how: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_model(str(save_tiny(tmp_path / "m")), **how)


def test_no_checkpoint_is_written_of_packed_weights(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    require_plain(resolve_model(str(folder)), None)
    with pytest.raises(InputError, match="as it is stored, found --quantize int4"):
        require_plain(resolve_model(str(folder)), "int4")
    with_quantization(folder, quant_method="gptq", bits=4, group_size=128)
    with pytest.raises(InputError, match=r"is quantized \(gptq\): its projections are packed"):
        require_plain(resolve_model(str(folder)), None)


def test_a_gguf_file_is_not_quantized_again(tmp_path: Path) -> None:
    from pasctl.export.gguf_model import write_model

    model = load_model(str(save_tiny(tmp_path / "m", "llama")), device="cpu")
    write_model(model, {}, tmp_path / "m.gguf")
    with pytest.raises(InputError, match=r"is a \.gguf file, which has its own quantization"):
        load_model(str(tmp_path / "m.gguf"), device="cpu", quantize="int8")


def test_a_quantized_checkpoint_is_not_quantized_again(tmp_path: Path) -> None:
    folder = with_quantization(save_tiny(tmp_path / "m"), quant_method="gptq", bits=4, group_size=128)
    with pytest.raises(InputError, match=r"is quantized already \(gptq\)"):
        load_model(str(folder), device="cpu", quantize="int8")


@pytest.mark.parametrize(
    ("stored", "package"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "optimum"),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "gptqmodel"),
        ({"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {}}, "compressed-tensors"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
    ],
)
def test_a_quantized_checkpoint_whose_package_is_absent_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: dict[str, Any], package: str
) -> None:
    if importlib.util.find_spec(package.replace("-", "_")) is not None:
        pytest.skip(f"{package} is installed")
    folder = with_quantization(save_tiny(tmp_path / "m"), **stored)
    monkeypatch.setattr("pasctl.models.load.read_weights", lambda *_, **__: pytest.fail("weights are read"))
    with pytest.raises(MissingError, match=rf"is quantized \({stored['quant_method']}\).*{package}") as caught:
        load_model(str(folder), device="cpu")
    assert "\n" not in caught.value.message


def test_a_quantization_that_nobody_knows_is_one_line(tmp_path: Path) -> None:
    folder = with_quantization(save_tiny(tmp_path / "m"), quant_method="no-such")
    with pytest.raises(Exception, match=r"is quantized \(no-such\) and cannot be read here") as caught:
        load_model(str(folder), device="cpu")
    assert "\n" not in str(caught.value)


def rounded_to_float8(weight: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A matrix in float8, the scales of its square blocks, and the numbers that the two stand for."""
    rows, columns = (size // block for size in weight.shape)
    tiles = weight.reshape(rows, block, columns, block)
    scales = tiles.abs().amax(dim=(1, 3)) / torch.finfo(torch.float8_e4m3fn).max
    packed = (tiles / scales[:, None, :, None]).to(torch.float8_e4m3fn)
    return packed.reshape(weight.shape), scales, (packed.float() * scales[:, None, :, None]).reshape(weight.shape)


def test_an_fp8_checkpoint_is_unpacked_where_there_is_no_gpu(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("transformers keeps it packed here")
    if transformers.__version__.startswith("5.16."):
        pytest.skip("transformers 5.16 fails in its own code: one line says so")
    folder = save_tiny(tmp_path / "m", **WIDE)
    weights, expected = load_file(folder / "model.safetensors"), {}
    for name in [name for name in weights if name.endswith("_proj.weight")]:
        packed, scales, expected[name] = rounded_to_float8(weights[name], 32)
        weights |= {name: packed, name.replace(".weight", ".weight_scale_inv"): scales}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with_quantization(folder, quant_method="fp8", activation_scheme="dynamic", weight_block_size=[32, 32])
    model = load_model(str(folder), dtype="float32", device="cpu")
    for name, numbers in expected.items():
        assert torch.equal(model.model.get_parameter(name), numbers), name
    assert load_meta_model(str(folder)).sizes.packed is None is model.footprint.sizes.packed


@torchao
@pytest.mark.parametrize("embeddings", [False, True])
def test_a_checkpoint_that_was_saved_quantized_is_the_model_that_was_saved(tmp_path: Path, embeddings: bool) -> None:
    """Its packed weights are read as they are; where lm_head is packed too, single tokens' scores are still right."""
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import AutoModelForCausalLM, TorchAoConfig

    folder = save_tiny(tmp_path / "m", "llama", **WIDE)
    config = TorchAoConfig(Int8WeightOnlyConfig(), include_input_output_embeddings=embeddings)
    saved = AutoModelForCausalLM.from_pretrained(folder, quantization_config=config, dtype=torch.float32)
    (folder / "model.safetensors").unlink()
    saved.save_pretrained(folder)
    model = load_model(str(folder), dtype="float32", device="cpu")
    assert is_packed(model.outputs()[0].weight)
    assert is_packed(model.lm_head.weight) is embeddings
    ids, letters = torch.tensor([model.chat.encode("I worry about things.")]), model.chat.letter_ids()
    with torch.inference_mode():
        logits, hidden = model.model(ids).logits, model.backbone(ids).last_hidden_state
        assert torch.equal(logits, saved(ids).logits)
        close: Any = {"rtol": 1e-5, "atol": 1e-5}
        torch.testing.assert_close(model.letter_logits(hidden, letters), logits[..., letters], **close)
        torch.testing.assert_close(model.tile_logits(hidden, 10, 90), logits[..., 10:90], **close)
        wanted = torch.tensor([letters[:2]])
        torch.testing.assert_close(model.token_logits(hidden[:, -1], wanted), logits[:, -1, letters[:2]], **close)
    assert isinstance(model.footprint.sizes.packed, Packed)
    with pytest.raises(InputError, match=r"quantized already \(torchao\)"):
        load_model(str(folder), device="cpu", quantize="int8")
