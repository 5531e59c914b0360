"""Weights of 8 or 4 bits: torchao quantizes a model's linear layers while they are loaded.

Embeddings, lm_head, norms and the experts of a mixture stay in the run's dtype. The inputs of a layer are not rounded:
it computes with the numbers that its integers stand for. int8 has a scale per output; int4 has a scale and a zero per
32 inputs of an output, and leaves alone what is not a multiple of 32 wide.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.models.device import torch_dtype
from pasctl.models.footprint import Packed, Sizes
from pasctl.models.identity import ModelSource
from pasctl.models.model_files import read_document
from pasctl.models.transformers_compat import first_line, quiet_transformers

QUANTIZATIONS = ("int8", "int4")
INT4_GROUP = 32
_INT8_SCALE = 5  # bytes of the scale and the zero that an output has
_MOST = 0.5
_EXPECTED = f"expected auto, none, {', '.join(QUANTIZATIONS)}"


def resolve_quantization(name: str = "auto") -> str | None:
    """One of QUANTIZATIONS, or None for weights as they are: what "auto" means where no artifact says otherwise.

    Raises:
        InputError: `name` is none of them.
    """
    if name in ("auto", "none"):
        return None
    if name not in QUANTIZATIONS:
        raise InputError(f"quantization {name!r} is unknown, {_EXPECTED}")
    return name


def require_quantization(
    spec: str, path: Path, quantization: str | None, *, dtype: str, device: str, spread: bool
) -> None:
    """Refuse, before any weight is read, to quantize what cannot be, or to load what is quantized and cannot be read.

    Args:
        spec: the model's name for the user.
        path: its folder or file.
        quantization: one of QUANTIZATIONS, or None to load the weights as they are.
        dtype: that it runs in.
        device: where it runs.
        spread: whether it is spread over several devices.

    Raises:
        InputError: says what stands against it.
        MissingError: names the packages that are not installed.
        PasctlError: transformers does not know the checkpoint's quantization, or it runs on other devices only.
    """
    method = stored_quantization(path) if path.is_dir() else None
    if quantization is None:
        if method is not None:
            _require_quantizer(spec, path, method, dtype)
        return
    asked = f"--quantize {quantization}"
    if path.is_file():
        raise InputError(
            f"{spec} is a .gguf file, which has its own quantization: {asked} is for model folders",
            hint=f"leave {asked} out, or give the model as a folder",
        )
    if method is not None:
        raise InputError(f"{spec} is quantized already ({method})", hint=f"leave {asked} out")
    if quantization == "int4":
        _require_int4(dtype, device, spread=spread)
    packages = ("torchao",) if device == "cpu" and not spread else ("torchao", "accelerate")
    if absent := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise MissingError(f"{asked} needs the package {' and '.join(absent)}", hint="pip install 'pasctl[quantize]'")


def require_plain(source: ModelSource, quantization: str | None) -> None:
    """Refuse to write a checkpoint of a model whose weights are packed: a bias is added to plain projections.

    Raises:
        InputError: they are packed, by us or in the files.
    """
    folder = source.path if source.path is not None and source.path.is_dir() else None
    if quantization is not None:
        raise InputError(
            f"a checkpoint is written of {source.spec} as it is stored, found --quantize {quantization}",
            hint="--quantize none exports it; look at directions fitted on quantized weights again there, with eval",
        )
    if folder is not None and (method := stored_quantization(folder)) is not None:
        raise InputError(
            f"{source.spec} is quantized ({method}): its projections are packed, and pasctl adds biases to plain ones",
            hint="export the model without quantization, and quantize what was written",
        )


def stored_quantization(path: Path) -> str | None:
    """The method that a model folder's weights are quantized with, as its config.json says; None if they are not."""
    stored = _stored(path)
    return None if stored is None else str(stored.get("quant_method") or "unnamed method")


def quantization_options(quantization: str, device: str) -> dict[str, Any]:
    """Options for transformers' `from_pretrained`: each weight is quantized as it is read."""
    from torchao.quantization import Int4WeightOnlyConfig, Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    how: Any
    if quantization == "int8":
        how = Int8WeightOnlyConfig(set_inductor_config=False)
    elif device == "cpu":
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

        how = PrototypeInt4WeightOnlyConfig(group_size=INT4_GROUP, set_inductor_config=False)
    else:
        packing: Any = "tile_packed_to_4d"
        how = Int4WeightOnlyConfig(group_size=INT4_GROUP, int4_packing_format=packing, set_inductor_config=False)
    return {"quantization_config": TorchAoConfig(how)}


def packed_sizes(model: Any, quantization: str, itemsize: int) -> Packed:
    """What the weights of a model will take once they are quantized; it may be one without numbers."""
    from torch import nn

    size, largest, packed = 0, 0, 0
    head = model.get_output_embeddings()
    linear = {id(part.weight) for part in model.modules() if isinstance(part, nn.Linear) and part is not head}
    for weight in model.parameters():
        count, columns = weight.numel(), weight.shape[-1]
        if id(weight) not in linear or (quantization == "int4" and columns % INT4_GROUP):
            size += count * itemsize
        elif quantization == "int8":
            size += count + _INT8_SCALE * count // columns
        else:
            size += count // 2 + 2 * itemsize * count // INT4_GROUP
        if id(weight) in linear and (quantization == "int8" or columns % INT4_GROUP == 0):
            largest, packed = max(largest, count), packed + count
    return Packed(size, largest, packed)


def partly_packed(sizes: Sizes, quantization: str, dtype: str) -> str | None:
    """A sentence about a model most of whose numbers were not quantized; None about others.

    Raises:
        InputError: none was.
    """
    share = (sizes.packed.count if sizes.packed else 0) / sizes.parameters
    if not share:
        raise InputError(
            f"--quantize {quantization} packs no layer of this model: none is a multiple of {INT4_GROUP} wide",
            hint="--quantize int8",
        )
    if share >= _MOST:
        return None
    return (
        f"--quantize {quantization} packs {share:.0%} of the model's numbers: embeddings, lm_head, experts and layers "
        f"of other widths stay in {dtype}"
    )


def stored_sizes(path: Path) -> Packed | None:
    """What the weights of a quantized folder take: its files; None where transformers unpacks them, as FP8 on a CPU."""
    stored = _stored(path)
    if stored is None:
        return None
    with contextlib.suppress(Exception):  # loading says what is wrong with it
        if getattr(_quantizer(stored, "float32").quantization_config, "dequantize", False):
            return None
    return Packed(sum(file.stat().st_size for file in path.glob("*.safetensors")))


def _quantizer(stored: Mapping[str, Any], dtype: str) -> Any:
    """What transformers reads a quantized checkpoint with; it refuses by any kind of exception."""
    from transformers.quantizers.auto import AutoHfQuantizer

    with quiet_transformers():
        quantizer = AutoHfQuantizer.from_config(dict(stored), pre_quantized=True)
        quantizer.validate_environment(dtype=torch_dtype(dtype), device_map=None)
    return quantizer


def _stored(path: Path) -> Mapping[str, Any] | None:
    config = read_document(path / "config.json")
    inner = config.get("text_config")
    stored = config.get("quantization_config") or (
        inner.get("quantization_config") if isinstance(inner, dict) else None
    )
    return stored if isinstance(stored, dict) else None


def _require_quantizer(spec: str, path: Path, method: str, dtype: str) -> None:
    """Refuse a checkpoint whose quantization transformers cannot read here, by transformers' own checks."""
    try:
        _quantizer(_stored(path) or {}, dtype)
    except ImportError as error:
        reason = f"it needs the package {error.name}" if error.name else first_line(error).rstrip(".")
        raise MissingError(
            f"{spec} is quantized ({method}) and cannot be read here: {reason}",
            hint=f"pip install {error.name}" if error.name else "install it, or take the model without quantization",
        ) from error
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        raise PasctlError(
            f"{spec} is quantized ({method}) and cannot be read here: {first_line(error)}",
            hint="take the model without quantization, with --quantize int8 or int4 if it is too large",
        ) from error


def _require_int4(dtype: str, device: str, *, spread: bool) -> None:
    """Refuse int4 where torchao has no kernel for it."""
    if spread:
        raise InputError("--quantize int4 is packed for one kind of device, found --device-map", hint="--quantize int8")
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise InputError(f"--quantize int4 runs on cpu and cuda, found {device}", hint="--quantize int8")
    if kind == "cuda" and dtype != "bfloat16":
        raise InputError(f"--quantize int4 computes in bfloat16 on {device}, found {dtype}", hint="--dtype bfloat16")
