"""Artifacts as notebooks show them: a table, a figure, and HTML with a few facts. All text is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pasctl.errors import PasctlError
from pasctl.store.kinds import PLOT, load

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

HEAD, COLUMNS = 10, 12
"""Rows and columns of a frame that are shown."""


class Viewable:
    """What an artifact has for notebooks; kinds override `frame`."""

    def frame(self: Any) -> pd.DataFrame:
        """The main table of what it holds: of a kind without one of its own, its files."""
        import pandas as pd

        return pd.DataFrame(self.manifest["files"], columns=["name", "size", "sha256"])

    def plot(self) -> Figure:
        """The figure of what it holds, as its page has it."""
        figure: Figure = load(PLOT)(self)
        return figure

    def _repr_html_(self: Any) -> str:
        """Name, facts, inputs and the head of the frame; an error of reading in its place."""
        facts = {"kind": self.kind, "model": self.model, "key": self.short_key, "made": self.created_at[:19]}
        facts |= {"bytes": f"{self.size:,}", **{role: source.name for role, source in self.inputs.items()}}
        try:
            frame = self.frame()
        except PasctlError as error:
            return facts_html(self.name, {**facts, "frame": error})
        size = f"<p>{len(frame):,} rows, {len(frame.columns)} columns</p>"
        head = frame.iloc[:HEAD, :COLUMNS].to_html(index=False, border=0, escape=True)
        return f"{facts_html(self.name, facts)}{head}{size}"


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """A heading and a table of facts."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"
