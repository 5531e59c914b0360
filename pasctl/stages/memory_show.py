"""What a memory holds, as words: its events, and what was recalled for each question. Reads files, loads no weights."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pasctl.commands.memory_show import MemoryShow, Selection
from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.report.places import Places
from pasctl.report.source_page import render_sources
from pasctl.stages.kept_text import kept_text
from pasctl.stages.memory import find_memory, model_of
from pasctl.stages.memory_ask import asked_memories, read_answers
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.stored_bounds import stored_texts
from pasctl.stages.stored_sources import excerpts, with_sources
from pasctl.version import __version__

if TYPE_CHECKING:
    from pasctl.memory.event_text import EventTexts
    from pasctl.memory.sources import MemoryTexts
    from pasctl.memory.stored_text import KeptText

MOST_RECALLED = 3


def plan(declared: MemoryShow, run: Run) -> dict[str, Any]:
    """Describe a memory, or answers that were made from one.

    Returns:
        `name`; of a memory `figures` (its memory.json), `bytes` in the store and `seconds` that it took, `matching`,
        the number of events that fit the selection, and `events`, in text order: event, token (its first), tokens,
        surprise of the first in nats, text. Of answers `memory`, the name of the one asked. Of both `questions`, in the
        order asked: answers (the artifact), question, answer, tokens, stop, `recalled`, up to three events as above
        with share, the share of the layers which retrieved the event for the answer's first token, and `sources` and
        `sentences` (see `pasctl.memory.sources`). With an answer's number that question alone.

    Raises:
        InputError: the reference is to another kind of artifact, the text ends before the token to start from, there is
            no such answer, or the page cannot be written.
        MissingError: there is no such artifact, or the memory or the model is gone.
        IntegrityError: a file is damaged.
    """
    store, ref = run.store, declared.ref
    shown = ref if isinstance(ref, Artifact) else _resolve(store, ref)
    memory = shown if shown.kind == "memory" else _asked(store, shown)
    page, number = Places.of(declared.html), declared.selection.answer
    if declared.html is not None and number is None:
        raise InputError("--html has no answer to show", hint="say which one with --answer N")
    page.require()
    kept = _Kept(memory, model_of(memory, declared.model, declared.options, run), run.reporter)
    of_memory = shown is memory
    asked = [each for each in store.consumers(memory.key) if each.kind == "answers"] if of_memory else [shown]
    pairs = [(answers, answer) for answers in reversed(asked) for answer in read_answers(answers)]
    if number is not None:
        if number > len(pairs):
            raise InputError(f"{shown.name} has {len(pairs)} answers, none is number {number}")
        pairs = [pairs[number - 1]]
    questions = [_question(answers, answer, kept) for answers, answer in pairs]
    if declared.html is not None:
        several = len(asked_memories(pairs[0][0])) > 1
        parts = excerpts(questions[0]["sources"], None if several else kept.places)
        page.write_html(render_sources(questions[0], parts, memory=memory.name, version=__version__))
    if of_memory and number is None:
        return {"name": memory.name, **_describe(kept, declared.selection, run.reporter), "questions": questions}
    return {"name": shown.name, **({} if of_memory else {"memory": memory.name}), "questions": questions}


memory_show = function_of(MemoryShow)


def _resolve(store: Store, ref: str | None) -> Artifact:
    if ref is None or ref == "latest":
        return find_memory(store, None)
    artifact = store.resolve(ref)
    if artifact.kind not in ("memory", "answers"):
        raise InputError(
            f"{ref} is {artifact.name}: expected memory or answers, found {artifact.kind}",
            hint="see what there is with `pasctl store ls --kind memory`",
        )
    return artifact


def _asked(store: Store, answers: Artifact) -> Artifact:
    """The memory that answers were made from."""
    source = answers.inputs["memory"]
    memory = store.lookup(source.key)
    if memory is None:
        raise MissingError(
            f"{answers.name} was made from {source.name}, which is no longer in the store",
            hint="read the text again with `pasctl memory-run`",
        )
    return memory


class _Kept:
    """A memory's text and events, read from its files when they are wanted."""

    def __init__(self, memory: Artifact, handle: ModelHandle, reporter: Reporter) -> None:
        self.memory = memory
        self._handle, self._reporter = handle, reporter

    @cached_property
    def text(self) -> KeptText:
        """Token ids, surprise and events."""
        return kept_text(self.memory, self._reporter)

    @cached_property
    def texts(self) -> EventTexts:
        """The events' words."""
        from pasctl.memory.event_text import EventTexts

        return EventTexts(self._handle.chat().tokenizer, self.text.ids, self.text.starts)

    @cached_property
    def places(self) -> MemoryTexts:
        """The events' words, and the files that they are from."""
        from pasctl.memory.prompt import Prompt

        chat = self._handle.chat()
        opening = len(Prompt(chat).opening)
        return stored_texts(self.memory, chat.tokenizer, self.text.ids, self.text.starts, opening)

    def event(self, number: int) -> dict[str, Any]:
        """One event: its number, first token, length, the first token's surprise in nats, and its text."""
        start, stop = self.span(number)
        return {
            "event": number,
            "token": start,
            "tokens": stop - start,
            "surprise": round(self.text.surprise[start], 4),
            "text": self.texts.text(number),
        }

    def span(self, number: int) -> tuple[int, int]:
        """First token of an event, and the one behind its last."""
        starts = self.text.starts
        if number >= len(starts):
            raise IntegrityError(f"{self.memory.name} has {len(starts):,} events, event {number} was retrieved")
        return starts[number], starts[number + 1] if number + 1 < len(starts) else len(self.text.ids)


def _describe(kept: _Kept, selection: Selection, reporter: Reporter) -> dict[str, Any]:
    from pasctl.memory.event_text import FIRST_TOKENS

    text = kept.text
    if selection.start >= max(len(text.ids), 1):
        raise InputError(
            f"{kept.memory.name} has {len(text.ids):,} tokens, none is number {selection.start:,}",
            hint="tokens are counted from 0",
        )
    numbers = [number for number in range(len(text.starts)) if kept.span(number)[1] > selection.start]
    if selection.find is not None:
        matching = set(kept.texts.find(selection.find))
        if FIRST_TOKENS in matching:
            first = text.starts[0] if text.starts else len(text.ids)
            reporter.note(
                f"{selection.find!r} is in the first {first:,} tokens too, which are no event: they are always attended"
            )
        numbers = [number for number in numbers if number in matching]
    return {
        "figures": kept.memory.read_json("memory.json"),
        "bytes": kept.memory.size,
        "seconds": kept.memory.provenance["seconds"],
        "matching": len(numbers),
        "events": [kept.event(number) for number in numbers[: selection.events]],
    }


def _question(answers: Artifact, answer: dict[str, Any], kept: _Kept) -> dict[str, Any]:
    """A question of an artifact, its answer, the events that most layers recalled for it, and its sources."""
    said = {"answers": answers.name, **{name: answer[name] for name in ("question", "answer", "tokens", "stop")}}
    if len(asked_memories(answers)) > 1:  # its events are numbered through all of the memories
        return {**said, **_of_several(answer)}
    return {
        **said,
        "recalled": [
            {"share": round(share, 4), **kept.event(event)}
            for event, share in most_recalled(answer["recalled"], _in_force(answer))
            if event < len(kept.places)  # of a long question, its own words may be among what was retrieved
        ],
        **with_sources(answer, kept.places),
    }


def _in_force(answer: dict[str, Any]) -> int:
    """The step whose retrieval the answer's first token was chosen with: the last words of a question may find none."""
    steps: list[int] = [each["step"] for each in answer["recalled"] if each["step"] <= answer["first_step"]]
    return max(steps, default=int(answer["first_step"]))


def _of_several(answer: dict[str, Any]) -> dict[str, Any]:
    """What was recalled from several memories, as it was kept with the answer."""
    best = sorted(answer["sources"], key=lambda source: (-source["first_share"], -source["share"]))[:MOST_RECALLED]
    recalled = [
        {"share": source["first_share"], **{name: source[name] for name in ("event", "token", "tokens", "text")}}
        for source in best
    ]
    return {"recalled": recalled, "sources": answer["sources"], "sentences": answer["sentences"]}


def most_recalled(recalled: list[dict[str, Any]], step: int, count: int = MOST_RECALLED) -> list[tuple[int, float]]:
    """Events that most layers recalled in one step, and the share of the layers that recall at all.

    Args:
        recalled: of one question, as `read_answers` gives it.
        step: the step.
        count: at most so many events; of those in equally many layers the ones with the highest scores.
    """
    layers = {each["layer"] for each in recalled}
    times: Counter[int] = Counter()
    scores: dict[int, float] = defaultdict(float)
    for each in recalled:
        if each["step"] == step:
            times.update(each["events"])
            for event, score in zip(each["events"], each["scores"], strict=True):
                scores[event] += score
    best = sorted(times, key=lambda event: (-times[event], -scores[event], event))[:count]
    return [(event, times[event] / len(layers)) for event in best]
