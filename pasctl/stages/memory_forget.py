"""A memory without a file, an event, a turn or some words; in this version, or in the whole store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from pasctl.commands.memory_forget import Forgotten, MemoryForget
from pasctl.errors import BusyError, InputError, MissingError, PasctlError
from pasctl.memory.event_text import EventTexts
from pasctl.memory.forget_spans import kept_spans
from pasctl.memory.text_bounds import FACTS, TEXT_BOUNDS, file_facts, to_table
from pasctl.stages.forget_selection import TURNS, Choose, Chosen, View, chooser, pattern
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.memory import find_memory, model_of, open_memory, params_of
from pasctl.stages.memory_folder import folder_job, listed
from pasctl.stages.memory_reading import Reading
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, remove_for_good, run_job
from pasctl.stages.stored_runs import distinct, has_runs, opening_of, run_files
from pasctl.stages.text import KnownText, Text

_STAGE = Stage("memory-forget", "memory", 1)
_KEPT = ("steering", "system")  # parameters that a memory keeps


@dataclass(frozen=True, eq=False)
class _Cut:
    """A memory, and what it is to forget."""

    view: View
    chosen: Chosen

    @property
    def tokens(self) -> int:
        """How many tokens go."""
        return sum(stop - start for start, stop in self.chosen.spans)


def plan(declared: MemoryForget, run: Run) -> dict[str, Any]:
    """Forget a part of a memory.

    Returns:
        `memory`, the name of the one asked for, `tokens`, how many of it go, `replaced`: old name -> new name, or None
        in a dry run, of each memory that held it, and `removed`: names of the artifacts that are gone from the store.

    Raises:
        InputError: nothing of the kind is in the memory, nothing would be left, or a memory cannot be cut.
        MissingError: there is no such memory, or a model is gone.
        IntegrityError: a file is damaged.
        BusyError: another process uses what is to be removed.
    """
    declared.forgotten.require()
    memory = find_memory(run.store, declared.ref)
    _require_ended(run, memory)
    view = View(memory, model_of(memory, declared.model, declared.options, run), run.reporter)
    choose = chooser(declared.forgotten, view)
    cuts = list(_cuts(view, choose, run, everywhere=declared.everywhere))
    if not cuts:
        raise InputError(
            f"{memory.name} has nothing like that to forget",
            hint="`pasctl memory-show REF --find TEXT` shows what it has",
        )
    jobs = [_job(cut, run, reread=declared.reread) for cut in cuts]
    tokens = next((cut.tokens for cut in cuts if cut.view is view), 0)
    done: dict[str, Any] = {"memory": memory.name, "tokens": tokens, "replaced": {}, "removed": []}
    olds = [cut.view.memory for cut in cuts]
    if run.dry_run:
        done["replaced"] = {old.name: None for old in olds}
        if declared.everywhere:
            made = [each.name for old in olds for each in run.store.consumers(old.key)]
            made += [each.name for each in _quoting(run, declared.forgotten)]
            done["removed"] = list(dict.fromkeys([*(old.name for old in olds), *made]))
        return done
    for old, job in zip(olds, jobs, strict=True):
        new = run_job(run.store, job, reporter=run.reporter, wait=run.wait).artifact
        if new is None:
            raise RuntimeError("a job without dry run gives an artifact")
        done["replaced"][old.name] = new.name
        if declared.everywhere:
            _move_tags(run, old, new)
    if declared.everywhere:  # only now that all is kept that stays
        gone = [*olds, *_quoting(run, declared.forgotten)]
        done["removed"] = [each.name for each in remove_for_good(run.store, gone)]
    return done


memory_forget = function_of(MemoryForget)


def _cuts(view: View, choose: Choose, run: Run, *, everywhere: bool) -> Iterator[_Cut]:
    """The memories that are to be cut, the oldest first and the one asked for last."""
    others = [each for each in run.store.candidates("memory") if each.key != view.memory.key] if everywhere else []
    for other in sorted(others, key=lambda each: each.created_at):
        if other.document["model"] != view.memory.document["model"]:
            run.reporter.note(f"{other.name} is of another model and was not looked into")
            continue
        cut = _cut(View(other, view.handle, run.reporter), choose)
        if cut is not None:
            yield cut
    own = _cut(view, choose)
    if own is not None:
        yield own


def _cut(view: View, choose: Choose) -> _Cut | None:
    chosen = choose(view)
    return _Cut(view, chosen) if chosen.spans else None


def _job(cut: _Cut, run: Run, *, reread: bool) -> Job:
    return _folder_job(cut, run) if has_runs(cut.view.memory) else _text_job(cut, reread=reread)


def _text_job(cut: _Cut, *, reread: bool) -> Job:
    """A memory of one text without some of its tokens."""
    from pasctl.memory.forget import params_without

    memory, handle = cut.view.memory, cut.view.handle
    opening, tokens = cut.view.opening, len(cut.view.text.ids)
    if sum(b - a for a, b in kept_spans(cut.chosen.spans, opening, tokens)) == 0:
        raise _nothing_left(memory)
    params = params_of(memory) if reread else params_without(params_of(memory), cut.chosen.spans)
    kept = {name: memory.params[name] for name in _KEPT if name in memory.params}
    if "system" in kept:
        kept["system"] = cut.chosen.system
    return Job(
        stage=_STAGE,
        model=memory.model,
        label=memory.label,
        params={
            **kept,
            "memory": params.recorded(),
            "from": memory.content_digest,
            "spans": [list(span) for span in cut.chosen.spans],
            "reread": reread,
        },
        inputs={},  # it stays when what it was made of goes
        identity=memory.document["model"],
        numerics=memory.document["numerics"],
        compute=partial(_compute, cut=cut, reread=reread),
        provenance={"model": handle.provenance(), "texts": memory.provenance.get("texts") or []},
        writes=lambda: memory.size,
        keeps_label=True,
    )


def _compute(work: StageContext, *, cut: _Cut, reread: bool) -> Payload:
    from pasctl.memory.forget import bounds_without, params_without, write_without
    from pasctl.stages.stored_memory import STATES, EpisodicMemory, end_arrays, segment_writer, write_steering

    spans, params = cut.chosen.spans, params_of(cut.view.memory)
    old = open_memory(cut.view.memory, cut.view.handle, reporter=work.reporter)
    known = old.bounds() if callable(old.bounds) else old.bounds
    if old.intervention is not None:
        write_steering(work, old.intervention)
    write = segment_writer(work)
    if reread:
        new = EpisodicMemory(old.model, params=params, intervention=old.intervention, writer=write)
        ids = [token for a, b in kept_spans(spans, 0, len(old.reader.ids)) for token in old.reader.ids[a:b]]
        with work.reporter.progress("read", len(ids), "tokens") as advance:
            new.read_ids(ids, on_pass=advance)
        new.finish()
        work.provenance["counts"] = {"tokens_run": len(ids)}
    else:
        new = EpisodicMemory(old.model, params=params_without(params, spans), intervention=old.intervention)
        write_without(old.reader, new.reader, spans, write)
        work.provenance["counts"] = {"tokens_run": 0}
    bounds = bounds_without(known, spans)
    work.provenance[FACTS] = file_facts(bounds)
    turns = {} if cut.chosen.turns is None else {TURNS: cut.chosen.turns}
    return {
        "memory.json": new.describe(),
        STATES: end_arrays(new.reader),
        TEXT_BOUNDS: to_table(bounds),
        **turns,
    }


def _folder_job(cut: _Cut, run: Run) -> Job:
    """A folder's memory without some of its files, or with files that are read anew without some words."""
    memory, handle = cut.view.memory, cut.view.handle
    left = {file.digest: text for file, text in _left(cut)}
    files = [file for file in run_files(memory) if left[file.digest] is not None]
    times = {fact["name"]: fact["modified"] for fact in memory.provenance.get(FACTS) or ()}
    texts: list[Text] = []
    for file in files:
        content, modified = left[file.digest], times.get(file.name)
        whole = content is None or content == ""
        known = KnownText(file.name, "", modified, file.digest)
        texts.append(known if whole else Text(file.name, str(content), modified))
    if not texts:
        raise _nothing_left(memory)
    inputs = {role: _input(run, memory, source.key) for role, source in memory.inputs.items()}
    reading = Reading(handle, tuple(texts), params_of(memory), memory, None)
    return folder_job(
        run,
        reading,
        memory.label,
        {**memory.params, "files": listed(texts)},
        inputs=inputs,
        numerics=memory.document["numerics"],
        provenance={name: memory.provenance.get(name) for name in ("texts", "glob")},
        keeps_label=True,
    )


def _left(cut: _Cut) -> Iterator[tuple[Any, str | None]]:
    """Each distinct file of a folder's memory, and its words if it lost some: None for none, "" if it lost none."""
    memory, text, place = cut.view.memory, cut.view.text, len(opening_of(cut.view.memory))
    events = EventTexts(cut.view.handle.chat().tokenizer, text.ids, text.starts)
    for file in distinct(run_files(memory)):
        span = (place, place + file.tokens)
        kept = kept_spans(cut.chosen.spans, *span)
        words = "".join(events.between(*part, before=part[0]) for part in kept)
        yield file, "" if kept == [span] else words if words.strip() else None
        place += file.tokens


def _input(run: Run, memory: Artifact, key: str) -> Artifact:
    artifact = run.store.lookup(key)
    if artifact is None:
        raise MissingError(f"the directions that {memory.name} was read with are no longer in the store")
    return artifact


def _require_ended(run: Run, memory: Artifact) -> None:
    """Refuse a conversation of which a session has left turns that no memory holds."""
    left = run.store.root / "chats" / memory.model / f"{memory.label}.json"
    if left.exists():
        raise BusyError(
            f"a session of {memory.name} goes on, or was killed: {left} has turns of it",
            hint="open the conversation and end it, then forget",
        )


def _quoting(run: Run, forgotten: Forgotten) -> list[Artifact]:
    """Answers, of whatever memory, that have the words to forget in them or in their questions."""
    if forgotten.match is None:
        return []
    words = pattern(forgotten.match)
    answers = run.store.candidates("answers")
    return [each for each in answers if any(_quotes(row, words) for row in each.read_json("answers.json"))]


def _quotes(row: dict[str, Any], words: re.Pattern[str]) -> bool:
    return any(words.search(row[name]) is not None for name in ("question", "answer"))


def _move_tags(run: Run, old: Artifact, new: Artifact) -> None:
    for tag, key in run.store.tags().items():
        if key == old.key:
            run.store.tag(new, tag, force=True)


def _nothing_left(memory: Artifact) -> PasctlError:
    return InputError(
        f"nothing of {memory.name} would be left", hint=f"`pasctl store rm {memory.name} --cascade` removes it whole"
    )
