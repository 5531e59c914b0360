"""The memory-run stage: a text is read once into an episodic memory, which any later process can ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.memory.params import MemoryParams
from pasctl.models.identity import ModelSource
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Job, Outcome, Payload, Stage, Store, Work, open_store, run_job
from pasctl.stages.target import ResolvedTarget, resolve
from pasctl.stages.text import Text, join_texts, label_of

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel
    from pasctl.stages.kept_memory import EpisodicMemory
    from pasctl.steering.intervention import Intervention

STAGE = Stage("memory-run", "memory", 3)
_SAMPLE = 65536  # characters that the number of sentences is estimated from


@dataclass(frozen=True, eq=False)
class _Reading:
    """Everything that a run needs.

    Attributes:
        parent: the memory that is read on, if it is one.
        persona: who the model is steered to, if to anybody; a parent's steering goes on by itself.
    """

    handle: ModelHandle
    texts: tuple[Text, ...]
    params: MemoryParams
    parent: Artifact | None
    persona: ResolvedTarget | None

    def ids(self) -> list[int]:
        """Token ids of the texts; behind a parent's text as more of the same turn."""
        from pasctl.memory.prompt import Prompt

        prompt, text = Prompt(self.handle.chat()), join_texts(self.texts)
        return prompt.text(text) if self.parent is None else prompt.encode(f"\n\n{text}")

    def intervention(self) -> Intervention | None:
        """The displacement that is in force while reading."""
        from pasctl.stages.kept_memory import read_steering

        if self.persona is not None:
            return self.persona.intervention(self.handle.geometry())
        return None if self.parent is None else read_steering(self.parent)


def memory_run(
    model: str | ModelSource | LoadedModel | ModelHandle | None,
    texts: Sequence[Text],
    *,
    params: MemoryParams | None = None,
    extend: str | Artifact | None = None,
    steering: SteeringTarget | None = None,
    label: str | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Read texts, one behind the other, into a memory (EM-LLM, arXiv 2407.09450).

    Args:
        model: hub id, local folder, .gguf file, or a model already loaded; None with `extend` takes the memory's.
        texts: what to read.
        params: how events are cut and recalled; None takes the defaults, or those of the memory to extend.
        extend: a memory that these texts go behind; it stays, and the result is a child of it.
        steering: reads, and later answers, as a persona.
        label: the artifact's name; by default the first text's, or that of the memory to extend.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: there is no text or no model, or what is asked for contradicts the memory to extend.
        MissingError: there is no such memory, model or directions.
    """
    if not texts:
        raise InputError("there is no text to read, expected at least one")
    opened = open_store(store)
    parent = None if extend is None else find_memory(opened, extend)
    if parent is not None:
        handle = model_of(parent, model, options)
        params = _same_params(parent, params, steering)
    elif model is None:
        raise InputError("there is no model, expected one or a memory to extend")
    else:
        handle = ModelHandle.of(model, options)
    params = params or MemoryParams()
    persona = None
    if steering is not None:
        # a text is read steered at every position
        target = resolve(replace(steering, positions="all"), Run(opened, reporter=reporter, dry_run=dry_run), handle)
        if isinstance(target, Outcome):
            return target
        persona = target
    reading = _Reading(handle, tuple(texts), params, parent, persona)
    job = Job(
        stage=STAGE,
        model=handle.slug,
        label=label or (parent.label if parent else label_of(texts[0])),
        params={
            "memory": asdict(params),
            "texts": [text.digest for text in texts],
            "steering": persona.params if persona else None,
        },
        inputs={
            **({"memory": parent} if parent else {}),
            **({"directions": persona.directions} if persona else {}),
        },
        identity=handle.identity,
        numerics=handle.numerics(params.seed) | {"attn": "memory"},
        compute=partial(_compute, reading=reading),
        provenance={"model": handle.provenance(), "texts": [text.name for text in texts]},
        estimate=partial(_estimate, reading),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def open_memory(
    memory: str | Artifact | None = None,
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    *,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
) -> EpisodicMemory:
    """A memory that was made earlier, ready to be asked; its text is not read again.

    Args:
        memory: which; None takes the latest.
        model: where the model is now; None takes it from where it was.
        options: how to load it; the dtype is the one that the text was read in.
        store: the store or its folder.
        reporter: receives notes.

    Raises:
        MissingError: there is no such memory, or the model is gone.
        InputError: it was made with another model.
        IntegrityError: a segment is damaged.
    """
    from pasctl.stages.kept_memory import SEGMENTS, EpisodicMemory, read_steering

    found = find_memory(open_store(store), memory)
    handle = model_of(found, model, options)
    segments = [found.open_path(name) for name in found.files(SEGMENTS)]
    opened = EpisodicMemory(handle.load(reporter), params=params_of(found), intervention=read_steering(found))
    opened.restore(segments)
    return opened


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
    model: str | ModelSource | LoadedModel | ModelHandle | None = None,
    options: ModelOptions | None = None,
) -> ModelHandle:
    """The model of a memory, where the caller says or, in the revision that it had, where it was; nothing is loaded.

    Raises:
        InputError: it is another model, or wanted or loaded in another dtype.
        MissingError: it is gone.
    """
    dtype = memory.document["numerics"]["dtype"]
    if isinstance(model, str | None):
        known, options = memory.provenance["model"], options or ModelOptions()
        if options.dtype not in ("auto", dtype):
            raise InputError(f"{memory.name} was read in {dtype}, it cannot be used in {options.dtype}")
        revision = options.revision or (None if model else known["revision"])
        model = ModelHandle(model or known["spec"], replace(options, dtype=dtype, revision=revision))
    handle = ModelHandle.of(model, options)
    handle.require(memory.document["model"], memory.name)
    if handle.dtype != dtype:
        raise InputError(f"{memory.name} was read in {dtype}, the model is loaded in {handle.dtype}")
    return handle


def params_of(memory: Artifact) -> MemoryParams:
    """How a memory's events are cut and recalled."""
    return MemoryParams(**memory.params["memory"])


def _same_params(parent: Artifact, params: MemoryParams | None, steering: SteeringTarget | None) -> MemoryParams:
    """The parameters of the memory to extend.

    Raises:
        InputError: the caller asks for others.
    """
    known = params_of(parent)
    for name, value in asdict(known).items():
        if params is not None and getattr(params, name) != value:
            raise InputError(
                f"{parent.name} was read with {name} {value}, it cannot be extended with {getattr(params, name)}",
                hint="leave the parameter out, or read all texts into a new memory",
            )
    if steering is not None:
        raise InputError(
            f"{parent.name} goes on as it was read, steered or not",
            hint="leave --alpha and --directions out, or read all texts into a new memory",
        )
    return known


def _compute(work: Work, *, reading: _Reading) -> Payload:
    from pasctl.stages.kept_memory import SEGMENTS, EpisodicMemory, segment_name, segment_writer, write_steering

    parent, before = reading.parent, 0
    if parent is not None:
        before = int(parent.read_json("memory.json")["tokens"])
        for name in parent.files(SEGMENTS):
            if not work.has(name):
                work.adopt(name, parent)
    steered = reading.intervention()
    if steered is not None:
        write_steering(work, steered)
    memory = EpisodicMemory(
        reading.handle.load(work.reporter), params=reading.params, intervention=steered, writer=segment_writer(work)
    )
    done: list[Path] = []
    while work.has(segment_name(len(done))):
        done.append(work.path(segment_name(len(done))))
    memory.restore(done)
    ids, events = reading.ids(), memory.reader.past.events
    resumed = len(memory.reader.ids) - before
    if resumed:
        work.reporter.note(f"going on behind token {resumed:,} of {len(ids):,}")
    with work.reporter.progress("read", len(ids), "tokens") as advance:
        advance(resumed)
        memory.read_ids(ids[resumed:], on_pass=lambda steps: advance(steps, f"{len(events.starts):,} events"))
    memory.finish()
    work.provenance["counts"] = {
        "tokens_run": len(ids) - resumed,
        "tokens_resumed": resumed,
        "recalled_keys": memory.reader.tokens_attended,
    }
    return {"memory.json": memory.describe()}


def _estimate(reading: _Reading) -> dict[str, Any]:
    """Tokens, from the tokenizer, events, and bytes on disk and in memory beside the weights; none are loaded.

    Events by surprise are told as if surprises were distributed exponentially.
    """
    handle, params, tokens = reading.handle, reading.params, len(reading.ids())
    geometry = handle.geometry()
    wide = 4 if handle.dtype == "float32" else 2
    vectors = geometry.layers * geometry.kv_heads
    kept = geometry.head_dim + 4 if params.kv_dtype == "int8" else geometry.head_dim * wide
    events = math.ceil(tokens / _event_tokens(reading, tokens))
    window = params.n_init + params.n_local + params.max_block + params.chunk
    return {
        "tokens": tokens,
        "events": events,
        "bytes": 2 * vectors * kept * tokens + events * vectors * geometry.head_dim * wide,
        # windows have twice the room they need and hold keys twice; of mapped files 32 MiB stay
        "resident_bytes": vectors * geometry.head_dim * wide * (2 * 3 * window + events) + (32 << 20),
    }


def _event_tokens(reading: _Reading, tokens: int) -> float:
    """Mean length to expect of an event."""
    params = reading.params
    if params.segmenter in ("fixed", "random"):
        length = 2.0 * params.min_block
    elif params.segmenter == "sentence":
        text = join_texts(reading.texts)[:_SAMPLE]
        share = len(text) / sum(len(each.content) for each in reading.texts)
        length = params.min_block / 2 + tokens * share / max(1, sum(text.count(end) for end in ".!?\n"))
    else:
        length = params.min_block + math.exp(1 + params.gamma) - 1
    return min(max(length, params.min_block), params.max_block)
