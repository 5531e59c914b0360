"""directions + model -> a control vector for llama.cpp, with how near it comes to the steering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.export import ExportCreate
from pasctl.errors import InputError, PasctlError
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


@dataclass(frozen=True)
class ControlVector:
    """What came of it.

    Attributes:
        path: the file.
        persona: who it steers to.
        alpha: strength, which is in the vectors: llama.cpp adds them as they are.
        layers: those that have a vector.
        without: displaced layers that have none.
        proof: the vector beside the steering; None after a dry run.
    """

    path: Path
    persona: str
    alpha: float
    layers: tuple[int, ...]
    without: tuple[int, ...]
    proof: Proof | None

    def to_json(self) -> dict[str, Any]:
        """It as one JSON document."""
        return {
            "control_vector": str(self.path),
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
        **options: `alpha`, `persona`, `positions`, `force`, `model`, `options`, `store`, `reporter`, `dry_run`,
            `max_memory`, as `pasctl.export_model` takes them.

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
    """Write the control vector that a declaration asks for; see `export_control_vector`."""
    from pasctl.export.gguf_file import gguf_package, require_family
    from pasctl.export.origin import require_repository

    path = Path(file)
    if declared.base_model is not None:
        require_repository(declared.base_model)
    _require_free(path, force=declared.force)
    gguf_package()
    source = run.input("directions", declared.directions)
    handle = run.model_of(source, declared.model, declared.options)
    target = resolve_for_export(replace(declared.steering, directions=source), run, handle)
    if handle.source.family is not None:
        require_family(handle.source.family)
    layers, without = tuple(filter(None, target.layers)), tuple(layer for layer in target.layers if not layer)
    if run.dry_run:
        return ControlVector(path, target.persona, target.alpha, layers, without, None)
    with noted_export(run.store.root, path):
        proof = _write(path, target, handle, declared.base_model, run.reporter)
    return ControlVector(path, target.persona, target.alpha, layers, without, proof)


def _write(
    path: Path, target: ResolvedTarget, handle: ModelHandle, base_model: str | None, reporter: Reporter
) -> Proof:
    """Write the file in one step, and measure what it does."""
    from pasctl.export.control_vector import control_vector, measure, write_control_vector

    loaded = handle.load(reporter)
    moved = target.intervention(loaded.geometry)
    vectors = control_vector(loaded, moved)
    reporter.note("reading prompts with steering, without, and with the control vector")
    proof = measure(loaded, moved, vectors)
    about = (
        f"PAS directions {target.directions.name} at alpha {target.alpha:g}, added after layers instead of after "
        f"their attention: an approximation, {proof.mean:.2g} nats/token from the steered model, which is "
        f"{proof.effect_mean:.2g} from the base"
    )
    origin = _origin(target, handle, base_model, vectors)
    temporary = temporary_path(path.parent)
    try:
        write_control_vector(temporary, vectors, loaded, origin=origin, description=about)
        make_durable(temporary)
        temporary.replace(path)
        make_durable(path.parent)
    except OSError as error:
        raise PasctlError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return proof


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


def _require_free(path: Path, *, force: bool) -> None:
    if path.suffix != ".gguf":
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}, expected a file name that ends in .gguf")
    if not path.parent.is_dir():
        raise InputError(f"{path} cannot be written: there is no folder {path.parent}", hint="make the folder first")
    if path.exists() and not force:
        raise InputError(f"{path} is there already", hint="--force replaces it")
    if path.exists() and not _is_control_vector(path):
        raise InputError(f"{path} is no control vector, and is left as it is", hint="give another name")


def _is_control_vector(path: Path) -> bool:
    from pasctl.models.gguf_header import read_gguf_header

    try:
        return path.is_file() and read_gguf_header(path).family == "controlvector"
    except InputError:
        return False
