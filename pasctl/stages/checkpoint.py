"""A checkpoint made for an export: written, read again, compared with the steered model, described."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.errors import PasctlError
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.steering import ResolvedTarget

if TYPE_CHECKING:
    from pathlib import Path

    from pasctl.export.card import Export
    from pasctl.export.engines.engine import Engine, Reading
    from pasctl.export.place import Place
    from pasctl.export.proof import Proof, Reference
    from pasctl.models.load import LoadedModel


@dataclass(frozen=True, eq=False)
class Making:
    """Everything that making a checkpoint needs.

    Attributes:
        handle: the model.
        target: the persona.
        engine: what it is made for.
        export: what is said about it.
        place: where it goes.
        folder: where it is written first.
        shard_size: bound on a weight file.
    """

    handle: ModelHandle
    target: ResolvedTarget
    engine: Engine
    export: Export
    place: Place
    folder: Path
    shard_size: str


def make(making: Making, reporter: Reporter) -> Proof:
    """Write the checkpoint into the folder, prove it, and describe it there.

    Raises:
        InputError: the engine cannot express the model or the displacement.
        PasctlError: it is not the steered model, or the disk is full or read-only.
    """
    from pasctl.export.files import RECORD, digests
    from pasctl.export.proof import Proof

    handle, folder = making.handle, making.folder
    reference = _write(making, reporter)
    reporter.note("loading what was written, to compare")
    reloaded = making.engine.read(folder, reference, reading(handle))
    proof = Proof.of(reference, reloaded, engine="transformers", dtype=handle.dtype)
    if (fault := proof.fault()) is not None:
        raise PasctlError(f"the checkpoint {fault}; nothing is left in {making.place.given}")
    with making.place.errors():
        (folder / RECORD).write_text(making.export.record(proof, digests(folder)), encoding="utf-8")
        (folder / "README.md").write_text(making.export.card(proof), encoding="utf-8")
    return proof


def _write(making: Making, reporter: Reporter) -> Reference:
    """Write the weights; the model is let go when this ends, and the reloaded one takes its room."""
    from pasctl.export.origin import Trace
    from pasctl.export.reading import make_reference
    from pasctl.models.transformers_compat import first_line, quiet_transformers

    loaded = load_apart(making.handle, reporter)
    displacement = making.target.intervention(loaded.geometry)
    reporter.note("reading prompts, with steering and without")
    reference = make_reference(loaded, displacement)
    engine = making.engine
    traces = {layer: Trace.of(shift.numpy()) for layer, shift in engine.shifts(loaded, displacement).items()}
    origin = making.export.origin(engine.tensor, traces)
    try:
        with making.place.errors(), quiet_transformers():
            engine.write(loaded, displacement, making.folder, shard_size=making.shard_size, origin=origin)
    except ValueError as error:  # transformers' word for generation settings that contradict each other
        spec = making.handle.source.spec
        raise PasctlError(f"transformers cannot save {spec}: {first_line(error)}") from error
    del loaded
    gc.collect()
    return reference


def load_apart(handle: ModelHandle, reporter: Reporter) -> LoadedModel:
    """The model, held by the caller alone unless it was in memory before, so that it can be let go."""
    return (handle if handle.is_loaded else ModelHandle(handle.source, handle.options, handle.max_memory)).load(
        reporter
    )


def reading(handle: ModelHandle) -> Reading:
    """How what was written is loaded: as the model was."""
    from pasctl.export.engines.engine import Reading

    return Reading(handle.dtype, handle.device, handle.attn, handle.options.device_map)
