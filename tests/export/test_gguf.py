"""A .gguf export: all of the base file and the biases; and llama.cpp, where it is here, gives the steered model."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from pasctl.errors import InputError, PasctlError
from pasctl.export.engines.engine import Reading
from pasctl.export.engines.gguf import Gguf
from pasctl.export.gguf_file import FILE, coarsest, write_with_biases
from pasctl.export.gguf_model import write_model
from pasctl.export.gguf_tokenizer import add_tokenizer
from pasctl.export.llama_cpp import has_llama_cpp, read_in_llama_cpp
from pasctl.export.proof import Proof
from pasctl.export.reading import make_reference, read
from pasctl.models.gguf_weights import read_value_biases
from pasctl.models.load import LoadedModel, load_model
from pasctl.steering import Intervention
from tests.models.test_qwen_ranks import PATTERN
from tests.steering.test_bake import shared_intervention
from tests.tiny import HEAD_DIM, KV_HEADS, tiny_config, tiny_loaded, tiny_tokenizer

HOW = Reading("float32", "cpu", "sdpa")
FAMILIES = ["qwen3", "qwen3_moe", "llama", "mistral", "qwen2"]


def loaded(family: str) -> LoadedModel:
    """A tiny model; llama.cpp wants Qwen2's heads together as wide as the stream."""
    if family != "qwen2":
        return tiny_loaded(family)
    config = tiny_config(family)
    config.num_attention_heads, config.num_key_value_heads = 3, 1
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim == 1))
    return LoadedModel.wrap(model, tiny_tokenizer())


def biases(seed: int = 0) -> dict[int, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {layer: rng.normal(size=KV_HEADS * HEAD_DIM).astype(np.float32) for layer in (0, 2)}


def metadata(reader: gguf.GGUFReader) -> dict[str, Any]:
    fields = reader.fields.items()
    return {name: field.contents() for name, field in fields if not name.startswith("GGUF.")}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama's file with quantized blocks."""
    folder = tmp_path_factory.mktemp("base")
    write_model(tiny_loaded("llama"), {}, folder / "plain.gguf")
    reader = gguf.GGUFReader(folder / "plain.gguf")
    writer = gguf.GGUFWriter(folder / "base.gguf", "llama")
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            kind = field.types[0]
            items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=items)
    for tensor in reader.tensors:
        kind = gguf.GGMLQuantizationType.Q4_1 if tensor.name.endswith("ffn_down.weight") else tensor.tensor_type
        writer.add_tensor(tensor.name, gguf.quants.quantize(tensor.data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return folder / "base.gguf"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_written_as_gguf_is_the_steered_model(family: str, tmp_path: Path) -> None:
    model, intervention = loaded(family), shared_intervention(3)
    if family == "qwen2":  # one group of three heads
        row = torch.randn(1, 1, HEAD_DIM, generator=torch.Generator().manual_seed(3))
        intervention = Intervention({0: row.expand(1, 3, -1).reshape(1, -1)})
    reference = make_reference(model, intervention)
    Gguf().write(model, intervention, tmp_path, shard_size="5GB")
    proof = Proof.of(reference, Gguf().read(tmp_path, reference, HOW), engine="transformers", dtype="float32")
    assert proof.fault() is None
    assert proof.largest < 1e-4
    assert proof.effect_mean > 0.1
    if family != "qwen2":  # the file as a base of its own is the steered model too, and not the base without a word
        again = load_model(str(tmp_path / FILE), dtype="float32", check=False)
        assert np.allclose(read(again, reference.passages), reference.steered, atol=1e-4)
    if has_llama_cpp():
        found = read_in_llama_cpp(tmp_path / FILE, reference)
        assert Proof.of(reference, found, engine="llama.cpp", dtype="float32").fault() is None


def test_a_copy_has_all_of_the_base_byte_for_byte_and_the_biases(base: Path, tmp_path: Path) -> None:
    wanted = biases()
    write_with_biases(base, wanted, tmp_path / FILE)
    old, new = gguf.GGUFReader(base), gguf.GGUFReader(tmp_path / FILE)
    kept = {tensor.name: tensor for tensor in new.tensors}
    assert {tensor.tensor_type.name for tensor in old.tensors} == {"F32", "Q4_1"}
    for tensor in old.tensors:
        again = kept.pop(tensor.name)
        assert again.tensor_type == tensor.tensor_type
        assert again.shape.tolist() == tensor.shape.tolist()
        assert again.data.tobytes() == tensor.data.tobytes()
    assert sorted(kept) == ["blk.0.attn_v.bias", "blk.2.attn_v.bias"]
    assert metadata(new) == metadata(old)
    found = read_value_biases(tmp_path / FILE)
    assert all(np.array_equal(found[layer], wanted[layer]) for layer in (0, 2))
    write_with_biases(tmp_path / FILE, {2: wanted[2]}, tmp_path / "again.gguf")  # to what is there it is added
    twice = read_value_biases(tmp_path / "again.gguf")
    assert np.array_equal(twice[2], 2 * wanted[2])
    assert np.array_equal(twice[0], wanted[0])
    assert coarsest(tmp_path / FILE, "float32") == "bfloat16"


def test_files_that_biases_cannot_be_added_to(base: Path, tmp_path: Path) -> None:
    with pytest.raises(PasctlError, match=r"attn_v\.weight is 32 wide, the bias 3"):
        write_with_biases(base, {0: np.ones(3, np.float32)}, tmp_path / "x.gguf")
    with pytest.raises(PasctlError, match=r"no v_proj for blk\.9\.attn_v\.bias"):
        write_with_biases(base, {9: np.ones(32, np.float32)}, tmp_path / "x.gguf")
    for name, prepare in (
        ("one of 3 files", lambda writer: writer.add_uint16("split.count", 3)),
        ("keeps q, k and v in one", lambda writer: writer.add_tensor("blk.0.attn_qkv.weight", np.ones((2, 2), "f4"))),
    ):
        writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "llama")
        prepare(writer)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(InputError, match=name):
            write_with_biases(tmp_path / "odd.gguf", biases(), tmp_path / "x.gguf")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "positions scaled by yarn"),
        ({"use_sliding_window": True}, "a sliding window"),
        ({"norm_topk_prob": False}, "experts whose weights do not sum to 1"),
    ],
)
def test_models_that_llama_cpp_would_compute_otherwise_are_not_written(
    change: dict[str, Any], words: str, tmp_path: Path
) -> None:
    model = tiny_loaded()
    for name, value in change.items():
        setattr(model.model.config, name, value)
    with pytest.raises(InputError, match=words) as caught:
        write_model(model, {}, tmp_path / FILE)
    assert "convert_hf_to_gguf.py" in str(caught.value.hint)
    assert not (tmp_path / FILE).exists()


def _splitting(steps: pre_tokenizers.PreTokenizer) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2, "<end>": 3}, merges=[("a", "b")]))
    tokenizer.pre_tokenizer = steps
    tokenizer.add_special_tokens(["<end>"])
    tokenizer.add_tokens(["<think>"])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")  # noqa: S106 - a token of text


def _sequence(*steps: pre_tokenizers.PreTokenizer) -> PreTrainedTokenizerFast:
    return _splitting(pre_tokenizers.Sequence(list(steps)))


def test_ways_of_splitting_get_llama_cpps_names(tmp_path: Path) -> None:
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    regex = pre_tokenizers.ByteLevel(add_prefix_space=False)
    triple = PATTERN.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
    for name, tokenizer in (
        ("qwen2", _sequence(pre_tokenizers.Split(Regex(PATTERN), "isolated"), plain)),
        ("llama-bpe", _sequence(pre_tokenizers.Split(Regex(triple), "isolated"), plain)),
        ("smollm", _sequence(pre_tokenizers.Digits(individual_digits=True), regex)),
        ("gpt-2", _splitting(regex)),
    ):
        writer = gguf.GGUFWriter(tmp_path / "tokens.gguf", "llama")
        add_tokenizer(writer, tokenizer, rows=6)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.close()
        told = metadata(gguf.GGUFReader(tmp_path / "tokens.gguf"))
        assert told["tokenizer.ggml.pre"] == name
        assert told["tokenizer.ggml.tokens"] == ["a", "b", "ab", "<end>", "<think>", "[PAD5]"]
        assert told["tokenizer.ggml.token_type"] == [1, 1, 1, 3, 4, 5]
        assert told["tokenizer.ggml.merges"] == ["a b"]
        assert (told["tokenizer.ggml.eos_token_id"], told["tokenizer.ggml.add_bos_token"]) == (3, False)
    for odd in (
        _splitting(pre_tokenizers.Whitespace()),
        _sequence(pre_tokenizers.Digits(individual_digits=False), regex),
        _sequence(pre_tokenizers.Split(Regex(PATTERN), "removed"), plain),
    ):
        with pytest.raises(InputError, match="splits texts in a way"):
            add_tokenizer(gguf.GGUFWriter(None, "llama"), odd, rows=6)
    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0})))
    with pytest.raises(InputError, match="is WordLevel, expected byte-level BPE"):
        add_tokenizer(gguf.GGUFWriter(None, "llama"), words, rows=6)


def test_biases_that_transformers_drops_and_cannot_be_put_back_are_refused(tmp_path: Path) -> None:
    model = tiny_loaded()
    model.model.model.layers[1].self_attn.k_proj.bias = torch.nn.Parameter(torch.ones(KV_HEADS * HEAD_DIM))
    write_model(model, {}, tmp_path / FILE)
    with pytest.raises(PasctlError, match=r"blk\.1\.attn_k\.bias, which transformers drops"):
        load_model(str(tmp_path / FILE))


def test_llama_cpp_refuses_tensors_that_it_does_not_know(tmp_path: Path) -> None:
    """Why a file with biases is never served as the base: an older llama.cpp does not load it."""
    if not has_llama_cpp():
        pytest.skip("llama-cpp-python is not installed")
    model = tiny_loaded()
    model.model.model.layers[0].self_attn.o_proj.bias = torch.nn.Parameter(torch.ones(model.geometry.hidden))
    write_model(model, {}, tmp_path / FILE)
    llama_cpp = importlib.import_module("llama_cpp")
    with pytest.raises(ValueError, match="Failed to load"):
        llama_cpp.Llama(str(tmp_path / FILE), verbose=False)
