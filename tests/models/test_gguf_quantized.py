"""Quantized .gguf files: what is loaded is the dequantized model, and a load reads the file once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf.quants import dequantize, quantize

from pasctl.export.gguf_file import finish
from pasctl.export.gguf_model import write_model
from pasctl.models import gguf_header, gguf_weights
from pasctl.models.gguf_reader import shared_reading
from pasctl.models.load import LoadedModel, load_chat, load_model
from pasctl.models.weights import read_tokenizer, read_weights
from tests.tiny import tiny_model, tiny_tokenizer

KINDS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K")
_HALVES = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}
"""Where a block of ggml has its scales as float16; the rest of a block may hold any bytes."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))


def plain(family: str, folder: Path) -> Path:
    """A tiny model in float32 whose rows are whole blocks of 256, but for those of o_proj (64)."""
    model = tiny_model(family, hidden_size=256, intermediate_size=256, num_attention_heads=4)
    write_model(LoadedModel.wrap(model, tiny_tokenizer()), {}, folder / "plain.gguf")
    return folder / "plain.gguf"


def packed(values: np.ndarray, kind: Any, rng: np.random.Generator) -> np.ndarray:
    """Rows of blocks: quantized where the package can do it, else any bytes with scales of the values' size."""
    if kind.name not in _HALVES:
        return quantize(values, kind)
    size, width = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (values.size // size, width), np.uint8)
    for place in _HALVES[kind.name]:
        scales = rng.uniform(0.0002, 0.002, len(blocks)).astype(np.float16)
        blocks[:, place : place + 2] = scales[:, None].view(np.uint8)
    return blocks.reshape(len(values), -1)


def requantized(base: Path, kind: Any, *, whole: bool) -> Path:
    """The file with its matrices as blocks of a kind, or (whole) as the float32 numbers that such blocks stand for."""
    reader, rng = gguf.GGUFReader(base), np.random.default_rng(3)
    target = base.with_name(f"{kind.name}-{'whole' if whole else 'packed'}.gguf")
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name != "general.architecture":
            items = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=items)

    tensors = []
    for tensor in reader.tensors:
        data, own = np.array(tensor.data), tensor.tensor_type
        if data.ndim == 2 and data.shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] == 0:
            blocks = packed(data, kind, rng)
            data, own = (dequantize(blocks, kind), gguf.GGMLQuantizationType.F32) if whole else (blocks, kind)
        tensors.append((tensor.name, data, own))
    finish(writer, lambda: iter(tensors))
    return target


@pytest.mark.parametrize(
    ("family", "kind"),
    [*(("llama", kind) for kind in KINDS), ("qwen3", "Q8_0"), ("qwen3", "Q4_K")],
)
def test_a_quantized_file_loads_as_the_numbers_that_its_blocks_stand_for(
    tmp_path: Path, family: str, kind: str
) -> None:
    base, ggml = plain(family, tmp_path), gguf.GGMLQuantizationType[kind]
    quantized, whole = (
        load_model(str(requantized(base, ggml, whole=whole)), dtype="float32", device="cpu") for whole in (False, True)
    )
    unlike = load_model(str(base), dtype="float32", device="cpu")
    named = dict(whole.model.named_parameters())
    for name, weight in quantized.model.named_parameters():
        assert torch.equal(weight, named[name]), name
    name = "model.layers.1.mlp.down_proj.weight"
    assert not torch.equal(named[name], unlike.model.get_parameter(name))
    ids = torch.tensor([quantized.chat.encode("I worry about things.")])
    assert torch.equal(quantized.model(ids).logits, whole.model(ids).logits)


def test_a_load_opens_the_file_with_the_package_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, opened = plain("llama", tmp_path), []
    own = gguf.GGUFReader.__init__

    def counted(self: Any, path: Any, mode: Any = "r") -> None:
        opened.append(Path(path).resolve())
        own(self, path, mode)

    monkeypatch.setattr(gguf.GGUFReader, "__init__", counted)
    load_model(str(base), dtype="float32", device="cpu")
    assert opened == [base.resolve()]
    load_chat(str(base))
    assert opened == [base.resolve()] * 2


def test_a_shared_reading_changes_nothing_of_what_is_read(tmp_path: Path) -> None:
    file = requantized(plain("llama", tmp_path), gguf.GGMLQuantizationType.Q8_0, whole=False)
    apart, words = read_weights(file, dtype=torch.float32), read_tokenizer(file)
    with shared_reading(file):
        model, tokenizer = read_weights(file, dtype=torch.float32), read_tokenizer(file)
    folder = {"_name_or_path": ""}  # a temporary one
    assert model.config.to_dict() | folder == apart.config.to_dict() | folder
    assert tokenizer.backend_tokenizer.to_str() == words.backend_tokenizer.to_str()
    for name, weight in apart.named_parameters():
        assert torch.equal(model.get_parameter(name), weight), name


def test_the_package_is_as_it_was_afterwards_and_other_files_are_read_as_ever(tmp_path: Path) -> None:
    base = plain("llama", tmp_path)
    other = requantized(base, gguf.GGMLQuantizationType.Q8_0, whole=False)
    before = gguf.GGUFReader, gguf.get_tensor_name_map
    with shared_reading(base):
        assert gguf.GGUFReader(base) is gguf.GGUFReader(str(base))
        assert type(gguf.GGUFReader(other)) is before[0]
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before
    with pytest.raises(ZeroDivisionError), shared_reading(base):
        _ = 1 / 0
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == before


def test_a_file_that_changes_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process remembers of a header goes by the file's state, and not by its name."""
    monkeypatch.setattr("pasctl.models.digests.RACY_SECONDS", 0.0)
    file = plain("llama", tmp_path)
    assert gguf_header.read_gguf_sizes(file)["embedding_length"] == 256
    assert gguf_weights.gguf_config(file).hidden_size == 256
    config = gguf_weights.gguf_config(file)
    config.hidden_size = 1
    assert gguf_weights.gguf_config(file).hidden_size == 256, "what was handed out is a copy"
    write_model(LoadedModel.wrap(tiny_model("llama"), tiny_tokenizer()), {}, tmp_path / "other.gguf")
    (tmp_path / "other.gguf").replace(file)
    assert gguf_header.read_gguf_sizes(file)["embedding_length"] == 48
    assert "blk.0.attn_v.weight" in gguf_header.read_gguf_shapes(file)
    assert gguf_weights.gguf_config(file).hidden_size == 48
