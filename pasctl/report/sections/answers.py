"""Answers from a memory: what was asked, what came, and which events were fetched for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pasctl.report.blocks import Block, Cell, Content, Drawn, Exchange, Table, shortened
from pasctl.report.figures.recall import Fetched, recall_map

MOST_MAPS = 12
MOST_SOURCES = 5
LONGEST_WORDS = 160


def answers(asked: Sequence[Mapping[str, Any]], memory: str, events: int | None) -> Content:
    """The section of answers.

    Args:
        asked: of each question `question`, `answer`, `tokens`, `stop`, `recalled`: step, layer, events, scores, and
            `sources`, if they were kept.
        memory: the name of the memory that was asked.
        events: how many it has; None if it is gone, and then the map ends at the last event that was fetched.
    """
    blocks: list[Block] = []
    for number, each in enumerate(asked, 1):
        ended = "cut off at the most tokens allowed" if each["stop"] == "length" else "ended by itself"
        blocks.append(Exchange(each["question"], each["answer"], f"{each['tokens']:,} tokens, {ended}"))
        if each.get("sources"):
            blocks.append(_sources(each["sources"]))
        if number <= MOST_MAPS and each["recalled"]:
            blocks.append(_map(number, each, events))
    lead = [f"{len(asked):,} question{'s' if len(asked) > 1 else ''} asked of {memory}."]
    if events is None:
        lead.append("That memory is no longer in this store, so the maps end at the last event that was fetched.")
    if not any(each["recalled"] for each in asked):
        lead.append("Nothing was retrieved: the window held the whole text, or the memory may retrieve no tokens.")
    if len(asked) > MOST_MAPS:
        lead.append(f"Maps are drawn for the first {MOST_MAPS} questions.")
    return Content(tuple(lead), (), tuple(blocks))


def _sources(sources: Sequence[Mapping[str, Any]]) -> Table:
    """The parts of the text that most layers retrieved."""
    rows = []
    for source in sources[:MOST_SOURCES]:
        first, last = source["lines"] or (0, 0)
        where = ", ".join(filter(None, (source["memory"], source["file"] or "the text")))
        note = f"lines {first:,} to {last:,}" if last > first else f"line {first:,}" if first else ""
        words = Cell(shortened(source["text"], LONGEST_WORDS))
        rows.append((Cell(where, note=note), words, Cell(f"{100 * source['share']:.0f}%")))
    more = len(sources) - len(rows)
    caption = "Of the layers that retrieve, those which retrieved the words, averaged over the answer's tokens."
    return Table(
        "Where the answer comes from",
        ("from", "words", "layers"),
        tuple(rows),
        left=2,
        caption=f"{caption} {more:,} more: pasctl memory-show --answer." if more else caption,
    )


def _map(number: int, asked: Mapping[str, Any], events: int | None) -> Drawn:
    recalled: Sequence[Mapping[str, Any]] = asked["recalled"]
    layers = sorted({each["layer"] for each in recalled})
    steps = {layer: len({each["step"] for each in recalled if each["layer"] == layer}) for layer in layers}
    times: Counter[tuple[int, int]] = Counter()
    scores: dict[tuple[int, int], float] = {}
    for each in recalled:
        for event, score in zip(each["events"], each["scores"], strict=True):
            place = (each["layer"], event)
            times[place] += 1
            scores[place] = max(score, scores.get(place, score))
    fetched = [
        Fetched(layer, event, count / steps[layer], scores[layer, event]) for (layer, event), count in times.items()
    ]
    total = events if events is not None else max(event for _, event in times) + 1
    different = len({event for _, event in times})
    caption = f"{different:,} of {total:,} events were fetched by some layer, in {max(steps.values()):,} steps."
    if number == 1:
        caption = (
            "A row a layer, the text from left to right. A box is an event that the layer fetched while the answer was "
            f"written, stronger if it did so in more of the steps. {caption} Their words: pasctl memory-show."
        )
    return Drawn(
        f"recall-{number}",
        f"Events fetched for “{shortened(asked['question'], 64)}”",
        caption,
        lambda width: recall_map(fetched, layers=layers, events=total, width=width),
    )
