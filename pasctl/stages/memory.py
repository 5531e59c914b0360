"""The memory-run stage: a text is read once into an episodic memory, which any later process can ask."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.commands.memory_run import MemoryRun
from pasctl.errors import InputError, MissingError
from pasctl.memory.params import MemoryParams, Representatives
from pasctl.models.options import ModelOptions
from pasctl.stages.job import Job, Outcome, Payload, Stage, StageContext
from pasctl.stages.memory_checks import check_questions, plain_attention, settle_params
from pasctl.stages.memory_extension import own_result, same_params
from pasctl.stages.memory_folder import plan_folder
from pasctl.stages.memory_reading import Reading
from pasctl.stages.memory_size import estimate, require_memory_room, what_fits
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store, open_store
from pasctl.stages.segment_files import SEGMENTS, segment_files
from pasctl.stages.stored_bounds import stored_texts
from pasctl.stages.stored_runs import has_runs, run_bounds, stored_runs
from pasctl.stages.target import resolve
from pasctl.stages.text import Text, label_of

if TYPE_CHECKING:
    from pasctl.commands.shared import ModelLike
    from pasctl.memory.text_bounds import TextBounds
    from pasctl.stages.stored_memory import EpisodicMemory


def plan(declared: MemoryRun, run: Run) -> Job | Outcome:
    """Read texts, one after the other, into a memory, or into a child of one that stays as it is.

    Returns:
        The job; or, of a dry run, the outcome of the choice of alpha that must be made first; or the memory to extend
        itself, if these texts were the last that it was extended with.

    Raises:
        InputError: there is no text or no model, or what is asked for contradicts the memory to extend.
        MissingError: there is no such memory, model or directions.
    """
    if folder := _folder(declared):
        return plan_folder(declared, folder, run)
    texts = tuple(Text.load(text) if isinstance(text, str) else text for text in declared.texts)
    if not texts:
        raise InputError("there is no text to read, expected at least one")
    parent = None
    if declared.extend is not None:
        parent = find_memory(run.store, declared.extend)
        handle = model_of(parent, declared.model, declared.options, run)
        params = same_params(parent, params_of(parent), declared.params, declared.steering)
    elif declared.model is None:
        raise InputError("there is no model, expected one or a memory to extend", hint="give it with --model")
    else:
        handle = run.model(declared.model, plain_attention(declared.options))
        params = settle_params(declared.params, handle, declared.seed)
    if declared.ask:
        check_questions(handle, declared.ask, declared.how)
    if parent is not None and (made := own_result(parent, texts, run)):
        return made
    persona = None
    if declared.steering.given:
        target = resolve(replace(declared.steering, positions="all"), run, handle)  # memories are steered everywhere
        if isinstance(target, Outcome):
            return target
        persona = target
    reading = Reading(handle, texts, params, parent, persona)
    return Job(
        stage=Stage.of(MemoryRun),
        model=handle.slug,
        label=declared.label or (parent.label if parent else label_of(texts[0])),
        params=declared.key(
            memory=params.recorded(),
            texts=[text.digest for text in texts],
            steering=persona.params if persona else None,
        ),
        inputs={
            **({"memory": parent} if parent else {}),
            **({"directions": persona.directions} if persona else {}),
        },
        identity=handle.identity,
        numerics=handle.numerics(params.seed) | {"attn": "memory"},
        compute=partial(_compute, reading=reading),
        provenance={"model": handle.provenance(), "texts": [text.name for text in texts]},
        estimate=partial(estimate, reading),
        writes=lambda: int(estimate(reading)["bytes"]),
        fits=partial(what_fits, reading),
    )


memory_run = function_of(MemoryRun)


def _folder(declared: MemoryRun) -> Path | None:
    """The folder to read, if it is one.

    Raises:
        InputError: there are several, or a pattern without a folder.
    """
    folders = [Path(text) for text in declared.texts if isinstance(text, str) and Path(text).is_dir()]
    if folders and len(declared.texts) > 1:
        raise InputError(f"{folders[0]} is a folder and not the only text, expected one folder, or files")
    if not folders and declared.glob is not None:
        raise InputError("--glob has no folder to look in", hint="give a folder in place of the files")
    return folders[0] if folders else None


def open_memory(
    memory: str | Artifact | None = None,
    model: ModelLike | None = None,
    *,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    representatives: Representatives = "device",
    reporter: Reporter | None = None,
) -> EpisodicMemory:
    """A memory that was made earlier, ready to be asked; its text is not read again.

    Args:
        memory: which; None takes the latest.
        model: where the model is now; None takes it from where it was.
        options: how to load it; the dtype is the one that the text was read in.
        store: the store or its folder.
        representatives: where they are kept (see `MemoryParams`).
        reporter: receives notes.

    Raises:
        MissingError: there is no such memory, or the model is gone.
        InputError: it was made with another model.
        IntegrityError: a segment is damaged.
    """
    from pasctl.stages.stored_memory import EpisodicMemory, read_steering, states_path

    artifact = find_memory(open_store(store), memory)
    handle = model_of(artifact, model, options)
    params = replace(params_of(artifact), representatives=representatives)
    opened = EpisodicMemory(handle.load(reporter), params=params, intervention=read_steering(artifact))
    if has_runs(artifact):
        opened.join(stored_runs(artifact))
        opened.bounds = partial(run_bounds, artifact)
        return opened
    opened.restore(segment_files(artifact), states_path(artifact))
    opened.bounds = partial(_stored_bounds, artifact, opened)
    return opened


def _stored_bounds(memory: Artifact, opened: EpisodicMemory) -> list[TextBounds]:
    return _bounds_before(memory, opened, len(opened.reader.ids))


def find_memory(store: Store, memory: str | Artifact | None) -> Artifact:
    """The memory that a reference means; None is the latest.

    Raises:
        MissingError: there is none.
    """
    if isinstance(memory, Artifact):
        return memory
    if memory is not None:
        return store.resolve(memory, "memory")
    latest = next(iter(store.candidates("memory")), None)
    if latest is None:
        raise MissingError(f"store {store.root} holds no memory", hint="run `pasctl memory-run TEXT` first")
    return latest


def model_of(
    memory: Artifact,
    model: ModelLike | None = None,
    options: ModelOptions | None = None,
    run: Run | None = None,
) -> ModelHandle:
    """The model of a memory, where the caller says or, in the revision that it had, where it was; nothing is loaded.

    Raises:
        InputError: it is another model, or wanted or loaded in another dtype.
        MissingError: it is gone.
    """
    dtype = memory.document["numerics"]["dtype"]
    handle = (run or Run()).model_of(memory, model, plain_attention(options or ModelOptions()))
    if handle.dtype != dtype:
        raise InputError(f"{memory.name} was read in {dtype}, it cannot be used in {handle.dtype}")
    weights = memory.document["numerics"].get("quantize")
    if handle.quantization != weights:
        raise InputError(
            f"{memory.name} was read with {weights or 'plain'} weights, it cannot be used with "
            f"{handle.quantization or 'plain'} ones",
            hint=f"--quantize {weights or 'none'}",
        )
    return handle


def params_of(memory: Artifact) -> MemoryParams:
    """How a memory's events are cut and recalled."""
    return MemoryParams(**memory.params["memory"])


def _compute(work: StageContext, *, reading: Reading) -> Payload:
    from pasctl.memory.text_bounds import FACTS, TEXT_BOUNDS, file_facts, to_table
    from pasctl.stages import stored_memory
    from pasctl.stages.stored_memory import STATES, EpisodicMemory, begun, end_arrays, segment_writer

    require_memory_room(reading)
    parent, before = reading.parent, 0
    if parent is not None:
        before = int(parent.read_json("memory.json")["tokens"])
        for name in parent.files(SEGMENTS):
            if not work.has(name):
                work.adopt(name, parent)
    steered = reading.intervention()
    if steered is not None:
        stored_memory.write_steering(work, steered)
    memory = EpisodicMemory(
        reading.handle.load(work.reporter), params=reading.params, intervention=steered, writer=segment_writer(work)
    )
    memory.restore(*begun(work, parent))
    (ids, bounds), events = reading.encode(before), memory.reader.past.events
    resumed = len(memory.reader.ids) - before
    if resumed:
        work.reporter.note(f"resuming after token {resumed:,} of {len(ids):,}")
    with work.reporter.progress("read", len(ids), "tokens") as advance:
        advance(resumed)
        memory.read_ids(ids[resumed:], on_pass=lambda steps: advance(steps, f"{len(events.starts):,} events"))
    memory.finish()
    work.provenance["counts"] = {
        "tokens_run": len(ids) - resumed,
        "tokens_resumed": resumed,
        "recalled_keys": memory.reader.tokens_attended,
        "vectors_compared": events.compared,
        "tokens_of_proof": memory.proof.tokens,
    }
    known = [] if parent is None else _bounds_before(parent, memory, before)
    work.provenance[FACTS] = file_facts([*known, bounds])
    return {
        "memory.json": memory.describe(),
        STATES: end_arrays(memory.reader),
        TEXT_BOUNDS: to_table([*known, bounds]),
    }


def _bounds_before(parent: Artifact, memory: EpisodicMemory, tokens: int) -> list[TextBounds]:
    """Bounds of the texts of a parent, which has so many tokens."""
    reader = memory.reader
    starts = [start for start in reader.past.events.starts if start < tokens]
    opening = len(memory.prompt.opening)
    return stored_texts(parent, memory.model.tokenizer, reader.ids[:tokens], starts, opening).bounds
