"""A steering delta as one vector per layer: W_o d, added to the output of the layer or of its attention.

After the attention that is what the steering does. After the layer it is an approximation, since the layer's MLP does
not read it, and how near it comes is measured. Directions of the residual stream are such vectors as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from pasctl.errors import InputError
from pasctl.export.proof import Proof
from pasctl.export.reading import make_reference, read
from pasctl.export.vectors.vector_format import VectorFormat, Vectors
from pasctl.models.load import LoadedModel
from pasctl.models.projection import output_shift
from pasctl.models.sites import RESIDUAL
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention


def vectors_of(model: LoadedModel, intervention: Intervention, form: VectorFormat) -> Vectors:
    """What a format adds in each layer, float32 [hidden] on the CPU, where it has a place for the layer.

    Raises:
        InputError: nothing is shifted where it has one.
    """
    numbers = model.geometry.at(intervention.kind).places
    rows = {numbers[place]: (place, row) for place, row in sorted(intervention.displacements.items())}
    if intervention.kind == RESIDUAL:
        at, found = "block", {layer: row[0] for layer, (_, row) in rows.items()}
    else:
        outputs = model.outputs()
        at, found = form.at, {layer: output_shift(outputs[place], row)[0] for layer, (place, row) in rows.items()}
    layers = {layer: vector.float().cpu() for layer, vector in found.items() if layer >= form.first}
    if not layers:
        raise InputError(f"the displacement is in layers below {form.first} alone, where the format has no vector")
    return Vectors("attention" if at == "attention" else "block", layers)


def measure(model: LoadedModel, intervention: Intervention, vectors: Vectors) -> Proof:
    """How near vectors come to the steering, with the model in transformers; it need not pass as a proof.

    Raises:
        PasctlError: log-probabilities are not finite, or steering changes nothing.
    """
    reference = make_reference(model, intervention)
    with adding(model, vectors):
        found = read(model, reference.passages)
    return Proof.of(reference, found, engine="transformers", dtype=model.dtype)


@contextmanager
def adding(model: LoadedModel, vectors: Vectors) -> Iterator[None]:
    """Add vectors at every position while the context lasts.

    Raises:
        InputError: a layer that the model does not have, or another width than that of its residual stream.
    """
    require_fit(model, vectors)
    if vectors.at == "block":
        places = {number: place for place, number in enumerate(model.geometry.at(RESIDUAL).places)}
        rows = {places[layer]: vector[None] for layer, vector in vectors.layers.items()}
        with steer(model, Intervention(rows, RESIDUAL)):
            yield
        return
    outputs = dict(zip(model.geometry.places, model.outputs(), strict=True))
    handles: list[Any] = []
    try:
        for layer, vector in vectors.layers.items():
            handles.append(outputs[layer].register_forward_hook(_adder(vector)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def require_fit(model: LoadedModel, vectors: Vectors) -> None:
    """Refuse vectors of another model.

    Raises:
        InputError: names the layer or the width that does not fit.
    """
    geometry = model.geometry.at(RESIDUAL) if vectors.at == "block" else model.geometry
    for layer, vector in vectors.layers.items():
        if layer not in geometry.places:
            raise InputError(
                f"vectors are for layer {layer}, the model has {len(geometry.places)} such layers",
                hint="give the model that they were made for",
            )
        if vector.numel() != model.geometry.hidden:
            raise InputError(
                f"vectors are {vector.numel()} wide, the model's residual stream {model.geometry.hidden}",
                hint="give the model that they were made for",
            )


def _adder(vector: Tensor) -> Callable[..., Tensor]:
    def hook(module: object, args: object, output: Tensor) -> Tensor:
        return output + vector.to(output)

    return hook
