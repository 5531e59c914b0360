"""`pasctl compare`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import WithFigures
from pasctl.declaration import Declaration
from pasctl.option import option


@dataclass(frozen=True, kw_only=True)
class Compare(
    WithFigures,
    Declaration,
    command="compare",
    panel="Results",
    place=2,
    examples=("pasctl compare results/qwen3-0.6b/papi results/qwen3-1.7b/papi --output page.html",),
):
    """Compare results of several models: the same personas, the same items, every condition and baseline."""

    refs: tuple[str, ...] = option(
        help="Results of several models: results/model/label[@vN], a tag, or a key.", metavar="REF", argument=True
    )
    output: str | None = option(
        None, help="Also write a page with a figure here.", short="-o", metavar="FILE", from_file="inside"
    )
