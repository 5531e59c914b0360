"""`pasctl memory-show`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import OfMemory, Ref
from pasctl.declaration import Declaration
from pasctl.errors import InputError
from pasctl.models.options import ModelOptions
from pasctl.option import check, group, option


@dataclass(frozen=True)
class Selection:
    """Which events of a memory are shown.

    Attributes:
        events: how many at most; None is all.
        start: from the event on that holds this token.
        find: only those that contain some of these words; case does not matter, and white space stands for any white
            space.
        answer: only this answer, counted from 1 in the order in which questions were asked, with all its sources.
    """

    events: int | None = option(
        None, help="Show this many events. Default: 20, with --json all.", minimum=0, metavar="N"
    )
    start: int = option(
        0, help="Show events from this token of the text on.", flag="--from", minimum=0, metavar="TOKEN"
    )
    find: str | None = option(None, help="Show only events with these words, in any case and spacing.", metavar="TEXT")

    answer: int | None = option(
        None,
        help="Show the sources of this answer, counted from 1, for each of its sentences.",
        minimum=1,
        metavar="N",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.find is not None and not self.find.strip():
            raise InputError("the text to find is empty, expected words")


@dataclass(frozen=True, kw_only=True)
class MemoryShow(
    OfMemory,
    Declaration,
    command="memory-show",
    function="memory_show",
    action="pasctl.stages.memory_show:plan",
    panel="Memory",
    place=3,
    positional=("ref", "selection"),
    examples=(
        "pasctl memory-show latest",
        "pasctl memory-show memory/qwen3-0.6b/long@v1 --find letter --events 5",
        "pasctl memory-show latest --answer 1 --html sources.html",
    ),
):
    """Show the events of a memory, and where each answer comes from; no model is loaded."""

    ref: Ref | None = option(
        None,
        help="A memory, or answers made from one: kind/model/label[@vN], a tag, a key; latest is a memory.",
        metavar="REF",
        argument=True,
        required=True,
    )
    selection: Selection = group(Selection, panel="Options")
    html: str | None = option(
        None,
        help="With --answer: write a page of the text here, in which the answer's sources are marked.",
        metavar="FILE",
        from_file="inside",
    )
    options: ModelOptions = group(ModelOptions, panel="Model", without=("dtype", "device", "attn", "device_map", "tp"))
