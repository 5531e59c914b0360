"""A page with an answer and the text that it comes from, in which the parts that were retrieved stand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pasctl.report.theme import DARK, LIGHT, SANS

_SHADES = 5


@dataclass(frozen=True)
class Excerpt:
    """A part of a text.

    Attributes:
        text: the words.
        sources: places in the list of the answer's sources; empty for what stands around them.
        share: of the layers and tokens that retrieved it.
        heading: the file that begins here; empty within a file.
        gap: whether text before it is left out.
    """

    text: str
    sources: tuple[int, ...] = ()
    share: float = 0.0
    heading: str = ""
    gap: bool = False


def render_sources(question: Mapping[str, Any], excerpts: Sequence[Excerpt], *, memory: str, version: str) -> str:
    """The page as HTML. It loads nothing: no script, no font, no picture.

    Args:
        question: with question, answer, tokens, sources and sentences, as `memory-show` gives them.
        excerpts: of the text, in order.
        memory: name of the memory.
        version: of pasctl.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    most = max((each.share for each in excerpts), default=0.0) or 1.0
    shown = [(each, max(1, round(each.share / most * _SHADES)) if each.sources else 0) for each in excerpts]
    return (
        environment.get_template("sources.html.jinja").render(
            asked=question,
            excerpts=shown,
            memory=memory,
            version=version,
            light=LIGHT,
            dark=DARK,
            sans=SANS,
            shades=[(number, 8 + 8 * number) for number in range(1, _SHADES + 1)],
        )
        + "\n"
    )
