"""A memory: surprise along the text, where events begin, and how long they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pasctl.memory.stored_text import KeptText
from pasctl.report.blocks import Block, Cell, Content, Drawn, Table, number, size
from pasctl.report.figures.bars import histogram
from pasctl.report.figures.timeline import timeline

CLOSE = 240
"""Tokens of the closer look."""


def memory(described: Mapping[str, Any], text: KeptText, payload_bytes: int) -> Content:
    """The section of a memory.

    Args:
        described: its memory.json.
        text: its tokens' surprise and its events.
        payload_bytes: its size in the store.
    """
    tokens = len(text.ids)
    facts = (
        ("tokens", f"{tokens:,}"),
        ("events", f"{len(text.starts):,}"),
        ("of them outside the window", f"{described['events_outside_window']:,}"),
        ("mean surprise", f"{number(described['mean_surprise'], 2)} nats/token"),
        ("in the store", size(payload_bytes)),
        ("a token", size(payload_bytes / tokens) if tokens else "–"),
    )
    if tokens < 2:
        return Content(("The text has no two tokens: there is nothing to draw.",), facts)
    surprise = np.asarray(text.surprise, np.float64)
    flagged = [each for each in described.get("boundaries", []) if 0 <= each["token"] < tokens]
    flags = [int(each["token"]) for each in flagged]
    blocks: list[Block] = [_whole(text, surprise, flags)]
    if tokens > 2 * CLOSE:
        blocks.append(_close(text, surprise, flags, described["params"]["segmenter"]))
    if flagged:
        blocks.append(_boundaries(flagged))
    if text.starts:
        blocks.append(_lengths(text, described["params"]))
    return Content((), facts, tuple(blocks))


def _whole(text: KeptText, surprise: np.ndarray, flags: list[int]) -> Drawn:
    return Drawn(
        "surprise",
        "Surprise along the text, and its events",
        "Up: how unexpected each token was to the model, in nats; in a long text the band is the range and the line "
        "the mean of the tokens that share a pixel. Below: the events, each a box; where they are too many, "
        "the stronger the colour, the more begin there."
        + (" Numbers: the most surprising beginnings of events, listed below." if flags else ""),
        lambda width: timeline(surprise, text.starts, flags=flags, width=width),
    )


def _close(text: KeptText, surprise: np.ndarray, flags: list[int], segmenter: str) -> Drawn:
    where = (
        "Events begin at peaks that stand out from the text before them, as far as the least and the most tokens of an "
        "event allow."
        if segmenter == "surprise"
        else f"Where events begin was not told by surprise here (segmenter {segmenter})."
    )
    about = flags[0] if flags else len(surprise) // 2
    first = max(0, min(about - CLOSE // 2, len(surprise) - CLOSE))
    stretch = surprise[first : first + CLOSE]
    return Drawn(
        "surprise-close",
        f"A closer look: tokens {first:,} to {first + len(stretch):,}",
        f"The same, a bar a token, the strong ones where an event begins. {where}",
        lambda width: timeline(stretch, text.starts, first=first, flags=flags, width=width),
    )


def _boundaries(flagged: list[dict[str, Any]]) -> Table:
    rows = [
        (Cell(each["text"]), Cell(str(place)), Cell(f"{each['token']:,}"), Cell(number(each["surprise"], 2)))
        for place, each in enumerate(flagged, 1)
    ]
    return Table("Most surprising beginnings", ("text", "mark", "token", "surprise"), tuple(rows))


def _lengths(text: KeptText, params: Mapping[str, Any]) -> Drawn:
    lengths = np.diff([*text.starts, len(text.ids)]).tolist()
    mean = sum(lengths) / len(lengths)
    flags = [("mean", mean), ("least", params["min_block"]), ("most", params["max_block"])]
    return Drawn(
        "event-lengths",
        "Lengths of events",
        f"Mean {mean:.1f} tokens, shortest {min(lengths):,}, longest {max(lengths):,}; an event has at least "
        f"{params['min_block']:,} and at most {params['max_block']:,} tokens by the parameters. "
        "The last one ends where the text ends.",
        lambda width: histogram(lengths, unit="tokens", flags=flags, width=width),
    )
