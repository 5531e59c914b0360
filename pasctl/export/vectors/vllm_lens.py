"""Vectors for vllm-lens: its `SteeringVector` as JSON, as requests to its server have it; added to a layer's output.

Numbers are base64 of float32, uncompressed, which its reader takes as well as what it writes itself: a zstd frame of
the tensor's own dtype.
"""

from __future__ import annotations

import base64
import binascii
import importlib
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, MissingError
from pasctl.export.origin import NAME
from pasctl.export.vectors.vector_format import MOST_BYTES, About, VectorFormat, Vectors, require_layers
from pasctl.json_file import read_json

if TYPE_CHECKING:
    from torch import Tensor

_STORED = {"float32": 4, "float64": 8, "float16": 2, "int16": 2}
"""numpy's names of what a file may hold, with their bytes; bfloat16 is kept as int16."""


class VllmLens(VectorFormat):
    """One JSON object: activations [layers, hidden], layer_indices, scale."""

    suffix = ".json"
    reads = 'vllm-lens: vllm_xargs={"apply_steering_vectors": json.dumps([vector])}'

    def write(self, path: Path, vectors: Vectors, about: About) -> None:
        """Write the object, with who it is beside it, which the reader leaves alone."""
        import torch

        stacked = torch.stack(list(vectors.layers.values())).contiguous()
        document = {
            "activations": {
                "data": base64.b64encode(stacked.numpy().astype("<f4").tobytes()).decode("ascii"),
                "dtype": "float32",
                "original_dtype": "torch.float32",
                "shape": list(stacked.shape),
            },
            "layer_indices": list(vectors.layers),
            "scale": 1.0,
            "norm_match": False,
            "position_indices": None,
            "description": about.description,
            NAME: about.origin.document(),
        }
        path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")

    def read(self, path: Path) -> Vectors:
        """Read an object; one that depends on the token, by norm or by position, is refused."""
        try:
            found = read_json(path, most_bytes=MOST_BYTES)
        except OSError as error:
            raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
        except ValueError as error:
            raise InputError(f"{path} is no JSON: {error}") from error
        found = found[0] if isinstance(found, list) and len(found) == 1 else found
        if not isinstance(found, dict) or not {"activations", "layer_indices"} <= found.keys():
            raise InputError(f"{path} is no vector of vllm-lens, expected an object with activations and layer_indices")
        if found.get("norm_match"):
            raise InputError(
                f"{path} has norm_match, so its shift depends on each token; pasctl steers by a constant one",
                hint="take a vector without it, scaled by the norm of the residual stream",
            )
        layers, scale = found["layer_indices"], found.get("scale", 1.0)
        numbers = _tensor(path, found["activations"])
        if numbers.ndim != 2 or found.get("position_indices") is not None:
            raise InputError(
                f"{path} has vectors per position {list(numbers.shape)}, expected [layers, hidden]",
                hint="take one vector per layer",
            )
        whole = isinstance(layers, list) and all(type(layer) is int and layer >= 0 for layer in layers)
        if not whole or len(layers) != len(numbers) or len(set(layers)) < len(layers):
            raise InputError(f"{path} has layer_indices that do not name its {len(numbers)} vectors' layers, each once")
        if isinstance(scale, bool) or not isinstance(scale, int | float) or not abs(scale) < 1e30:
            raise InputError(f"{path} has the scale {scale!r}, expected a finite number")
        vectors = {layer: float(scale) * vector for layer, vector in zip(layers, numbers.float(), strict=True)}
        return Vectors("block", require_layers(path, vectors))


def _tensor(path: Path, said: Any) -> Tensor:
    """The numbers of a serialized tensor.

    Raises:
        InputError: it is none, or damaged.
        MissingError: it is compressed, and zstandard is not installed.
    """
    import numpy as np
    import torch

    shape = said.get("shape") if isinstance(said, dict) else None
    texts = [said.get("dtype"), said.get("data")] if isinstance(said, dict) else []
    if not texts or not all(isinstance(text, str) for text in texts) or texts[0] not in _STORED:
        raise InputError(f"{path}: activations are no tensor of {', '.join(_STORED)}, as vllm-lens writes one")
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size <= MOST_BYTES for size in shape):
        raise InputError(f"{path}: activations have the shape {shape!r}, expected sizes")
    size = math.prod(shape) * _STORED[said["dtype"]]
    try:
        data = base64.b64decode(said["data"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise InputError(f"{path}: activations are no base64: {error}") from error
    if said.get("compression") == "zstd":
        data = _decompressed(path, data, size)
    if len(data) != size:
        raise InputError(f"{path}: activations have {len(data):,} bytes, their shape and dtype {size:,}")
    numbers = torch.from_numpy(np.frombuffer(data, np.dtype(said["dtype"]).newbyteorder("<")).copy()).view(*shape)
    if said.get("original_dtype") == "torch.bfloat16" and numbers.dtype == torch.int16:
        return numbers.view(torch.bfloat16)
    if numbers.dtype == torch.int16:
        raise InputError(f"{path}: activations of int16 are no floats, expected torch.bfloat16 as original_dtype")
    return numbers


def _decompressed(path: Path, data: bytes, size: int) -> bytes:
    if size > MOST_BYTES:
        raise InputError(f"{path}: activations would have {size:,} bytes, expected at most {MOST_BYTES:,}")
    try:
        zstandard: Any = importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingError(f"{path} is compressed with zstd", hint="pip install zstandard") from error
    try:
        with zstandard.ZstdDecompressor().stream_reader(data) as stream:  # no more than asked for, whatever it says
            unpacked: bytes = stream.read(size + 1)
    except zstandard.ZstdError as error:
        raise InputError(f"{path}: activations are no zstd frame: {error}") from error
    return unpacked
