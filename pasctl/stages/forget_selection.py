"""Which tokens of a stored memory are to be forgotten."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.errors import InputError
from pasctl.memory.event_text import FIRST_TOKENS, EventTexts
from pasctl.memory.forget_spans import Span, find_tokens, merged
from pasctl.stages.kept_text import kept_text
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_bounds import stored_texts
from pasctl.stages.stored_runs import distinct, has_runs, opening_of, run_files

if TYPE_CHECKING:
    from pasctl.commands.memory_forget import Forgotten
    from pasctl.memory.sources import MemoryTexts
    from pasctl.memory.stored_text import KeptText

TURNS = "conversation.json"
"""Of a conversation's memory, the file with its turns."""


@dataclass(frozen=True)
class Chosen:
    """What a memory is to forget.

    Attributes:
        spans: of its tokens, merged.
        turns: of a conversation, those that stay; None for what is none.
        system: the system text that stays.
    """

    spans: list[Span]
    turns: list[dict[str, Any]] | None = None
    system: str | None = None


class View:
    """A stored memory as words and tokens."""

    def __init__(self, memory: Artifact, handle: ModelHandle, reporter: Reporter) -> None:
        self.memory, self.handle, self._reporter = memory, handle, reporter

    @cached_property
    def text(self) -> KeptText:
        """Tokens and events."""
        return kept_text(self.memory, self._reporter)

    @cached_property
    def opening(self) -> int:
        """Tokens that the chat template writes before a text."""
        from pasctl.memory.prompt import Prompt

        return len(Prompt(self.handle.chat()).opening)

    @cached_property
    def places(self) -> MemoryTexts:
        """The words, and the files that they are from."""
        tokenizer = self.handle.chat().tokenizer
        return stored_texts(self.memory, tokenizer, self.text.ids, self.text.starts, self.opening)

    @property
    def turns(self) -> list[dict[str, Any]] | None:
        """The turns of a conversation; None for what is none."""
        return self.memory.read_json(TURNS) if TURNS in self.memory.files() else None

    def words(self, wanted: str) -> list[Span]:
        """Tokens that occurrences of some words touch."""
        ids, starts = self.text.ids, self.text.starts
        events = EventTexts(self.handle.chat().tokenizer, ids, starts)
        texts = [events.text(event) for event in range(FIRST_TOKENS, len(events))]
        ends, bounds = list(accumulate(map(len, texts))), [0, *starts, len(ids)]
        spans = []
        for match in pattern(wanted).finditer("".join(texts)):
            first, last = (_token(events, bounds, ends, place) for place in (match.start(), match.end() - 1))
            spans.append((first, last + 1))
        return spans

    def file(self, name: str) -> list[Span]:
        """Tokens of a file, by its whole name or, if no other file has it, its last part."""
        if has_runs(self.memory):
            return self._run_of(name)
        files = [(part, file) for part in self.places.bounds for file in part.files if file.name is not None]
        exact = [pair for pair in files if pair[1].name == name]
        short = [pair for pair in files if PurePath(str(pair[1].name)).name == name]
        if not exact and len({file.name for _, file in short}) > 1:
            names = ", ".join(sorted({str(file.name) for _, file in short}))
            raise InputError(f"{self.memory.name} has several files {name}: {names}", hint="give the whole name")
        spans = []
        for part, file in exact or short:
            # with the empty line before the next one
            stop = next((other.start for other in part.files if other.start >= file.stop), file.stop)
            low, high = np.searchsorted(part.starts[:-1], [file.start, stop], "left") + part.first
            spans.append((int(low), int(high)))
        return spans

    def _run_of(self, name: str) -> list[Span]:
        """Tokens of the run of a file, and of those with the same text."""
        files = run_files(self.memory)
        digests = {file.digest for file in files if file.name == name}
        short = {file.digest for file in files if PurePath(file.name).name == name}
        if not digests and len(short) > 1:
            raise InputError(f"{self.memory.name} has several files {name}", hint="give the whole name")
        place, spans = len(opening_of(self.memory)), []
        for file in distinct(files):
            if file.digest in (digests or short):
                spans.append((place, place + file.tokens))
            place += file.tokens
        return spans

    def turn_spans(self) -> list[Span]:
        """Tokens of each turn of a conversation."""
        from pasctl.models.conversation import Conversation

        talk = Conversation(self.handle.chat(), self.memory.params.get("system"))
        place, spans = len(talk.opening()), []
        for turn in self.turns or ():
            ids = talk.turn(turn["user"], turn["answer"])
            if self.text.ids[place : place + len(ids)] != ids:
                raise InputError(
                    f"{self.memory.name} has other tokens than its turns give",
                    hint="forget words of the turn with --match",
                )
            spans.append((place, place + len(ids)))
            place += len(ids)
        return spans


Choose = Callable[[View], Chosen]


def chooser(forgotten: Forgotten, view: View) -> Choose:
    """What chooses in any memory of the same model what is to be forgotten in one.

    Raises:
        InputError: the memory has no such event or turn.
    """
    if forgotten.match is not None:
        words = forgotten.match
        return lambda other: _without_words(other, words)
    if forgotten.file is not None:
        name = forgotten.file
        return lambda other: Chosen(merged(other.file(name)), other.turns, other.memory.params.get("system"))
    if forgotten.turn is not None:
        spans, turns = view.turn_spans(), view.turns or []
        if forgotten.turn > len(turns):
            raise InputError(f"{view.memory.name} has {len(turns)} turns, none is number {forgotten.turn}")
        gone = turns[forgotten.turn - 1]
        return lambda other: _without_tokens(other, view, spans[forgotten.turn - 1], gone)  # type: ignore[operator]
    if view.turns is not None:
        raise InputError(
            f"{view.memory.name} is a conversation, of which turns are forgotten", hint="use --turn or --match"
        )
    if forgotten.event is None or forgotten.event >= len(view.places):
        raise InputError(f"{view.memory.name} has {len(view.places):,} events, none is number {forgotten.event}")
    span = view.places.span(forgotten.event)
    return lambda other: _without_tokens(other, view, span, None)


def pattern(wanted: str) -> re.Pattern[str]:
    """What finds some words in any case and spacing."""
    return re.compile(r"\s+".join(map(re.escape, wanted.split())), re.IGNORECASE)


def _without_words(view: View, words: str) -> Chosen:
    found, turns, system = pattern(words), view.turns, view.memory.params.get("system")
    spans = [span for span in view.words(words) if view.turns is not None or span[1] > view.opening]
    if turns is not None:
        turns = [{**turn, **{name: found.sub("", turn[name]) for name in ("user", "answer")}} for turn in turns]
    return Chosen(merged(spans), turns, None if system is None else found.sub("", system))


def _without_tokens(other: View, view: View, span: Span, turn: Mapping[str, Any] | None) -> Chosen:
    """The same tokens wherever they stand; in the memory itself where they were found."""
    spans = [span] if other is view else find_tokens(other.text.ids, view.text.ids[slice(*span)])
    turns = other.turns
    if turns is not None and turn is not None:
        turns = [each for each in turns if each != turn]
    return Chosen(merged(spans), turns, other.memory.params.get("system"))


def _token(events: EventTexts, bounds: Sequence[int], ends: Sequence[int], character: int) -> int:
    """The token that a character of the joined texts lies in."""
    piece = bisect_right(ends, character)
    begin, inside = bounds[piece], character - (ends[piece - 1] if piece else 0)
    for token in range(begin, bounds[piece + 1]):
        if len(events.between(begin, token + 1)) > inside:
            return token
    return bounds[piece + 1] - 1
