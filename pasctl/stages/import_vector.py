"""A file of steering vectors + model -> directions of one persona, whose strength at alpha 1 is the file's."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pasctl.commands.import_vector import ImportVector
from pasctl.errors import InputError, MissingError
from pasctl.export.vectors import FORMATS
from pasctl.export.vectors.vector_format import PICKLES
from pasctl.inventory import PersonaSet, builtin_inventory
from pasctl.models.sites import HEADS, RESIDUAL
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run, function_of
from pasctl.stages.steering import DIRECTIONS_FILE
from pasctl.stages.stored_personas import PERSONAS
from pasctl.text_file import expand_home

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from pasctl.export.vectors.vector_format import Vectors

MOST_OFF = 1e-3
"""How far W_o d may be from a vector after the attention, as a share of it."""
_READERS = {".gguf": "llama.cpp", ".json": "vllm-lens", ".safetensors": "steering-vectors"}


def plan(declared: ImportVector, run: Run) -> Job:
    """Read the file, and what it is called; the model is asked for its shape alone, unless heads must be found.

    Raises:
        InputError: no file of vectors, one that is pickled, or vectors of another model.
        MissingError: the file or the model is not there.
    """
    from pasctl.export.origin import read_origin

    path = expand_home(declared.file)
    vectors = read_vectors(path)
    origin = read_origin(path)
    persona = declared.persona or (origin.persona if origin else path.stem)
    handle = run.model(declared.model, declared.options)
    work = _Import(vectors, persona, handle)
    work.require()
    return Job(
        stage=Stage.of(ImportVector),
        model=handle.slug,
        label=_label(persona),
        params=declared.key(vectors=_digest(vectors), persona=persona),
        inputs={},
        identity=handle.identity,
        numerics={},
        compute=work.compute,
        provenance={"model": handle.provenance(), "file": str(path.absolute())},
        estimate=lambda: {"layers": len(vectors.layers), "forward_tokens": 0},
    )


import_vector = function_of(ImportVector)


def read_vectors(path: Path) -> Vectors:
    """The vectors of a file, whichever tool has written it.

    Raises:
        InputError: it is none that pasctl reads, or damaged.
        MissingError: it is not there.
    """
    if not path.is_file():
        raise MissingError(f"no such file: {path}", hint="give a .gguf, .safetensors or .json file of vectors")
    if path.suffix in PICKLES:
        raise InputError(
            f"{path} is pickled, which can run code when loaded; pasctl loads none",
            hint="save its tensors where they come from: "
            'safetensors.torch.save_file({f"layer_activations.{n}": v for n, v in vectors.items()}, FILE)',
        )
    if path.suffix not in _READERS:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}, expected one of {', '.join(_READERS)}")
    found: Vectors = FORMATS.build(_READERS[path.suffix]).read(path)
    return found


@dataclass(frozen=True, eq=False)
class _Import:
    """The vectors, who they are, and the model that they are for."""

    vectors: Vectors
    persona: str
    handle: ModelHandle

    @property
    def site(self) -> str:
        """The kind of sites that are shifted."""
        return RESIDUAL if self.vectors.at == "block" else HEADS

    def require(self) -> None:
        """Refuse vectors that the model has no place for."""
        whole = self.handle.geometry()
        geometry = whole.at(self.site)
        for layer, vector in self.vectors.layers.items():
            if layer not in geometry.places or vector.numel() != whole.hidden:
                raise InputError(
                    f"the vector of layer {layer} is {vector.numel()} wide, {self.handle.source.spec} has "
                    f"{len(geometry.places)} such layers of {whole.hidden}",
                    hint="give the model that it was made for",
                )

    def compute(self, work: StageContext) -> Payload:
        """The directions: theta of unit length, and sigma the length, per layer or per head."""
        places = {number: place for place, number in enumerate(self.handle.geometry().at(self.site).places)}
        rows = {places[layer]: vector for layer, vector in self.vectors.layers.items()}
        if self.site == HEADS:
            rows, off = self._heads(work, rows)
            work.provenance["counts"] = {"layers": len(rows), "off": round(off, 9)}
        geometry = self.handle.geometry().at(self.site)
        heads, theta, sigma = _units(rows, geometry.heads)
        inventory = builtin_inventory()
        personas = PersonaSet(_label(self.persona), (self.persona,), np.full((1, len(inventory.items)), np.nan))
        return {
            f"{DIRECTIONS_FILE}.safetensors": {"heads": heads[None], "theta": theta[None], "sigma": sigma[None]},
            PERSONAS: personas.to_json(),
            "items.json": {"inventory": inventory.to_json(), "geometry": geometry.to_json()},
        }

    def _heads(self, work: StageContext, rows: dict[int, Tensor]) -> tuple[dict[int, Tensor], float]:
        """The smallest shifts d of the heads with W_o d the vectors, and the largest share that is missing.

        Raises:
            InputError: no shift of the heads gives a vector.
        """
        import torch

        from pasctl.models.projection import output_shift

        loaded = self.handle.load(work.reporter)
        outputs, width = loaded.outputs(), loaded.geometry.width
        found: dict[int, Tensor] = {}
        largest = 0.0
        for place, vector in rows.items():
            weight = output_shift(outputs[place], torch.eye(width)).T.double().cpu()  # [hidden, H*D]
            found[place] = torch.linalg.pinv(weight) @ vector.double()
            off = float((weight @ found[place] - vector.double()).norm() / vector.double().norm())
            if off > MOST_OFF:
                raise InputError(
                    f"no shift of the heads of layer {place} gives the vector: {off:.1%} of it is missing",
                    hint="take the vectors of layers' outputs (layer type decoder_block)",
                )
            largest = max(largest, off)
        return {place: row.float() for place, row in found.items()}, largest


def _label(persona: str) -> str:
    """A persona's name as a part of an artifact's."""
    return re.sub(r"[^a-z0-9._+-]+", "-", persona.lower()).lstrip("-._+")[:100].rstrip(".") or "vector"


def _units(rows: dict[int, Tensor], heads: int) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Rows per place, cut into heads: (place, head) [K, 2], unit vectors [K, D], and lengths [K]."""
    places = [(place, head) for place in sorted(rows) for head in range(heads)]
    cut = np.stack([rows[place].double().numpy().reshape(heads, -1)[head] for place, head in places])
    length = np.linalg.norm(cut, axis=1)
    theta = np.divide(cut, length[:, None], out=np.zeros_like(cut), where=length[:, None] > 0)
    return np.array(places, np.int64), theta.astype(np.float32), length.astype(np.float32)


def _digest(vectors: Vectors) -> str:
    """sha256 of what is added where, whatever the format."""
    digest = hashlib.sha256(vectors.at.encode())
    for layer, vector in sorted(vectors.layers.items()):
        digest.update(str(layer).encode())
        digest.update(vector.contiguous().numpy().astype("<f4").tobytes())
    return digest.hexdigest()
