"""What `pasctl memory-ask` prints: an only answer as it is written, several when all are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pasctl.cli.output import print_json, print_outcome, tell, write_generated
from pasctl.printable import clean

if TYPE_CHECKING:
    from pasctl.commands.memory_ask import MemoryAsk
    from pasctl.stages.job import Outcome
    from pasctl.stages.run import Run


SHOWN = 3  # sources of an answer
_QUOTED = 60  # characters


def ask(options: MemoryAsk, run: Run, *, json: bool) -> None:
    """Ask, and print the answers or a JSON document per answer."""
    from pasctl.stages.memory_ask import read_answers

    pieces: list[str] = []

    def on_piece(piece: str) -> None:
        pieces.append(piece)
        write_generated(piece, end="")

    outcome: Outcome = run.make(replace(options, on_piece=None if json else on_piece))
    if outcome.artifact is None or run.dry_run:
        print_outcome(outcome, as_json=json)
        return
    answers = read_answers(outcome.artifact)
    if json:
        for answer in answers:
            print_json({**answer, "name": outcome.artifact.name, "reused": outcome.reused})
        return
    if len(answers) == 1:
        write_generated("" if pieces else answers[0]["answer"])
    else:
        for answer in answers:
            write_generated(f"{answer['question']}\n{answer['answer']}\n")
    for answer in answers:
        for source in (answer["sources"] or [])[:SHOWN]:
            tell(source_line(source, source["share"]))
    _note(outcome, outcome.artifact.name, answers)


def source_line(source: dict[str, Any], share: float) -> str:
    """A source on one line: where it stands, the share of layers, and how it begins."""
    words = clean(" ".join(source["text"].split()))
    quoted = words if len(words) <= _QUOTED else f"{words[: _QUOTED - 1].rstrip()}…"
    return f'from {place_of(source)} ({share:.0%} of layers): "{quoted}"'


def place_of(source: dict[str, Any]) -> str:
    """File and lines of a source, with its memory if several were asked."""
    file = clean(source["file"] or "the text")
    lines = source["lines"]
    where = file if lines is None else f"{file}:{lines[0]}" + (f"-{lines[1]}" if lines[1] > lines[0] else "")
    return f"{source['memory']} {where}" if source.get("memory") else where


def _note(outcome: Outcome, name: str, answers: list[dict[str, Any]]) -> None:
    """What is good to know about the answers, on stderr."""
    origin = "was in the store, nothing was loaded or run" if outcome.reused else "is kept in the store"
    tell(f"{name} {origin}")
    for answer in answers:
        if answer["stop"] == "length":
            which = "the answer" if len(answers) == 1 else f"the answer to {answer['question']!r}"
            tell(f"{which} was cut off after {answer['tokens']} tokens (--max-new-tokens)")
