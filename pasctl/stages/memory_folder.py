"""The memory-run stage for a folder: each file is a run of its own, and those that are stored are not read again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.memory_run import MemoryRun
from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams
from pasctl.memory.stored_text import SCALES
from pasctl.memory.text_bounds import FACTS
from pasctl.stages.folder import EVERY_FILE, read_folder
from pasctl.stages.job import Job, Outcome, Payload, Stage, StageContext
from pasctl.stages.memory_checks import check_questions, plain_attention, settle_params
from pasctl.stages.memory_reading import Reading
from pasctl.stages.memory_size import estimate, what_fits
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, part_key
from pasctl.stages.stored_runs import COMMON, RUNS, RunFile, distinct, has_runs, load_run, run_files
from pasctl.stages.target import resolve
from pasctl.stages.text import Text, label_of

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.stages.stored_memory import EpisodicMemory


@dataclass(frozen=True, eq=False)
class _Folder:
    """Everything that a run over a folder needs.

    Attributes:
        reading: the model, the texts in order, and how they are read.
        keys: digest of a text -> key of its run among all artifacts' parts.
        before: name -> digest of the version before; None if this is the first.
    """

    reading: Reading
    keys: Mapping[str, str]
    before: Mapping[str, str] | None


def plan_folder(declared: MemoryRun, folder: Path, run: Run) -> Job | Outcome:
    """Read the files of a folder into a memory; those of an earlier version that have not changed are taken over.

    Raises:
        InputError: no file matches, one is no text, there is no model, or what is asked for cannot be done with files.
        MissingError: a file cannot be read; there is no such model or directions.
    """
    if declared.model is None or declared.extend is not None:
        raise InputError(
            f"{folder} is a folder: a memory of it cannot be extended"
            if declared.extend is not None
            else "there is no model, expected one to read the folder with",
            hint="give --model; the same command again reads only what has changed since",
        )
    texts = tuple(read_folder(folder, declared.glob, run.reporter))
    handle = run.model(declared.model, plain_attention(declared.options))
    params = _params(declared, handle)
    if declared.ask:
        check_questions(handle, declared.ask, declared.how)
    persona = None
    if declared.steering.given:
        target = resolve(replace(declared.steering, positions="all"), run, handle)
        if isinstance(target, Outcome):
            return target
        persona = target
    reading = Reading(handle, texts, params, None, persona)
    label = declared.label or label_of(Text(folder.resolve().name, ""))
    numerics = handle.numerics(params.seed) | {"attn": "memory"}
    steering = persona.params if persona else None
    return folder_job(
        run,
        reading,
        label,
        declared.key(omit=("texts",), memory=params.recorded(), files=listed(texts), steering=steering),
        inputs={"directions": persona.directions} if persona else {},
        numerics=numerics,
        provenance={"texts": [str(folder)], "glob": declared.glob or EVERY_FILE},
    )


def listed(texts: Sequence[Text]) -> list[list[str]]:
    """Names and digests of the files, as the key of a folder's memory has them."""
    return [[text.name, text.digest] for text in texts]


def folder_job(
    run: Run,
    reading: Reading,
    label: str,
    params: dict[str, Any],
    *,
    inputs: dict[str, Artifact],
    numerics: dict[str, Any],
    provenance: dict[str, Any],
    keeps_label: bool = False,
) -> Job:
    """What makes a memory of files: runs that some memory in the store has are taken over, the others are read.

    Args:
        run: the run.
        reading: the model, the texts in order, and how they are read.
        label: last part of the name.
        params: of the key.
        inputs: directions, if the model is steered.
        numerics: of the key.
        provenance: facts beside the key.
        keeps_label: whether the label is to stay as it is.
    """
    handle = reading.handle
    same = {
        "memory": params["memory"],
        "steering": [params["steering"], *(artifact.content_digest for artifact in inputs.values())],
        "model": handle.identity,
        "numerics": numerics,
        "stage": [MemoryRun.command, MemoryRun.version],
    }
    keys = {text.digest: part_key({**same, "text": text.digest}) for text in reading.texts}
    folder = _Folder(reading, keys, _before(run, handle.slug, label))
    return Job(
        stage=Stage.of(MemoryRun),
        model=handle.slug,
        label=label,
        params=params,
        inputs=inputs,
        identity=handle.identity,
        numerics=numerics,
        compute=partial(_compute, folder=folder),
        provenance={"model": handle.provenance(), **provenance},
        parts=lambda: tuple(keys.values()),
        estimate=partial(_estimate, folder, run),
        writes=lambda: int(_estimate(folder, run)["bytes"]),
        fits=lambda room: what_fits(_to_read(folder, run), room),
        keeps_label=keeps_label,
    )


def _params(declared: MemoryRun, handle: ModelHandle) -> MemoryParams:
    """Parameters of a memory of runs, whose initial tokens are those that the chat template writes."""
    from pasctl.memory.prompt import Prompt

    given, opening = declared.params, len(Prompt(handle.chat()).opening)
    if isinstance(given, Mapping) and given.get("n_init") not in (None, opening):
        raise InputError(
            "n_init cannot be set for a folder: the initial tokens are what the chat template writes before a text",
            hint="leave --n-init out",
        )
    params = replace(settle_params(given, handle, declared.seed), n_init=opening)
    if params.positions == "true":
        raise InputError("positions true cannot be had for a folder, whose files have no places in one text")
    return params


def _before(run: Run, model: str, label: str) -> dict[str, str] | None:
    """The files of the latest version of a folder's memory."""
    for memory in run.store.candidates("memory"):
        if memory.model == model and label in (memory.label, memory.plain_label) and has_runs(memory):
            return {file.name: file.digest for file in run_files(memory)}
    return None


def _missing(folder: _Folder, held: Mapping[str, Artifact]) -> list[Text]:
    """Texts whose runs are in no artifact, one per digest."""
    texts = {text.digest: text for text in reversed(folder.reading.texts)}
    return [text for digest, text in reversed(texts.items()) if folder.keys[digest] not in held]


def _estimate(folder: _Folder, run: Run) -> dict[str, Any]:
    """Like that of a text, for the files that are to be read."""
    left = _to_read(folder, run)
    counts = {"files": len(folder.reading.texts), "files_to_read": len(left.texts)}
    if not left.texts:
        return {**counts, "tokens": 0, "events": 0, "bytes": 0, "resident_bytes": 0}
    return {**counts, **estimate(left)}


def _to_read(folder: _Folder, run: Run) -> Reading:
    """The files that no memory in the store has."""
    held = run.store.find_parts(list(folder.keys.values()))
    return replace(folder.reading, texts=tuple(_missing(folder, held)))


def _compute(work: StageContext, *, folder: _Folder) -> Payload:
    from pasctl.memory.runs import join_runs
    from pasctl.stages import stored_memory

    reading = folder.reading
    steered = reading.intervention()
    if steered is not None:
        stored_memory.write_steering(work, steered)
    memory = stored_memory.EpisodicMemory(
        reading.handle.load(work.reporter), params=reading.params, intervention=steered
    )
    held = work.find_parts(list(folder.keys.values()))
    missing = _missing(folder, held)
    adopted = {
        text.digest: _adopted(work, text.digest, held[folder.keys[text.digest]])
        for text in reading.texts
        if folder.keys[text.digest] in held
    }
    counts: dict[str, tuple[int, ...]] = {}
    tokens = 0
    with work.reporter.progress("read", len(missing), "files") as advance:
        for text in missing:
            counts[text.digest], read = _read(work, memory, text)
            tokens += read
            advance(1, text.name)
    counts |= adopted
    files = [RunFile(t.name, t.digest, sum(counts[t.digest]), counts[t.digest]) for t in reading.texts]
    opening = memory.prompt.opening
    with memory.steered():
        runs = [load_run(file, work.read_tensors(file.facts)) for file in distinct(files)]
        join_runs(memory.reader, opening, runs, attach=False)
    work.provenance[FACTS] = [{"name": text.name, "modified": text.modified} for text in reading.texts]
    work.provenance["counts"] = {
        "files": len(files),
        "files_read": len(missing),
        "tokens_run": tokens,
        "tokens_of_proof": memory.proof.tokens,
    }
    work.reporter.note(_changes(reading.texts, folder.before, tokens))
    listed = [{**asdict(file), "segments": list(file.segments)} for file in files]
    return {"memory.json": memory.describe(), RUNS: {"opening": opening, "files": listed}}


def _adopted(work: StageContext, digest: str, source: Artifact) -> tuple[int, ...]:
    """Take a run over from another memory; gives the tokens of its segments."""
    file = next(file for file in run_files(source) if file.digest == digest)
    for name in (*(file.segment(n) for n in range(len(file.segments))), file.facts):
        if not work.has(name):
            work.adopt(name, source)
    return file.segments


def _read(work: StageContext, memory: EpisodicMemory, text: Text) -> tuple[tuple[int, ...], int]:
    """Read a text into a run, unless an interrupted run has; gives the tokens of its segments, and those read now."""
    import torch

    from pasctl.memory.reader import Reader
    from pasctl.memory.runs import read_run
    from pasctl.memory.text_bounds import TextBounds
    from pasctl.stages.arrays import to_store

    file = RunFile(text.name, text.digest, 0, ())
    if work.has(file.facts):
        kept = tuple(work.read_tensors(file.facts)["segments"].tolist())
        if all(work.has(file.segment(number)) for number in range(len(kept))):
            return kept, 0

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        work.write(file.segment(number), {name: to_store(tensor) for name, tensor in tensors.items()})
        return work.path(file.segment(number))

    ids, starts = memory.prompt.encode_with_starts(text.content)
    with memory.steered():
        run = read_run(Reader(memory.model, memory.params), memory.prompt.opening, ids, write)
    bounds, segments = TextBounds.of(text.content, starts, 0), tuple(tokens for _, tokens in run.segments)
    lists: dict[str, Any] = {
        "ids": run.ids,
        "starts": run.starts,
        "characters": bounds.starts,
        "newlines": bounds.newlines,
        "segments": segments,
    }
    vectors = run.representatives
    tensors = {"surprise": run.surprise, "representatives": vectors.steps, SCALES: vectors.scale, COMMON: run.common}
    tensors |= {"usual_queries": run.usual.sums, "usual_counts": run.usual.counts}
    tensors |= {name: torch.tensor(list(values), dtype=torch.int32) for name, values in lists.items()}
    work.write(file.facts, {name: to_store(tensor) for name, tensor in tensors.items()})
    return segments, len(ids)


def _changes(texts: Sequence[Text], before: Mapping[str, str] | None, tokens: int) -> str:
    """What has happened to the files since the version before."""
    if before is None:
        return f"{len(texts):,} files: {tokens:,} tokens read"
    new = sum(before.get(text.name) != text.digest for text in texts)
    gone = len(before.keys() - {text.name for text in texts})
    some = f", {gone:,} {'is' if gone == 1 else 'are'} gone" if gone else ""
    return f"{new:,} of {len(texts):,} files {'is' if new == 1 else 'are'} new or changed{some}: {tokens:,} tokens read"
