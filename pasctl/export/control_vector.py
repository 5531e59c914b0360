"""A control vector for llama.cpp: W_o d of each layer, added behind the layer instead of behind its attention.

The layer's MLP does not hear it there, so it is an approximation, and how near it comes is measured. llama.cpp adds
direction.N to the output of layer N, counted from 0, and has no place for layer 0: its part is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from pasctl.errors import InputError
from pasctl.export.gguf_file import ARCHITECTURES, add_pairs, gguf_package, require_family
from pasctl.export.origin import Origin, gguf_pairs
from pasctl.export.proof import Proof
from pasctl.export.reading import make_reference, read
from pasctl.models.load import LoadedModel
from pasctl.models.projection import output_shift
from pasctl.models.sites import RESIDUAL
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

_ARCHITECTURE = "controlvector"


def control_vector(model: LoadedModel, intervention: Intervention) -> dict[int, Tensor]:
    """What is added behind each layer but the first: layer -> W_o d, float32 [hidden] on the CPU.

    Raises:
        InputError: nothing is displaced behind the first layer.
    """
    projections = model.outputs()
    vectors = {
        layer: output_shift(projections[layer], displacement)[0].float().cpu()
        for layer, displacement in sorted(intervention.displacements.items())
        if layer > 0
    }
    if not vectors:
        raise InputError("the displacement is in layer 0 alone, where llama.cpp adds no control vector")
    return vectors


def measure(model: LoadedModel, intervention: Intervention, vectors: Mapping[int, Tensor]) -> Proof:
    """How near the control vector comes to the steering, with the model in transformers; it need not pass as a proof.

    Raises:
        PasctlError: log-probabilities are not finite, or steering changes nothing.
    """
    reference = make_reference(model, intervention)
    with steer(model, behind_layers(vectors)):
        found = read(model, reference.passages)
    return Proof.of(reference, found, engine="transformers", dtype=model.dtype)


def behind_layers(vectors: Mapping[int, Tensor]) -> Intervention:
    """Vectors [hidden] added to the outputs of layers, as llama.cpp does with a control vector."""
    return Intervention({layer: vector[None] for layer, vector in vectors.items()}, RESIDUAL)


def write_control_vector(
    path: Path, vectors: Mapping[int, Tensor], model: LoadedModel, *, origin: Origin, description: str
) -> None:
    """Write vectors as llama.cpp's `--control-vector` reads them.

    Raises:
        InputError: a family that llama.cpp is not known to have.
        MissingError: the package gguf is not installed.
    """
    require_family(model.adapter.family)
    writer = gguf_package().GGUFWriter(path, _ARCHITECTURE)
    add_pairs(writer, gguf_pairs(origin))
    writer.add_description(description)
    writer.add_string(f"{_ARCHITECTURE}.model_hint", ARCHITECTURES[model.adapter.family])
    writer.add_uint32(f"{_ARCHITECTURE}.layer_count", model.geometry.layers)
    for layer, vector in vectors.items():
        writer.add_tensor(f"direction.{layer}", vector.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
