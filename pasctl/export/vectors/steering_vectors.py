"""Vectors for the package steering-vectors: what its `SteeringVector` is made of, in a .safetensors file.

The package itself has no file format. Its layer type "self_attn" adds a vector to the output of a layer's attention,
which is where W_o d of a head's shift is: so this format is exact, layer 0 included.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pasctl.errors import InputError, MissingError
from pasctl.export.origin import NAME
from pasctl.export.vectors.vector_format import MOST_BYTES, About, At, VectorFormat, Vectors, require_layers

_LAYER_TYPES: dict[str, At] = {"decoder_block": "block", "self_attn": "attention"}
_TENSOR = re.compile(r"layer_activations\.(\d{1,9})")


class SteeringVectors(VectorFormat):
    """Tensors layer_activations.N, and the layer type in the metadata."""

    suffix = ".safetensors"
    at: At = "attention"
    reads = "steering-vectors: SteeringVector(layer_activations, layer_type)"

    def write(self, path: Path, vectors: Vectors, about: About) -> None:
        """Write the tensors, and who they are in the metadata."""
        said = {
            "layer_type": next(name for name, at in _LAYER_TYPES.items() if at == vectors.at),
            "description": about.description,
            NAME: json.dumps(about.origin.document(), ensure_ascii=False),
        }
        tensors = {f"layer_activations.{layer}": vector.contiguous() for layer, vector in vectors.layers.items()}
        path.write_bytes(save(tensors, metadata=said))  # with the rights of any file: save_file gives its owner's alone

    def read(self, path: Path) -> Vectors:
        """Read a file of such tensors; without a layer type they are of decoder blocks, the package's default."""
        try:
            if path.stat().st_size > MOST_BYTES:
                raise InputError(f"{path} has more than {MOST_BYTES:,} bytes, expected vectors of a model's layers")
            with safe_open(path, framework="pt") as file:
                said = file.metadata() or {}
                found = {name: _TENSOR.fullmatch(name) for name in file.keys()}  # noqa: SIM118 - no mapping
                layers = {int(match[1]): file.get_tensor(name) for name, match in found.items() if match}
        except OSError as error:
            raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
        except SafetensorError as error:
            raise InputError(f"{path} is no .safetensors file: {error}") from error
        layer_type = said.get("layer_type", "decoder_block")
        if not layers:
            raise InputError(
                f"{path} has no tensors layer_activations.N",
                hint='write them: save_file({f"layer_activations.{n}": v for n, v in vector.layer_activations.items()},'
                ' FILE, metadata={"layer_type": vector.layer_type})',
            )
        if layer_type not in _LAYER_TYPES:
            raise InputError(
                f"{path} has vectors of layer type {layer_type}, expected {' or '.join(_LAYER_TYPES)}",
                hint="pasctl shifts the output of a layer, or of its attention",
            )
        return Vectors(_LAYER_TYPES[layer_type], require_layers(path, layers))
