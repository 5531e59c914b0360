"""Where an answer comes from: the events retrieved for it and for each of its sentences, as places in files."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from pasctl.generation.detokenizer import IncrementalDetokenizer
from pasctl.memory.event_text import EventTexts
from pasctl.memory.text_bounds import FileSpan, Place, TextBounds, find_places

_SENTENCE_END = re.compile(r"[.!?\u2026]+[)\]\"'\u201d\u2019\u00bb]*\s+|[\u3002\uff01\uff1f]+|\n+\s*")


class Retrieval(NamedTuple):
    """What one layer retrieved in one step."""

    step: int
    layer: int
    events: Sequence[int]
    scores: Sequence[float]


@dataclass(frozen=True)
class Source:
    """A part of a text that was retrieved for an answer.

    Attributes:
        event: its number.
        token: its first token in the memory.
        tokens: how many it has.
        file: that it is from; None if the file is not known.
        lines: first and last line, counted from 1; None for what the chat template wrote.
        characters: the slice of the file's text; None as for `lines`.
        text: the words.
        share: of the layers that retrieve, those which retrieved it, averaged over the answer's tokens.
        first_share: the same for the answer's first token alone.
        memory: the memory that it is from, where several were asked together.
        modified: when the file was last changed, in seconds since 1970; None if it is not known.
    """

    event: int
    token: int
    tokens: int
    file: str | None
    lines: tuple[int, int] | None
    characters: tuple[int, int] | None
    text: str
    share: float
    first_share: float
    memory: str | None = None
    modified: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The source as JSON."""
        plain = asdict(self) | {"share": round(self.share, 4), "first_share": round(self.first_share, 4)}
        return plain | {name: list(plain[name]) for name in ("lines", "characters") if plain[name] is not None}


@dataclass(frozen=True)
class Sentence:
    """A sentence of an answer.

    Attributes:
        text: the words.
        characters: their slice of the answer.
        sources: (place in the list of the answer's sources, share of the layers), the largest share first.
    """

    text: str
    characters: tuple[int, int]
    sources: tuple[tuple[int, float], ...]

    def to_json(self) -> dict[str, Any]:
        """The sentence as JSON."""
        sources = [{"source": place, "share": round(share, 4)} for place, share in self.sources]
        return {"text": self.text, "characters": list(self.characters), "sources": sources}


@dataclass(frozen=True)
class AnswerSources:
    """Sources of an answer, the largest share first, and its sentences."""

    sources: tuple[Source, ...]
    sentences: tuple[Sentence, ...]

    def first(self, count: int) -> AnswerSources:
        """The same with at most so many sources."""
        sentences = [
            replace(each, sources=tuple(pair for pair in each.sources if pair[0] < count)) for each in self.sentences
        ]
        return AnswerSources(self.sources[:count], tuple(sentences))

    def until(self, characters: int) -> AnswerSources:
        """The same for the first characters of the answer, behind which a stop string was cut off."""
        kept = [each for each in self.sentences if each.characters[0] < characters]
        cut = [
            replace(each, text=each.text[: characters - start], characters=(start, min(stop, characters)))
            for each in kept
            for start, stop in (each.characters,)
        ]
        return AnswerSources(self.sources, tuple(cut))

    def to_json(self) -> dict[str, Any]:
        """Both as JSON."""
        return {name: [each.to_json() for each in getattr(self, name)] for name in ("sources", "sentences")}


class MemoryTexts:
    """The words of a memory's events and the files that they are from.

    Where the memory does not say which characters its tokens are, they are counted in what the tokens are decoded to.
    """

    def __init__(
        self,
        tokenizer: Any,
        ids: Sequence[int],
        starts: Sequence[int],
        bounds: Sequence[TextBounds] = (),
        *,
        opening: int = 0,
        name: str | None = None,
        memories: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Prepare a memory's texts.

        Args:
            tokenizer: of the tokens.
            ids: all tokens.
            starts: first token of each event.
            bounds: of the texts, in token order; none if they are not known.
            opening: tokens that the chat template wrote before the text.
            name: of the only file, where there are no bounds.
            memories: (first token, name) of each memory, where several are asked together.
        """
        self._events, self._ids, self._starts = EventTexts(tokenizer, ids, starts), ids, starts
        self._given, self._opening, self._name, self._memories = list(bounds), opening, name, memories

    def __len__(self) -> int:
        """The number of events."""
        return len(self._starts)

    def span(self, event: int) -> tuple[int, int]:
        """First token of an event, and the one behind its last."""
        end = self._starts[event + 1] if event + 1 < len(self._starts) else len(self._ids)
        return self._starts[event], end

    def sources(self, event: int, share: float, first_share: float) -> list[Source]:
        """An event as sources: one per file that it has words of."""
        start, stop = self.span(event)
        places = find_places(self.bounds, start, stop) or [Place(None, (0, 0), (0, 0), start, stop)]
        memory = next((name for first, name in reversed(self._memories) if first <= start), None)
        return [
            Source(
                event,
                place.first,
                place.stop - place.first,
                place.file,
                place.lines if place.lines[0] else None,
                place.characters if place.lines[0] else None,
                self._events.between(place.first, place.stop),
                share,
                first_share,
                memory,
                place.modified,
            )
            for place in places
        ]

    def recency(self) -> list[float]:
        """How new each event is, 0 the oldest and 1 the newest: by the ranks of their files' times.

        Without any times the order of the text counts; what has none among others is old.
        """
        if all(file.modified is None for part in self.bounds for file in part.files):
            return [event / max(len(self) - 1, 1) for event in range(len(self))]
        places = [find_places(self.bounds, *self.span(event)) for event in range(len(self))]
        times = [max((place.modified or 0.0 for place in found), default=0.0) for found in places]
        known = {time: rank for rank, time in enumerate(sorted(set(times)))}
        return [known[time] / max(len(known) - 1, 1) for time in times]

    @property
    def bounds(self) -> list[TextBounds]:
        """Bounds of the texts."""
        if not self._given:
            self._given = [self._decoded()]
        return self._given

    def _decoded(self) -> TextBounds:
        """Bounds by the lengths of the decoded events; a token begins where its event does."""
        first = min(self._opening, len(self._ids))
        marks = [first, *(start for start in self._starts if start > first), len(self._ids)]
        words = [self._events.between(*pair) for pair in pairwise(marks)]
        starts, place = np.empty(len(self._ids) - first, np.int64), 0
        for (begin, end), text in zip(pairwise(marks), words, strict=True):
            starts[begin - first : end - first] = place
            place += len(text)
        text = "".join(words)
        return TextBounds.of(text, starts.tolist(), first, [FileSpan(self._name, 0, len(text))])


def answer_sources(
    retrieved: Iterable[Retrieval],
    first_step: int,
    tokens: Sequence[int] | int,
    tokenizer: Any,
    texts: MemoryTexts,
    *,
    strip: bool = True,
) -> AnswerSources:
    """Sources of an answer.

    Args:
        retrieved: in the question's and the answer's steps.
        first_step: the step that the answer's first token follows.
        tokens: of the answer; or only their number, and then its sentences are not known.
        tokenizer: of these tokens.
        texts: of the memory that was asked.
        strip: whether the answer has lost the white space at its ends.
    """
    log = _by_step(retrieved)
    layers = len({layer for step in log.values() for layer in step})
    count = tokens if isinstance(tokens, int) else len(tokens)
    counts = [_counts(chosen) for chosen in _per_token(log, first_step, max(count, 1))]
    total, first = _shares(counts, layers), _shares(counts[:1], layers)
    # of a long answer, events of its own question and words may be among those retrieved
    order = sorted(
        (event for event in total if event < len(texts)),
        key=lambda event: (-total[event], -first.get(event, 0.0), event),
    )
    sources: list[Source] = []
    places: dict[int, list[int]] = {}
    for event in order:
        parts = texts.sources(event, total[event], first.get(event, 0.0))
        places[event] = list(range(len(sources), len(sources) + len(parts)))
        sources += parts
    sentences = []
    for text, span, written in [] if isinstance(tokens, int) else split_sentences(tokenizer, tokens, strip=strip):
        shares = _shares([counts[token] for token in written], layers)
        best = sorted(places.keys() & shares, key=lambda event: (-shares[event], places[event]))
        sentences.append(Sentence(text, span, tuple((n, shares[event]) for event in best for n in places[event])))
    return AnswerSources(tuple(sources), tuple(sentences))


def split_sentences(
    tokenizer: Any, tokens: Sequence[int], *, strip: bool = True
) -> list[tuple[str, tuple[int, int], list[int]]]:
    """Sentences of an answer: the words, their slice of the answer, and which of its tokens wrote them."""
    words, begins = IncrementalDetokenizer(tokenizer, strip=strip), []
    for token in tokens:
        begins.append(len(words.text))
        words.add(token)
    words.finish()
    text, place, sentences = words.text, 0, []
    for stop in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        sentence = text[place:stop].strip()
        if sentence:
            start = place + len(text[place:stop]) - len(text[place:stop].lstrip())
            written = [number for number, begin in enumerate(begins) if place <= begin < stop]
            sentences.append((sentence, (start, start + len(sentence)), written))
        place = stop
    return sentences


def _by_step(retrieved: Iterable[Retrieval]) -> dict[int, dict[int, Sequence[int]]]:
    log: dict[int, dict[int, Sequence[int]]] = defaultdict(dict)
    for step, layer, events, _ in retrieved:
        log[step][layer] = events
    return dict(sorted(log.items()))


def _per_token(
    log: Mapping[int, Mapping[int, Sequence[int]]], first_step: int, count: int
) -> list[Mapping[int, Sequence[int]]]:
    """What was in force when each token of an answer was chosen; a step may use what an earlier one retrieved."""
    now, chosen = log.get(max((step for step in log if step <= first_step), default=first_step), {}), []
    for token in range(count):
        now = log.get(first_step + token, now)
        chosen.append(now)
    return chosen


def _counts(chosen: Mapping[int, Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Events that were chosen, and in how many layers."""
    events = np.array([event for layer in chosen.values() for event in layer], np.int64)
    return np.unique(events, return_counts=True)


def _shares(counts: Sequence[tuple[np.ndarray, np.ndarray]], layers: int) -> dict[int, float]:
    """Event -> share of layers and tokens that it was chosen in."""
    if not counts or not layers:
        return {}
    events, place = np.unique(np.concatenate([events for events, _ in counts]), return_inverse=True)
    times = np.bincount(place, np.concatenate([times for _, times in counts]), len(events))
    return dict(zip(events.tolist(), (times / (layers * len(counts))).tolist(), strict=True))
