"""directions + model -> vectors that other tools add to a model, with how near they come to the steering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.export import ExportCreate
from pasctl.errors import InputError, PasctlError
from pasctl.evaluation.alphas import AUTO
from pasctl.export.vectors import FORMATS
from pasctl.models.sites import HEADS, RESIDUAL
from pasctl.stages.model import ModelHandle, base_name
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run
from pasctl.stages.runner import noted_export
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.target import resolve_for_export
from pasctl.store.disk import make_durable, temporary_path

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.commands.shared import Ref
    from pasctl.export.origin import Origin
    from pasctl.export.proof import Proof
    from pasctl.export.vectors.vector_format import VectorFormat


@dataclass(frozen=True)
class ControlVector:
    """What came of it.

    Attributes:
        path: the file.
        format: a name in `pasctl.export.vectors.FORMATS`.
        reads: who reads it.
        persona: who it steers to.
        alpha: strength, which is in the vectors: they are added as they are.
        layers: those that have a vector.
        without: displaced layers that have none.
        at: what they are added to, the output of a layer ("block") or of its "attention".
        proof: the vector beside the steering; None after a dry run.
    """

    path: Path
    format: str
    reads: str
    persona: str
    alpha: float
    layers: tuple[int, ...]
    without: tuple[int, ...]
    at: str
    proof: Proof | None

    def to_json(self) -> dict[str, Any]:
        """It as one JSON document."""
        return {
            "control_vector": str(self.path),
            "format": self.format,
            "added_after": self.at,
            "persona": self.persona,
            "alpha": self.alpha,
            "layers": list(self.layers),
            "layers_without": list(self.without),
            "measured": self.proof and self.proof.to_json(),
        }


def export_control_vector(directions: Ref, path: Path | str, **options: Any) -> ControlVector:
    """Write a steering delta as a control vector, and measure it; directions of any granularity will do.

    Args:
        directions: which to steer along.
        path: the file; its folder must be there.
        **options: `alpha`, `persona`, `positions`, `vector_format`, `base_model`, `force`, `model`, `options`, `store`,
            `reporter`, `dry_run`, `max_memory`, as `pasctl.export_model` takes them.

    Raises:
        InputError: an unknown persona, another model, a family without a name in llama.cpp, a file that is there.
        MissingError: there are no such directions, the model is gone, or the package gguf is not installed.
        PasctlError: the disk is full or read-only.
    """
    of_run = ("store", "reporter", "dry_run", "max_memory")
    run = Run(**{name: options.pop(name) for name in of_run if name in options})
    given = {name: value for name, value in options.items() if value is not None}
    return create_control_vector(ExportCreate.of(directions=directions, **given), path, run)


def create_control_vector(declared: ExportCreate, file: Path | str, run: Run) -> ControlVector:
    """Write the vectors that a declaration asks for; see `export_control_vector`."""
    from pasctl.export.gguf_file import gguf_package
    from pasctl.export.origin import require_repository

    path = Path(file)
    if declared.base_model is not None:
        require_repository(declared.base_model)
    name = _format_name(path, declared.vector_format)
    form: VectorFormat = FORMATS.build(name)
    _require_free(path, form, force=declared.force)
    if form.suffix == ".gguf":
        gguf_package()
    source = run.input("directions", declared.directions)
    handle = run.model_of(source, declared.model, declared.options)
    target = resolve_for_export(replace(declared.steering, directions=source), run, handle, sites=(HEADS, RESIDUAL))
    if handle.source.family is not None:
        form.require(handle.source.family)
    planned = ControlVector(path, name, form.reads, target.persona, target.alpha, (), (), "block", None)
    if run.dry_run:
        numbers = handle.geometry().at(target.known.site).places
        layers = [numbers[place] for place in target.layers]
        return replace(
            planned,
            layers=tuple(layer for layer in layers if layer >= form.first),
            without=tuple(layer for layer in layers if layer < form.first),
        )
    with noted_export(run.store.root, path):
        return _write(planned, form, target, handle, declared.base_model, run.reporter)


def _write(
    planned: ControlVector,
    form: VectorFormat,
    target: ResolvedTarget,
    handle: ModelHandle,
    base_model: str | None,
    reporter: Reporter,
) -> ControlVector:
    """Write the file in one step, once it was read again and what it does was measured."""
    from pasctl.export.control_vector import measure, vectors_of
    from pasctl.export.vectors.vector_format import About

    path, loaded = planned.path, handle.load(reporter)
    form.require(loaded.adapter.family)
    moved = target.intervention(loaded.geometry)
    vectors = vectors_of(loaded, moved, form)
    numbers = loaded.geometry.at(moved.kind).places
    where = "their layers" if vectors.at == "block" else "the attention of their layers"
    about = About(
        origin=_origin(target, handle, base_model, vectors.layers),
        description=f"{target.persona} at alpha {target.alpha:g}, to be added after {where}, at every position",
        family=loaded.adapter.family,
        model_layers=loaded.geometry.at(RESIDUAL).layers,
    )
    temporary = temporary_path(path.parent)
    try:
        form.write(temporary, vectors, about)
        reporter.note("reading prompts with steering, without, and with the vectors of the file")
        proof = measure(loaded, moved, form.read(temporary))
        make_durable(temporary)
        temporary.replace(path)
        make_durable(path.parent)
    except OSError as error:
        raise PasctlError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    displaced = {numbers[place] for place in moved.displacements}
    return replace(
        planned,
        layers=tuple(vectors.layers),
        without=tuple(sorted(displaced - vectors.layers.keys())),
        at=vectors.at,
        proof=proof,
    )


def _origin(
    target: ResolvedTarget, handle: ModelHandle, base_model: str | None, vectors: Mapping[int, Tensor]
) -> Origin:
    """Who the file says that it steers to."""
    from pasctl.export.origin import Origin, Trace

    return Origin(
        persona=target.persona,
        alpha=float(target.alpha),
        positions=target.positions,
        base_model=base_model or base_name(handle),
        directions=target.directions.name,
        directions_key=target.directions.key,
        digest=target.known.digest(0),
        key="",
        carrier="vector",
        traces={layer: Trace.of(vector.numpy()) for layer, vector in vectors.items()},
    )


def _format_name(path: Path, given: str) -> str:
    """The format that is asked for, or the one that a file of this name is.

    Raises:
        InputError: an unknown format, or a name that ends otherwise.
    """
    if given != AUTO:
        FORMATS.check(given)
        return given
    by_suffix = {".gguf": "llama.cpp", ".json": "vllm-lens", ".safetensors": "steering-vectors"}
    if path.suffix not in by_suffix:
        told = ", ".join(f"{suffix} ({name})" for suffix, name in by_suffix.items())
        raise InputError(
            f"{path} ends in {path.suffix or 'nothing'}, expected {told}", hint="or give the format: --vector-format"
        )
    return by_suffix[path.suffix]


def _require_free(path: Path, form: VectorFormat, *, force: bool) -> None:
    if path.suffix != form.suffix:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}, expected a file name that ends in {form.suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}", hint="make the folder first")
    if path.exists() and not force:
        raise InputError(f"{path} is there already", hint="--force replaces it")
    if path.exists() and not _holds_vectors(path, form):
        raise InputError(f"{path} is no control vector, and is left as it is", hint="give another name")


def _holds_vectors(path: Path, form: VectorFormat) -> bool:
    try:
        return path.is_file() and bool(form.read(path).layers)
    except InputError:
        return False
