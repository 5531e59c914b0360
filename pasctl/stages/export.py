"""directions + model -> a checkpoint that others load, proven to be the steered model before it gets its name."""

from __future__ import annotations

import gc
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.export import ExportCheck, ExportCreate
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.models.quantize import require_plain
from pasctl.stages.checkpoint import Making, load_apart, make, reading
from pasctl.stages.export_place import ExportOutcome, Make, export_into_place, require_options
from pasctl.stages.granularity import granularity_of
from pasctl.stages.job import Job, Stage
from pasctl.stages.model import ModelHandle, base_name
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.target import resolve_for_export

if TYPE_CHECKING:
    from pasctl.export.card import Export, Source
    from pasctl.export.engines.engine import Engine
    from pasctl.export.place import Place
    from pasctl.export.proof import Proof
    from pasctl.stages.control_vector import ControlVector

STAGE = Stage("export", "export", 1)
TABLE_ENGINE = "vllm-personas"


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
    if declared.engine == TABLE_ENGINE:
        return _create_table(declared, declared.output, run)
    if declared.link_base:
        raise InputError(
            f"--link-base is for --engine {TABLE_ENGINE}, found --engine {declared.engine}",
            hint="leave it out: a steered checkpoint has weights of its own",
        )
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

    engine: Engine = ENGINES.build(declared.engine)
    require_options(declared)
    source = run.input("directions", declared.directions)
    handle = run.model_of(source, declared.model, declared.options)
    target = resolve_for_export(replace(declared.steering, directions=source), run, handle)
    engine.require(handle.source, granularity_of(source))
    require_plain(handle.source, handle.quantization)
    job = _job(declared, target, handle)

    def begin(key: str, place: Place, folder: Path) -> Make:
        export = _about(declared, handle, job, key, _lineage(run.store, source), place.folder.name, _who(target))
        return partial(make, Making(handle, target, engine, export, place, folder, declared.shard_size))

    made = export_into_place(declared, output, run, job, begin)
    _note_base(made, declared, handle, run)
    return made


def _create_table(declared: ExportCreate, output: Path | str, run: Run) -> ExportOutcome:
    """Write a base model and a table of personas, of which each request in vLLM names its own."""
    from pasctl.export.engines.vllm_personas import VllmPersonas
    from pasctl.stages.persona_export import TableMaking, resolve_personas, summary, table_job

    engine = VllmPersonas()
    require_options(declared)
    source = run.input("directions", declared.directions)
    handle = run.model_of(source, declared.model, declared.options)
    personas = resolve_personas(declared, source, run, handle)
    engine.require(handle.source, granularity_of(source))
    require_plain(handle.source, handle.quantization)
    who = declared.steering.persona or ""
    job = table_job(declared, source, personas, handle, _label(source.label, who))

    def begin(key: str, place: Place, folder: Path) -> Make:
        said = summary(personas)
        export = _about(declared, handle, job, key, _lineage(run.store, source), place.folder.name, said)
        return TableMaking(declared, handle, personas, engine, export, place, folder).make

    made = export_into_place(declared, output, run, job, begin)
    _note_base(made, declared, handle, run)
    return made


def _note_base(made: ExportOutcome, declared: ExportCreate, handle: ModelHandle, run: Run) -> None:
    if made.written and not (declared.base_model or handle.source.repo):
        run.reporter.note("the card names no base model on a hub: --base-model ORG/NAME does")


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


def _who(target: ResolvedTarget) -> dict[str, Any]:
    """What is said of the persona that a checkpoint is steered to."""
    return {
        "persona": target.persona,
        "alpha": float(target.alpha),
        "positions": target.positions,
        "digest": target.known.digest(0),
        "layers": len(target.layers),
    }


def _about(
    declared: ExportCreate,
    handle: ModelHandle,
    job: Job,
    key: str,
    lineage: tuple[Source, ...],
    folder: str,
    who: Mapping[str, Any],
) -> Export:
    """What the record, the card and the files say; `folder` is the name of where they go."""
    from pasctl.export.card import UNKNOWN_LICENSE, Export, versions

    return Export(
        key=key,
        engine=declared.engine,
        base=base_name(handle),
        hub_base=declared.base_model or handle.source.repo,
        folder=folder,
        model=handle.identity,
        revision=handle.source.sha,
        numerics=job.numerics,
        lineage=lineage,
        versions=versions(),
        license=declared.license or UNKNOWN_LICENSE,
        **who,
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
    from pasctl.export.engines.vllm_personas import VllmPersonas
    from pasctl.export.files import read_record, require_files
    from pasctl.export.proof import Proof
    from pasctl.export.reading import make_reference
    from pasctl.stages.persona_export import check_table

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
    if isinstance(made, VllmPersonas):
        return check_table(folder, source, run, handle, runner)
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
