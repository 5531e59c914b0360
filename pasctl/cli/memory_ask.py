"""What `pasctl memory-ask` prints: an only answer as it is written, several when all are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pasctl.cli.output import print_json, print_outcome, tell, write_generated

if TYPE_CHECKING:
    from pasctl.commands.memory_ask import MemoryAsk
    from pasctl.stages.job import Outcome
    from pasctl.stages.run import Run


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
    _note(outcome, outcome.artifact.name, answers)


def _note(outcome: Outcome, name: str, answers: list[dict[str, Any]]) -> None:
    """What is good to know about the answers, on stderr."""
    origin = "was in the store, nothing was loaded or run" if outcome.reused else "is kept in the store"
    tell(f"{name} {origin}")
    for answer in answers:
        if answer["stop"] == "length":
            which = "the answer" if len(answers) == 1 else f"the answer to {answer['question']!r}"
            tell(f"{which} was cut off after {answer['tokens']} tokens (--max-new-tokens)")
