"""What `pasctl memory-show` prints: events of a memory, what was asked of it, and what it retrieved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.memory import figures
from pasctl.cli.memory_ask import place_of, source_line
from pasctl.cli.output import print_json, tell, write
from pasctl.printable import clean, without_controls

if TYPE_CHECKING:
    from pasctl.commands.memory_show import MemoryShow
    from pasctl.stages.run import Run

LISTED = 20
OF_SENTENCE = 2


def present(options: MemoryShow, run: Run, *, json: bool) -> None:
    """Print the events that are asked for, by default the first ones, and the questions."""
    selection = options.selection
    if selection.events is None and not json:
        selection = replace(selection, events=LISTED)
    document = run.make(replace(options, selection=selection))
    if json:
        print_json(document)
        return
    width = shutil.get_terminal_size().columns
    write(document["name"])
    if "figures" in document:
        write(figures(document["figures"], size=document["bytes"], seconds=document["seconds"]))
        write(f"\n{_events(document['events'], width)}")
        shown, matching = len(document["events"]), document["matching"]
        if shown < matching:
            tell(f"{shown:,} of {matching:,} events; --events shows more, --from others")
    for question in document["questions"]:
        write(f"\n{_question(question, width)}")
        if selection.answer is not None:
            write(_sources(question, width))
    if options.html is not None:
        tell(f"the text with the sources marked is in {options.html}")


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
        f"{without_controls(question['answer'])}  ({question['tokens']} tokens{ended})",
    ]
    if not question["recalled"]:
        return "\n".join([*lines, "  nothing was retrieved"])
    places = {source["event"]: place_of(source) for source in reversed(question["sources"])}
    rows = [
        [f"{each['share']:.0%}", f"{each['event']:,}", f"{each['token']:,}", places.get(each["event"], "")]
        for each in question["recalled"]
    ]
    head, *body = align([["  layers", "event", "token", "from"], *rows], left=0).splitlines()
    rows_and_events = zip(body, question["recalled"], strict=True)
    return "\n".join(
        [*lines, f"{head}  text", *(cut(f"{row}  {one_line(each['text'])}", width) for row, each in rows_and_events)]
    )


def _sources(question: dict[str, Any], width: int) -> str:
    """All sources of an answer, and the best ones of each of its sentences."""
    lines = []
    for sentence in question["sentences"] or ():
        lines.append(cut(f"\n{one_line(sentence['text'])}", width))
        for entry in sentence["sources"][:OF_SENTENCE]:
            lines.append(cut(f"  {source_line(question['sources'][entry['source']], entry['share'])}", width))
    lines.append("\nall sources, by their share of layers and tokens")
    lines += [cut(f"  {source_line(each, each['share'])}", width) for each in question["sources"]]
    return "\n".join(lines)


def one_line(text: str) -> str:
    """A text on one line, with control characters written out."""
    return clean(" ".join(text.split()))


def cut(line: str, width: int) -> str:
    """A line that a terminal of `width` columns shows without a break."""
    from rich.cells import cell_len, set_cell_size

    return line if cell_len(line) <= width else f"{set_cell_size(line, width - 1).rstrip()}…"
