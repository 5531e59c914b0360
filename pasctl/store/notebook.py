"""Artifacts as notebooks show them: a few facts and the head of the main frame, as HTML. All text is escaped."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pasctl.errors import PasctlError

if TYPE_CHECKING:
    import pandas as pd

HEAD, COLUMNS = 10, 12
"""Rows and columns of a frame that are shown."""


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """A heading and a table of facts."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"


def frame_html(title: str, facts: Mapping[str, Any], read: Callable[[], pd.DataFrame]) -> str:
    """Facts and the head of a frame; an error of reading it in its place."""
    try:
        frame = read()
    except PasctlError as error:
        return facts_html(title, {**facts, "frame": error})
    size = f"<p>{len(frame):,} rows, {len(frame.columns)} columns</p>"
    head = frame.iloc[:HEAD, :COLUMNS].to_html(index=False, border=0, escape=True)
    return facts_html(title, facts) + head + size
