"""A .gguf file with biases of v_proj added: all else is copied as it is, quantized blocks byte for byte."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, MissingError, PasctlError

FILE = "model.gguf"
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3_moe": "qwen3moe"}
"""Families whose loader in llama.cpp takes a bias of v where the file has one, with their names there."""

Biases = Mapping[int, NDArray[np.float32]]
"""Layer -> bias of v_proj [G*D]."""

Tensors = Iterator[tuple[str, Any, Any]]
"""Name, data and quantization type of each tensor of a file."""

Pairs = Mapping[str, str | float | list[int] | list[float]]
"""Metadata of a file: texts, 64-bit numbers, and lists of numbers."""


_OF_ITS_BASE = ("general.base_model.", "pasctl.")


def bias_name(layer: int) -> str:
    """What the bias of a layer's v_proj is called in a .gguf file."""
    return f"blk.{layer}.attn_v.bias"


def gguf_package() -> Any:
    """The package gguf.

    Raises:
        MissingError: it is not installed.
    """
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise MissingError("a .gguf file needs the package gguf", hint="pip install 'pasctl[gguf]'") from error


def require_family(family: str) -> None:
    """Refuse a model whose loader in llama.cpp is not known to take biases of v_proj.

    Raises:
        InputError: names the families that there are.
    """
    if family not in ARCHITECTURES:
        raise InputError(
            f"llama.cpp is not known to read a bias of v_proj for {family}, expected {', '.join(ARCHITECTURES)}",
            hint="export it for another engine",
        )


def write_with_biases(base: Path, biases: Biases, target: Path, pairs: Pairs | None = None) -> None:
    """Copy a .gguf file and add biases of v_proj, to those that it has or as new float32 tensors.

    Args:
        base: the file to copy.
        biases: what is added, by layer.
        target: where the new file goes.
        pairs: metadata that takes the place of the file's own, and of what it says of the model it was made from.

    Raises:
        InputError: a file that keeps q, k and v in one tensor, or that is one of several.
        PasctlError: a layer has no v_proj of that width.
    """
    gguf = gguf_package()
    reader = gguf.GGUFReader(base)
    _require_plain(base, reader)
    writer, pairs = gguf.GGUFWriter(target, reader.fields[gguf.Keys.General.ARCHITECTURE].contents()), pairs or {}
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == gguf.Keys.General.ARCHITECTURE:
            continue  # the writer's own
        if field.name in pairs or (pairs and field.name.startswith(_OF_ITS_BASE)):
            continue
        kind = field.types[0]
        items = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=items)
        if field.name == gguf.Keys.General.ALIGNMENT:
            writer.data_alignment = int(field.contents())
    add_pairs(writer, pairs)
    finish(writer, lambda: _with_biases(base, reader, biases))


def add_pairs(writer: Any, pairs: Pairs) -> None:
    """Add metadata to a file that is being written."""
    kinds = gguf_package().GGUFValueType
    for name, value in pairs.items():
        if isinstance(value, str):
            writer.add_string(name, value)
        elif isinstance(value, list):
            element = kinds.FLOAT64 if any(isinstance(each, float) for each in value) else kinds.INT32
            writer.add_key_value(name, value, kinds.ARRAY, sub_type=element)
        else:
            writer.add_key_value(name, float(value), kinds.FLOAT64)


def finish(writer: Any, tensors: Callable[[], Tensors]) -> None:
    """Write header, metadata and tensors; `tensors` is asked twice, so that none need be kept."""
    for name, data, kind in tensors():
        writer.add_tensor_info(name, data.shape, data.dtype, data.nbytes, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, data, _ in tensors():
        writer.write_tensor_data(data)
    writer.close()


def coarsest(path: Path, dtype: str) -> str:
    """The dtype that llama.cpp rounds a file's products as, or `dtype` where that is coarser.

    It multiplies quantized blocks with activations that it rounds to 8 bits, which is what bfloat16 has.
    """
    kinds = {tensor.tensor_type.name for tensor in gguf_package().GGUFReader(path).tensors}
    found = "float32" if kinds <= {"F32"} else "float16" if kinds <= {"F32", "F16"} else "bfloat16"
    return max(found, dtype, key=("float32", "float16", "bfloat16").index)


def _require_plain(base: Path, reader: Any) -> None:
    parts = reader.fields.get("split.count")
    if parts is not None and int(parts.contents()) > 1:
        raise InputError(
            f"{base} is one of {parts.contents()} files, expected the whole model in one",
            hint="llama.cpp's llama-gguf-split --merge makes one file of them",
        )
    if any(tensor.name.endswith("attn_qkv.weight") for tensor in reader.tensors):
        raise InputError(
            f"{base} keeps q, k and v in one tensor, expected one each", hint="convert the model without fusing them"
        )


def _with_biases(base: Path, reader: Any, biases: Biases) -> Tensors:
    """The file's tensors with the biases; a new one stands behind its v_proj."""
    float32 = gguf_package().GGMLQuantizationType.F32
    left = {bias_name(layer): np.asarray(bias, np.float32) for layer, bias in biases.items()}
    held = {tensor.name for tensor in reader.tensors}
    for tensor in reader.tensors:
        if tensor.name in left:
            yield tensor.name, np.asarray(tensor.data, np.float32) + left.pop(tensor.name), float32
            continue
        yield tensor.name, tensor.data, tensor.tensor_type
        name = tensor.name.removesuffix(".weight") + ".bias"
        if name in left and name not in held:
            width = int(tensor.shape[1])
            if width != len(left[name]):
                raise PasctlError(f"{base}: {tensor.name} is {width} wide, the bias {len(left[name])}")
            yield name, left.pop(name), float32
    if left:
        raise PasctlError(f"{base} has no v_proj for {', '.join(left)}")
