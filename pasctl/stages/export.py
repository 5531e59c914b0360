"""directions + model -> a checkpoint that others load, proven to be the steered model before it gets its name."""

from __future__ import annotations

import gc
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.export import ExportCheck, ExportCreate
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.models.quantize import require_plain
from pasctl.stages.checkpoint import Making, load_apart, make, reading
from pasctl.stages.granularity import granularity_of
from pasctl.stages.job import Job, Outcome, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle, base_name
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store, noted_export, run_job
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.target import resolve_for_export

if TYPE_CHECKING:
    from pasctl.export.card import Export, Source
    from pasctl.export.engines.engine import Engine
    from pasctl.export.proof import Proof
    from pasctl.stages.control_vector import ControlVector

STAGE = Stage("export", "export", 1)
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


def create(declared: ExportCreate, run: Run) -> ExportOutcome | ControlVector:
    """Write what a declaration asks for: a checkpoint, or in its place a control vector.

    Raises:
        InputError: neither is asked for, or both; an unknown engine or persona, another model, a family without a
            switch for biases, a folder that is not free, or a target that an export cannot mean.
        MissingError: there are no such directions, or the model is gone.
        PasctlError: the checkpoint is not the steered model; or the disk is full or read-only.
    """
    declared.options.require_one_process("export")
    if declared.control_vector is not None:
        from pasctl.stages.control_vector import create_control_vector

        _require_alone(declared)
        return create_control_vector(declared, declared.control_vector, run)
    if declared.vector_format != "auto":
        raise InputError("--vector-format is for --control-vector FILE", hint="leave it out, or name such a file")
    if declared.output is None:
        raise InputError("expected -o DIR, or --control-vector FILE, found neither")
    return _create_checkpoint(declared, declared.output, run)


def _require_alone(declared: ExportCreate) -> None:
    """A control vector is no model: refuse what is said about one."""
    if declared.output is not None:
        raise InputError("-o DIR and --control-vector FILE are two exports", hint="give one of them")
    if declared.engine not in ("transformers", "gguf"):
        raise InputError(
            f"a control vector is for no engine, found --engine {declared.engine}",
            hint="leave --engine out, or use --vector-format",
        )
    if declared.license is not None:
        raise InputError("a control vector has no model card, found --license", hint="leave --license out")


def _create_checkpoint(declared: ExportCreate, output: Path | str, run: Run) -> ExportOutcome:
    """Write a steered model as a checkpoint, reload it, and compare it with the steered model.

    Only a checkpoint that passes gets the name `output`, in one step. One that is there already, whole, is left alone.
    """
    from pasctl.export.engines import ENGINES
    from pasctl.export.origin import require_repository
    from pasctl.export.place import Place

    engine: Engine = ENGINES.build(declared.engine)
    if declared.base_model is not None:
        require_repository(declared.base_model)
    if not re.fullmatch(r"[1-9]\d*[KMG]B", declared.shard_size):
        raise InputError(f"shard size {declared.shard_size!r} is no size", hint="such as 5GB or 500MB")
    source = run.input("directions", declared.directions)
    handle = run.model_of(source, declared.model, declared.options)
    target = resolve_for_export(replace(declared.steering, directions=source), run, handle)
    engine.require(handle.source, granularity_of(source))
    require_plain(handle.source, handle.quantization)
    job = _job(declared, target, handle)
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
    export = _about(declared, target, handle, job, planned.key, run.store, place.folder.name)
    with noted_export(run.store.root, place.folder), place.partial() as folder:
        making = Making(handle, target, engine, export, place, folder, declared.shard_size)
        proofs: list[Proof] = []
        job = replace(job, compute=lambda work: _compute(work, making, proofs))
        outcome = run_job(run.store, job, reporter=run.reporter, wait=run.wait)
        if not proofs:  # the store has the artifact, and the folder is gone
            proofs.append(make(making, run.reporter))
        place.publish(folder)
    if export.hub_base is None:
        run.reporter.note("the card names no base model on a hub: --base-model ORG/NAME does")
    return ExportOutcome(outcome, place.folder, True, proofs[0])


def _job(declared: ExportCreate, target: ResolvedTarget, handle: ModelHandle) -> Job:
    """The export as an artifact; what is computed depends on the folder."""
    source = target.directions
    return Job(
        stage=STAGE,
        model=source.model,
        label=_label(source.label, target.persona),
        # 2 and 2.0 are one key
        params={"persona": target.persona, "alpha": float(target.alpha), "engine": declared.engine},
        inputs={"directions": source},
        identity=handle.identity,
        numerics={name: value for name, value in handle.numerics(0).items() if name != "seed"},  # nothing is drawn
        compute=lambda work: {},
        provenance={"model": handle.provenance()},
        estimate=partial(_estimate, target, handle),
    )


def _about(
    declared: ExportCreate, target: ResolvedTarget, handle: ModelHandle, job: Job, key: str, store: Store, folder: str
) -> Export:
    """What the record, the card and the files say; `folder` is the name of where they go."""
    from pasctl.export.card import UNKNOWN_LICENSE, Export, versions

    return Export(
        key=key,
        engine=declared.engine,
        persona=target.persona,
        alpha=float(target.alpha),
        positions=target.positions,
        digest=target.known.digest(0),
        base=base_name(handle),
        hub_base=declared.base_model or handle.source.repo,
        folder=folder,
        model=handle.identity,
        revision=handle.source.sha,
        numerics=job.numerics,
        lineage=_lineage(store, target.directions),
        versions=versions(),
        license=declared.license or UNKNOWN_LICENSE,
        layers=len(target.layers),
    )


def check(declared: ExportCheck, run: Run) -> Proof:
    """Repeat the proof of an export: its files are those that were written, and it is the steered model.

    The dtype is that of the export unless another is given.

    Returns:
        The figures; `fault()` of them says whether the checkpoint passes.

    Raises:
        InputError: an unknown engine, or one that does not read this export; no export of ours, or another model.
        MissingError: directions, model or the engine are not here.
        PasctlError: a file is not the one that was written, or the tokenizer gives other tokens.
    """
    from pasctl.export.engines import ENGINES
    from pasctl.export.files import read_record, require_files
    from pasctl.export.proof import Proof
    from pasctl.export.reading import make_reference

    runner: Engine = ENGINES.build(declared.engine)
    folder = Path(declared.folder)
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder} is no export of pasctl", hint="give a folder that `pasctl export` has written")
    require_files(folder, record["files"])
    made: Engine = ENGINES.build(record.get("engine", "transformers"))
    runner.require_readable(folder, made)
    runner.require_here()
    if (remark := runner.remark()) is not None:
        run.reporter.note(remark)
    source = _directions_of(record, folder, run.store)
    options = declared.options
    if options.dtype == "auto":
        options = replace(options, dtype=record["numerics"]["dtype"])
    if options.quantize == "auto":
        options = replace(options, quantize="none")  # as it was exported, whatever the directions were fitted on
    handle = run.model_of(source, declared.model, options)
    known = SteeringTarget(directions=source, persona=record["persona"], alpha=record["alpha"], positions="all")
    target = resolve_for_export(known, run, handle)
    loaded = load_apart(handle, run.reporter)
    reference = make_reference(loaded, target.intervention(loaded.geometry))
    del loaded
    gc.collect()
    read = runner.run(folder, reference, reading(handle), made)
    return Proof.of(reference, read, engine=runner.runs_in, dtype=runner.rounds_as(folder, handle.dtype))


export_model = function_of(ExportCreate)
check_export = function_of(ExportCheck)


def _directions_of(record: dict[str, Any], folder: Path, store: Store) -> Artifact:
    """The directions that an export was made from."""
    made_from = record["lineage"][0]
    source = store.lookup(made_from["key"])
    if source is None:
        raise MissingError(
            f"store {store.root} does not have {made_from['name']}, which {folder} was made from",
            hint="give the store that has it with --store",
        )
    return source


def _compute(work: StageContext, making: Making, proofs: list[Proof]) -> Payload:
    from pasctl.export.files import digests

    proof = make(making, work.reporter)
    proofs.append(proof)
    work.provenance["counts"] = {"tokens_compared": proof.tokens}
    work.provenance["folder"] = str(making.place.folder)  # where `store gc` looks for what killed exports have left
    return {_PROOF: {"proof": proof.to_json(), "files": digests(making.folder)}}


def _label(directions: str, persona: str) -> str:
    """The artifact's label: that of the directions, and who of them."""
    who = re.sub(r"[^a-z0-9._+-]+", "-", persona.lower()).lstrip("-._+")
    return directions if who in ("", directions) else f"{directions}-{who}"[:100].rstrip(".")


def _lineage(store: Store, directions: Artifact) -> tuple[Source, ...]:
    """The directions, and what they were made from, back to the beginning; each once."""
    from pasctl.export.card import Source

    sources: dict[str, Source] = {}
    waiting = [("directions", store.lineage(directions))]
    while waiting:
        role, node = waiting.pop(0)
        sources.setdefault(node.key, Source(role, node.name, node.key))
        waiting += [(each.role, each) for each in node.inputs]
    return tuple(sources.values())


def _estimate(target: ResolvedTarget, handle: ModelHandle) -> dict[str, int]:
    """How many layers get a displacement, and the tokens of the proof at most; no weights are loaded."""
    from pasctl.export.proof import CONTINUATION
    from pasctl.export.reading import encode

    chat = handle.chat()
    prompts, text = encode(chat, chat.tokenizer)
    return {"layers": len(target.layers), "tokens_compared_at_most": CONTINUATION * len(prompts) + len(text) - 1}
