"""directions + model -> a checkpoint that others load, proven to be the steered model before it gets its name."""

from __future__ import annotations

import gc
import math
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.models.identity import ModelSource
from pasctl.models.options import ModelOptions
from pasctl.stages.checkpoint import Making, load_apart, make, reading
from pasctl.stages.granularity import granularity_of
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Stage, Store, Work, open_store, run_job
from pasctl.stages.target import PersonaCatalog, ResolvedTarget

if TYPE_CHECKING:
    from pasctl.export.card import Source
    from pasctl.export.engines.engine import Engine
    from pasctl.export.proof import Proof
    from pasctl.models.load import LoadedModel

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


def export_model(
    directions: str | Artifact,
    output: Path | str,
    *,
    alpha: float,
    persona: str | None = None,
    engine: str = "transformers",
    license: str | None = None,
    shard_size: str = "5GB",
    force: bool = False,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> ExportOutcome:
    """Write a steered model as a checkpoint, reload it, and compare it with the steered model.

    Only a checkpoint that passes gets the name `output`, in one step. One that is there already, whole, is left alone.

    Args:
        directions: which to steer along.
        output: the folder; it must be absent or empty.
        alpha: strength, not 0.
        persona: who to steer to; None is for directions of a single persona.
        engine: what it is for, a name in `pasctl.export.engines.ENGINES`.
        license: of the base model, for the card.
        shard_size: bound on a weight file, such as "5GB".
        force: replace an earlier export in `output`, whole or not, but no other folder.
        model: where the model is now; None takes it from where it was.
        options: how to load it.
        store: the store or its folder.
        reporter: receives notes.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: an unknown engine or persona, another model, a family without a switch for biases, or a folder that
            is not free.
        MissingError: there are no such directions, or the model is gone.
        PasctlError: the checkpoint is not the steered model; or the disk is full or read-only.
    """
    from pasctl.export.card import UNKNOWN_LICENSE, Export, versions
    from pasctl.export.engines import ENGINES
    from pasctl.export.place import Place

    for_engine: Engine = ENGINES.build(engine)
    alpha = float(alpha)  # 2 and 2.0 are one key
    if not math.isfinite(alpha) or alpha == 0:
        raise InputError(f"alpha is {alpha:g}, expected a finite number other than 0, which steers nothing")
    if not re.fullmatch(r"[1-9]\d*[KMG]B", shard_size):
        raise InputError(f"shard size {shard_size!r} is no size", hint="such as 5GB or 500MB")
    opened, reporter = open_store(store), reporter or Silent()
    source = opened.resolve(directions, "directions") if isinstance(directions, str) else directions
    given = ModelHandle.of(model, options) if model is not None else None
    handle = Run(opened).model_of(source, given, options)
    target = SteeringTarget(directions=source, alpha=alpha, positions="all")
    chosen = PersonaCatalog(Run(opened), handle, target).find(persona)
    for_engine.require(handle.source, granularity_of(source))
    numerics = {name: value for name, value in handle.numerics(0).items() if name != "seed"}  # nothing is drawn
    who = chosen.params["persona"]
    job = Job(
        stage=STAGE,
        model=source.model,
        label=_label(source.label, who),
        params={"persona": who, "alpha": alpha, "engine": engine},
        inputs={"directions": source},
        identity=handle.identity,
        numerics=numerics,
        compute=lambda work: {},
        provenance={"model": handle.provenance()},
        estimate=partial(_estimate, chosen, handle),
    )
    planned = run_job(opened, job if dry_run else replace(job, estimate=dict), dry_run=True)
    place = Place(output, force=force)
    earlier = None if force else place.holds(planned.key)
    if earlier is not None and planned.artifact is not None:
        return ExportOutcome(planned, place.folder, False, earlier)
    place.require()
    if dry_run:
        return ExportOutcome(planned, place.folder, False, None)
    for left in place.leftovers():
        reporter.note(f"{left} is left of an export that was killed or still runs")
    export = Export(
        key=planned.key,
        engine=engine,
        persona=who,
        alpha=alpha,
        base=_base(handle),
        model=handle.identity,
        revision=handle.source.sha,
        numerics=numerics,
        lineage=_lineage(opened, source),
        versions=versions(),
        license=license or UNKNOWN_LICENSE,
        layers=_layers(chosen),
    )
    with place.partial() as folder:
        making = Making(handle, chosen, for_engine, export, place, folder, shard_size)
        proofs: list[Proof] = []
        job = replace(job, compute=lambda work: _compute(work, making, proofs))
        outcome = run_job(opened, job, reporter=reporter)
        if not proofs:  # the store has the artifact, and the folder is gone
            proofs.append(make(making, reporter))
        place.publish(folder)
    return ExportOutcome(outcome, place.folder, True, proofs[0])


def check_export(
    folder: Path | str,
    *,
    engine: str = "transformers",
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
) -> Proof:
    """Repeat the proof of an export: its files are those that were written, and it is the steered model.

    Args:
        folder: the export.
        engine: what runs it, a name in `pasctl.export.engines.ENGINES`; what computes in the end is in the proof.
        model: where the base model is now; None takes it from where it was.
        options: how to load both; the dtype is that of the export unless another is given.
        store: where the directions are: the store or its folder.
        reporter: receives notes.

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

    runner: Engine = ENGINES.build(engine)
    folder, opened, reporter = Path(folder), open_store(store), reporter or Silent()
    record = read_record(folder)
    if record is None:
        raise InputError(f"{folder} is no export of pasctl", hint="give a folder that `pasctl export` has written")
    require_files(folder, record["files"])
    made: Engine = ENGINES.build(record.get("engine", "transformers"))
    runner.require_readable(folder, made)
    runner.require_here()
    if (remark := runner.remark()) is not None:
        reporter.note(remark)
    source = opened.lookup(record["lineage"][0]["key"])
    if source is None:
        raise MissingError(
            f"store {opened.root} does not have {record['lineage'][0]['name']}, which {folder} was made from",
            hint="give the store that has it with --store",
        )
    options = options or ModelOptions()
    if options.dtype == "auto":
        options = replace(options, dtype=record["numerics"]["dtype"])
    given = ModelHandle.of(model, options) if model is not None else None
    handle = Run(opened).model_of(source, given, options)
    target = SteeringTarget(directions=source, alpha=record["alpha"], positions="all")
    chosen = PersonaCatalog(Run(opened), handle, target).find(record["persona"])
    loaded = load_apart(handle, reporter)
    reference = make_reference(loaded, chosen.intervention(loaded.geometry))
    del loaded
    gc.collect()
    found = runner.run(folder, reference, reading(handle), made)
    return Proof.of(reference, found, engine=runner.runs_in, dtype=runner.rounds_as(folder, handle.dtype))


def _compute(work: Work, making: Making, proofs: list[Proof]) -> Payload:
    from pasctl.export.files import digests

    proof = make(making, work.reporter)
    proofs.append(proof)
    work.provenance["counts"] = {"tokens_compared": proof.tokens}
    return {_PROOF: {"proof": proof.to_json(), "files": digests(making.folder)}}


def _label(directions: str, persona: str) -> str:
    """The artifact's label: that of the directions, and who of them."""
    who = re.sub(r"[^a-z0-9._+-]+", "-", persona.lower()).lstrip("-._+")
    return directions if who in ("", directions) else f"{directions}-{who}"[:100].rstrip(".")


def _base(handle: ModelHandle) -> str:
    """What the base model is called, without a machine's folders."""
    return handle.source.repo or (handle.source.path.resolve().name if handle.source.path else handle.source.slug)


def _lineage(store: Store, directions: Artifact) -> tuple[Source, ...]:
    """The directions, and what they were made from, back to the beginning; each once."""
    from pasctl.export.card import Source

    found: dict[str, Source] = {}
    waiting = [("directions", store.lineage(directions))]
    while waiting:
        role, node = waiting.pop(0)
        found.setdefault(node.key, Source(role, node.name, node.key))
        waiting += [(each.role, each) for each in node.inputs]
    return tuple(found.values())


def _layers(chosen: ResolvedTarget) -> int:
    """How many layers get a displacement."""
    return len(chosen.layers)


def _estimate(chosen: ResolvedTarget, handle: ModelHandle) -> dict[str, int]:
    """How many layers get a displacement, and the tokens of the proof at most; no weights are loaded."""
    from pasctl.export.proof import CONTINUATION
    from pasctl.export.reading import encode

    chat = handle.chat()
    prompts, text = encode(chat, chat.tokenizer)
    return {"layers": _layers(chosen), "tokens_compared_at_most": CONTINUATION * len(prompts) + len(text) - 1}
