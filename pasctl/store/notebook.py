"""Artifacts as notebooks show them: a few facts and the head of the main frame, as HTML. All text is escaped."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from pasctl.store.manifest import Artifact

HEAD, COLUMNS = 10, 12
"""Rows and columns of a frame that are shown."""


def facts_html(title: str, facts: Mapping[str, Any]) -> str:
    """A heading and a table of facts."""
    rows = "".join(
        f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>" for name, value in facts.items()
    )
    return f"<div><strong>{escape(title)}</strong><table>{rows}</table></div>"


def artifact_html(artifact: Artifact) -> str:
    """Name, kind, model, key, what it was made from, and the head of its frame; an error of reading in its place."""
    facts = {
        "kind": artifact.kind,
        "model": artifact.model,
        "key": artifact.short_key,
        "made": artifact.created_at[:19],
        "bytes": f"{artifact.size:,}",
        **{role: source.name for role, source in artifact.inputs.items()},
    }
    try:
        frame = artifact.frame()
    except PasctlError as error:
        return facts_html(artifact.name, {**facts, "frame": error})
    size = f"<p>{len(frame):,} rows, {len(frame.columns)} columns</p>"
    head = frame.iloc[:HEAD, :COLUMNS].to_html(index=False, border=0, escape=True)
    return facts_html(artifact.name, facts) + head + size
