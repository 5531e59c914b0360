"""`pasctl memory-show`: what a memory holds, what was asked of it, and what it recalled."""

from __future__ import annotations

import shutil
import sys
from typing import Annotated, Any

import typer

from pasctl.cli import options as o
from pasctl.cli.memory import figures
from pasctl.cli.output import Terminal, print_json
from pasctl.cli.tables import align

LISTED = 20


def memory_show(
    ref: Annotated[
        str,
        typer.Argument(
            help="A memory, or answers made from one: kind/model/label[@vN], a tag, a key; latest is a memory.",
            metavar="REF",
        ),
    ],
    events: Annotated[
        int | None,
        typer.Option("--events", min=0, help=f"Show this many events; default {LISTED}, with --json all.", metavar="N"),
    ] = None,
    start: Annotated[
        int, typer.Option("--from", min=0, help="Show events from this token of the text on.", metavar="TOKEN")
    ] = 0,
    find: Annotated[
        str | None,
        typer.Option("--find", help="Show only events with these words, in any case and spacing.", metavar="TEXT"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Where the model is now; default: where it was.", metavar="MODEL"),
    ] = None,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Show the events of a memory, and what it recalled for each question; no model is loaded."""
    from pasctl.stages.memory_show import Selection
    from pasctl.stages.memory_show import memory_show as stage

    selection = Selection(LISTED if events is None and not json else events, start, find)
    document = stage(ref, selection, model=model, store=store, reporter=Terminal())
    if json:
        print_json(document)
        return
    width = shutil.get_terminal_size().columns
    print(document["name"])
    if "figures" in document:
        print(figures(document["figures"], size=document["bytes"], seconds=document["seconds"]))
        print(f"\n{_events(document['events'], width)}")
        shown, matching = len(document["events"]), document["matching"]
        if shown < matching:
            print(f"{shown:,} of {matching:,} events; --events shows more, --from others", file=sys.stderr)
    for question in document["questions"]:
        print(f"\n{_question(question, width)}")


def _events(events: list[dict[str, Any]], width: int) -> str:
    """A line an event, the text as far as the terminal is wide."""
    if not events:
        return "no event"
    rows = [
        [f"{each['event']:,}", f"{each['token']:,}", f"{each['tokens']:,}", f"{each['surprise']:.1f}"]
        for each in events
    ]
    head, *lines = align([["event", "token", "tokens", "surprise"], *rows], left=0).splitlines()
    shown = [cut(f"{line}  {one_line(each['text'])}", width) for line, each in zip(lines, events, strict=True)]
    return "\n".join([f"{head}  text", *shown])


def _question(question: dict[str, Any], width: int) -> str:
    """A question, its answer, and what was recalled most for its first token."""
    ended = ", cut off" if question["stop"] == "length" else ""
    lines = [
        f"{one_line(question['question'])}  ({question['answers']})",
        f"{question['answer']}  ({question['tokens']} tokens{ended})",
    ]
    if not question["recalled"]:
        return "\n".join([*lines, "  nothing was recalled"])
    rows = [[f"{each['share']:.0%}", f"{each['event']:,}", f"{each['token']:,}"] for each in question["recalled"]]
    head, *body = align([["  layers", "event", "token"], *rows], left=0).splitlines()
    told = zip(body, question["recalled"], strict=True)
    return "\n".join([*lines, f"{head}  text", *(cut(f"{row}  {one_line(each['text'])}", width) for row, each in told)])


def one_line(text: str) -> str:
    """A text on one line, with control characters written out."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in " ".join(text.split())
    )


def cut(line: str, width: int) -> str:
    """A line that a terminal of `width` columns shows without a break."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1).rstrip()}…"
