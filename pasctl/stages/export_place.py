"""An export made and put in its place, in one step: what all kinds of checkpoints have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.export import ExportCreate
from pasctl.errors import InputError
from pasctl.stages.job import Job, Outcome, Payload, StageContext
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run
from pasctl.stages.runner import noted_export, run_job

if TYPE_CHECKING:
    from pasctl.export.place import Place
    from pasctl.export.proof import Proof

Make = Callable[[Reporter], "Proof"]
"""Writes an export into its folder, and proves it."""
_PROOF = "proof.json"


@dataclass(frozen=True, eq=False)
class ExportOutcome:
    """What came of an export.

    Attributes:
        outcome: of the artifact.
        folder: where the checkpoint is.
        written: False if it was there already, whole.
        proof: the figures; None after a dry run.
    """

    outcome: Outcome
    folder: Path
    written: bool
    proof: Proof | None

    def to_json(self) -> dict[str, Any]:
        """The outcome as one JSON document."""
        return {
            **self.outcome.to_json(),
            "folder": str(self.folder),
            "written": self.written,
            "proof": self.proof and self.proof.to_json(),
        }


def require_options(declared: ExportCreate) -> None:
    """Refuse a base model's name or a size of files that are none; asked before anything is read.

    Raises:
        InputError: names it.
    """
    from pasctl.export.origin import require_repository

    if declared.base_model is not None:
        require_repository(declared.base_model)
    if not re.fullmatch(r"[1-9]\d*[KMG]B", declared.shard_size):
        raise InputError(f"shard size {declared.shard_size!r} is no size", hint="such as 5GB or 500MB")


def export_into_place(
    declared: ExportCreate, output: Path | str, run: Run, job: Job, begin: Callable[[str, Place, Path], Make]
) -> ExportOutcome:
    """Make an export beside its place; only one that is proven gets the name `output`.

    One that is there already, whole, is left alone.

    Args:
        declared: what was asked for.
        output: the folder.
        run: where the store is.
        job: the export as an artifact; what it computes is replaced.
        begin: from the key, the place and the folder to write in to what makes it.

    Raises:
        InputError: a folder that is not free.
        PasctlError: it is not the steered model; or the disk is full or read-only.
    """
    from pasctl.export.place import Place

    planned = run_job(run.store, job if run.dry_run else replace(job, estimate=dict), dry_run=True)
    place = Place(output, force=declared.force)
    if not run.dry_run and (aside := place.restore()) is not None:
        run.reporter.note(f"{aside}, the export that one which was killed had moved aside, is in its place again")
    said = {"license": declared.license, "base_model": declared.base_model}
    earlier = None if declared.force else place.holds(planned.key, **said)
    if earlier is not None and planned.artifact is not None:
        return ExportOutcome(planned, place.folder, False, earlier)
    place.require()
    if run.dry_run:
        return ExportOutcome(planned, place.folder, False, None)
    for left in place.leftovers():
        run.reporter.note(f"{left} is left of an export that was killed or still runs")
    with noted_export(run.store.root, place.folder), place.partial() as folder:
        make = begin(planned.key, place, folder)
        proofs: list[Proof] = []
        job = replace(job, compute=lambda work: _compute(work, make, place, folder, proofs))
        outcome = run_job(run.store, job, reporter=run.reporter, wait=run.wait)
        if not proofs:  # the store has the artifact, and the folder is gone
            proofs.append(make(run.reporter))
        place.publish(folder)
    return ExportOutcome(outcome, place.folder, True, proofs[0])


def _compute(work: StageContext, make: Make, place: Place, folder: Path, proofs: list[Proof]) -> Payload:
    from pasctl.export.files import digests

    proof = make(work.reporter)
    proofs.append(proof)
    work.provenance["counts"] = {"tokens_compared": proof.tokens}
    work.provenance["folder"] = str(place.folder)  # where `store gc` looks for what killed exports have left
    return {_PROOF: {"proof": proof.to_json(), "files": digests(folder)}}
