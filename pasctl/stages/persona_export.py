"""directions + model -> a base model and a table of personas, of which each request in vLLM names its own."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, PasctlError
from pasctl.evaluation.alphas import AUTO
from pasctl.models.sites import HEADS
from pasctl.stages.checkpoint import load_apart, reading
from pasctl.stages.granularity import site_of
from pasctl.stages.job import Job, Stage
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pasctl.commands.export import ExportCreate
    from pasctl.export.card import Export
    from pasctl.export.engines.engine import Engine
    from pasctl.export.engines.vllm_personas import VllmPersonas
    from pasctl.export.place import Place
    from pasctl.export.proof import Proof, Reference
    from pasctl.models.load import LoadedModel
    from pasctl.stages.progress import Reporter
    from pasctl.steering.intervention import Intervention

_STAGE = Stage("export", "export", 1)
_PROVEN = 4  # personas that a proof compares, spread over the table
_ROWS = 256  # personas that are computed at once


@dataclass(frozen=True, eq=False)
class TablePersonas:
    """The personas of a table.

    Attributes:
        known: their directions.
        alphas: the strengths of requests that name none.
        positions: where a text is steered.
    """

    known: DirectionSet
    alphas: tuple[float, ...]
    positions: str

    @property
    def ids(self) -> tuple[str, ...]:
        """Their names."""
        return self.known.personas.ids

    def digests(self) -> list[str]:
        """sha256 of the directions of each."""
        return [self.known.digest(row) for row in range(len(self.ids))]

    def proven(self) -> list[int]:
        """The rows that a proof compares."""
        return spread_rows(len(self.ids))

    def vectors(self, model: LoadedModel) -> NDArray[np.float32]:
        """What is added to the outputs of o_proj at alpha 1, float32 [P, layers, hidden]."""
        from pasctl.export.engines.vllm_personas import table_vectors

        parts = [
            table_vectors(
                model,
                [
                    self.known.intervention(model.geometry, row, 1.0)
                    for row in range(start, min(start + _ROWS, len(self.ids)))
                ],
            )
            for start in range(0, len(self.ids), _ROWS)
        ]
        return np.concatenate(parts)


def resolve_personas(declared: ExportCreate, source: Artifact, run: Run, handle: ModelHandle) -> TablePersonas:
    """Find whom a table is of: the persona that is named, or all that the directions have.

    Raises:
        InputError: no such persona, directions of the residual stream, or a strength that is 0 or was not chosen.
    """
    if site_of(source) != HEADS:
        raise InputError(
            f"{source.name} shifts {site_of(source)}, an export carries shifts of the usual heads alone",
            hint="serve it with `pasctl serve`, or extract with --site heads",
        )
    steering = replace(declared.steering, directions=source)
    catalog = PersonaCatalog(run, handle, steering)
    names = [steering.persona] if steering.persona is not None else catalog.ids()
    if steering.persona is not None:
        found = catalog.find(steering.persona)
        known, alphas = found.known, [float(found.alpha)]
    else:
        known = DirectionSet.read(source)
        given = None if steering.alpha == AUTO else float(steering.alpha)
        alphas = [float(catalog.find(name).alpha) if given is None else given for name in names]
    for name, alpha in zip(known.personas.ids, alphas, strict=True):
        if not alpha:
            raise InputError(
                f"the alpha of {name} is 0, so requests that name it would get the base model",
                hint="give requests that name no strength one with --alpha",
            )
    return TablePersonas(known, tuple(alphas), catalog.positions(names[0]))


@dataclass(frozen=True, eq=False)
class TableMaking:
    """Everything that making an export with a table needs."""

    declared: ExportCreate
    handle: ModelHandle
    personas: TablePersonas
    engine: VllmPersonas
    export: Export
    place: Place
    folder: Path

    def make(self, reporter: Reporter) -> Proof:
        """Write base and table into the folder, prove them, and describe them there.

        Raises:
            PasctlError: they are not the steered model, or the disk is full or read-only.
        """
        from pasctl.export.files import RECORD, digests
        from pasctl.export.persona_proof import read_tables
        from pasctl.export.proof import Proof

        reference = self._write(reporter)
        reporter.note("loading what was written, to compare")
        names = [self.personas.ids[row] for row in self.personas.proven()]
        alphas = [self.personas.alphas[row] for row in self.personas.proven()]
        read = read_tables(self.folder, reference, names, alphas, reading(self.handle))
        proof = Proof.of(reference, read, engine="transformers", dtype=self.handle.dtype)
        if (fault := proof.fault()) is not None:
            raise PasctlError(f"the export {fault}; nothing is left in {self.place.given}")
        with self.place.errors():
            (self.folder / RECORD).write_text(self.export.record(proof, digests(self.folder)), encoding="utf-8")
            (self.folder / "README.md").write_text(self.export.card(proof), encoding="utf-8")
        return proof

    def _write(self, reporter: Reporter) -> Reference:
        from pasctl.export.engines.vllm_personas import TABLE
        from pasctl.models.transformers_compat import quiet_transformers
        from pasctl.vllm_plugin.persona_table import FOLDER, write_table

        loaded = load_apart(self.handle, reporter)
        reporter.note("reading prompts, with steering and without")
        known, alphas = self.personas.known, self.personas.alphas
        moved = [known.intervention(loaded.geometry, row, alphas[row]) for row in self.personas.proven()]
        reference = reference_of(loaded, moved)
        about = {
            "base_model": self.export.hub_base or self.export.base,
            "directions": self.export.lineage[0].name,
            "directions_key": self.export.lineage[0].key,
            "directions_digests": self.personas.digests(),
            "key": self.export.key,
        }
        with self.place.errors(), quiet_transformers():
            declared = self.declared
            self.engine.write_base(loaded, self.folder, shard_size=declared.shard_size, link=declared.link_base)
            write_table(
                self.folder / FOLDER / TABLE,
                self.personas.vectors(loaded),
                self.personas.ids,
                alphas=self.personas.alphas,
                positions=self.personas.positions,
                about=about,
            )
        del loaded
        gc.collect()
        return reference


def spread_rows(count: int) -> list[int]:
    """The rows of a table of so many that a proof compares."""
    return sorted(set(np.linspace(0, count - 1, _PROVEN).astype(int).tolist()))


def reference_of(model: LoadedModel, interventions: Sequence[Intervention]) -> Reference:
    """What the steered model gives for the personas that a proof compares, one after the other."""
    from pasctl.export.persona_proof import joined
    from pasctl.export.reading import make_reference

    return joined([make_reference(model, each) for each in interventions])


def table_job(
    declared: ExportCreate, source: Artifact, personas: TablePersonas, handle: ModelHandle, label: str
) -> Job:
    """The export as an artifact; what is computed depends on the folder."""
    return Job(
        stage=_STAGE,
        model=source.model,
        label=label,
        params={
            "persona": declared.steering.persona or "all",
            "alphas": list(personas.alphas),
            "positions": personas.positions,
            "engine": declared.engine,
            "linked": declared.link_base,
        },
        inputs={"directions": source},
        identity=handle.identity,
        numerics={name: value for name, value in handle.numerics(0).items() if name != "seed"},
        compute=lambda work: {},
        provenance={"model": handle.provenance()},
        estimate=lambda: {"personas": len(personas.ids)},
    )


def check_table(folder: Path, source: Artifact, run: Run, handle: ModelHandle, runner: Engine) -> Proof:
    """Repeat the proof of an export with a table: in vLLM as one batch of requests, or in transformers.

    Raises:
        InputError: the directions have no persona of such a name any more.
        PasctlError: it cannot be run, or what it gives unsteered requests is not what the base model gives.
    """
    from pasctl.export.engines.vllm import Vllm
    from pasctl.export.engines.vllm_personas import TABLE
    from pasctl.export.persona_proof import read_requests, read_tables
    from pasctl.export.proof import Proof
    from pasctl.vllm_plugin.persona_table import FOLDER, read_table

    written = read_table(folder / FOLDER / TABLE)
    catalog = PersonaCatalog(run, handle, SteeringTarget(directions=source))
    spread = [written[row] for row in spread_rows(len(written))]
    targets = [catalog.find(persona.name, persona.alpha) for persona in spread]
    loaded = load_apart(handle, run.reporter)
    reference = reference_of(loaded, [target.intervention(loaded.geometry) for target in targets])
    del loaded
    gc.collect()
    names, alphas = [persona.name for persona in spread], [persona.alpha for persona in spread]
    if isinstance(runner, Vllm):
        read = read_requests(folder, reference, names, alphas, handle.dtype)
    else:
        read = read_tables(folder, reference, names, alphas, reading(handle))
    return Proof.of(reference, read, engine=runner.runs_in, dtype=handle.dtype)


def summary(personas: TablePersonas) -> dict[str, Any]:
    """What the record says of the personas: who they are in words, the strength of the first, and one digest."""
    ids = personas.ids
    named = ", ".join(ids[:3]) + (f" and {len(ids) - 3:,} more" if len(ids) > 3 else "")
    digest = hashlib.sha256("".join(personas.digests()).encode()).hexdigest()
    return {
        "persona": named,
        "alpha": personas.alphas[0],
        "positions": personas.positions,
        "digest": digest,
        "layers": len(set(personas.known.heads[..., 0].flatten().tolist())),
    }
