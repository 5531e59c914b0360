"""Sources of stored answers, and the text around them; reads files, loads no weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pasctl.memory.sources import MemoryTexts
    from pasctl.report.source_page import Excerpt

_AROUND = 2  # events that stand before and after what was retrieved


def with_sources(answer: Mapping[str, Any], texts: MemoryTexts) -> dict[str, Any]:
    """Sources and sentences of an answer, as `read_answers` gives it; found now if they were not kept."""
    from pasctl.memory.sources import Retrieval, answer_sources

    if answer["sources"] is not None:
        return {name: answer[name] for name in ("sources", "sentences")}
    log = [Retrieval(each["step"], each["layer"], each["events"], each["scores"]) for each in answer["recalled"]]
    return answer_sources(log, answer["first_step"], answer["tokens"], None, texts).to_json()


def excerpts(sources: Sequence[Mapping[str, Any]], texts: MemoryTexts | None) -> list[Excerpt]:
    """The text of a memory as far as it was retrieved, with a little around it if `texts` are there, in order."""
    from pasctl.report.source_page import Excerpt

    retrieved: dict[int, list[tuple[int, Mapping[str, Any]]]] = {}
    for place, source in enumerate(sources):
        retrieved.setdefault(source["event"], []).append((place, source))
    around = 0 if texts is None else _AROUND
    shown = sorted({near for event in retrieved for near in range(event - around, event + around + 1)})
    last_event = max(retrieved, default=0) if texts is None else len(texts) - 1
    parts: list[Excerpt] = []
    last, file = -2, object()
    for event in (each for each in shown if 0 <= each <= last_event):
        pieces = sorted(retrieved.get(event, []), key=lambda piece: piece[1]["token"])
        here: list[tuple[str, tuple[int, ...], float, str | None]] = [
            (str(source["text"]), (place,), float(source["share"]), _title(source)) for place, source in pieces
        ]
        if not here and texts is not None:
            here = [(each.text, (), 0.0, each.file) for each in texts.sources(event, 0.0, 0.0)]
        for text, places, share, name in here:
            heading = "" if name == file and parts else str(name or "The text")
            parts.append(Excerpt(text, places, share, heading, gap=event != last + 1 and event > 0))
            last, file = event, name
    return parts


def _title(source: Mapping[str, Any]) -> str | None:
    """The file of a source, with its memory if several were asked."""
    return f"{source['memory']}: {source['file'] or 'the text'}" if source["memory"] else source["file"]
