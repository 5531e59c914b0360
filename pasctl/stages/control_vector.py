"""directions + model -> a control vector for llama.cpp, with how near it comes to the steering."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, PasctlError
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Store, open_store
from pasctl.stages.target import PersonaCatalog
from pasctl.store.disk import make_durable, temporary_path

if TYPE_CHECKING:
    from pasctl.export.proof import Proof
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel


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


def export_control_vector(
    directions: str | Artifact,
    path: Path | str,
    *,
    alpha: float,
    persona: str | None = None,
    force: bool = False,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> ControlVector:
    """Write a displacement as a control vector, and measure it; directions of any granularity will do.

    Args:
        directions: which to steer along.
        path: the file; its folder must be there.
        alpha: strength, not 0.
        persona: who to steer to; None is for directions of a single persona.
        force: replace a control vector that stands there.
        model: where the model is now; None takes it from where it was.
        options: how to load it.
        store: the store or its folder.
        reporter: receives notes.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: an unknown persona, another model, a family without a name in llama.cpp, a file that is there.
        MissingError: there are no such directions, the model is gone, or the package gguf is not installed.
        PasctlError: the disk is full or read-only.
    """
    from pasctl.export.gguf_file import gguf_package, require_family

    if not math.isfinite(alpha) or alpha == 0:
        raise InputError(f"alpha is {alpha:g}, expected a finite number other than 0, which steers nothing")
    path, opened, reporter = Path(path), open_store(store), reporter or Silent()
    _require_free(path, force=force)
    gguf_package()
    source = opened.resolve(directions, "directions") if isinstance(directions, str) else directions
    handle = Run(opened).model_of(source, ModelHandle.of(model, options) if model is not None else None, options)
    target = SteeringTarget(directions=source, alpha=alpha, positions="all")
    chosen = PersonaCatalog(Run(opened), handle, target).find(persona)
    if handle.source.family is not None:
        require_family(handle.source.family)
    who = str(chosen.params["persona"])
    displaced = chosen.layers
    layers, without = tuple(layer for layer in displaced if layer), tuple(layer for layer in displaced if not layer)
    if dry_run:
        return ControlVector(path, who, alpha, layers, without, None)

    from pasctl.export.control_vector import control_vector, measure, write_control_vector

    loaded = handle.load(reporter)
    moved = chosen.intervention(loaded.geometry)
    vectors = control_vector(loaded, moved)
    reporter.note("reading prompts with steering, without, and with the control vector")
    proof = measure(loaded, moved, vectors)
    about = (
        f"PAS directions {source.name} at alpha {alpha:g}, added behind layers instead of behind their attention: an "
        f"approximation, {proof.mean:.2g} nats a token from the steered model, which is {proof.effect_mean:.2g} from "
        "the base"
    )
    temporary = temporary_path(path.parent)
    try:
        write_control_vector(temporary, vectors, loaded, name=f"{who} on {handle.slug}", description=about)
        make_durable(temporary)
        temporary.replace(path)
        make_durable(path.parent)
    except OSError as error:
        raise PasctlError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return ControlVector(path, who, alpha, layers, without, proof)


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
