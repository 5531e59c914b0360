"""What `pasctl memory-run` prints, and what it asks afterwards."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.memory_ask import ask
from pasctl.cli.output import print_outcome, write

if TYPE_CHECKING:
    from pasctl.commands.memory_run import MemoryRun, TextLike
    from pasctl.stages.run import Run


def present(options: MemoryRun, run: Run, *, json: bool) -> None:
    """Read the texts, print figures of the memory, and ask what is to be asked, with the model that read."""
    from pasctl.commands.memory_ask import MemoryAsk

    options = replace(options, texts=_with_stdin(options.texts))
    outcome = run.make(options)
    print_outcome(outcome, as_json=json)
    memory = outcome.artifact
    if memory is None:
        return
    if not json:
        write(figures(memory.read_json("memory.json"), size=memory.size, seconds=memory.provenance["seconds"]))
    if options.ask:
        question = MemoryAsk(
            memory=memory,
            questions=options.ask,
            how=options.how,
            seed=options.seed,
            model=options.model,
            options=options.options,
        )
        ask(question, run, json=json)


def _with_stdin(texts: Sequence[TextLike]) -> list[TextLike]:
    """The texts, stdin read where one is -."""
    from pasctl.stages.text import Text

    return [Text.decode("stdin", sys.stdin.buffer.read()) if text == "-" else text for text in texts]


def figures(described: dict[str, Any], *, size: int, seconds: float) -> str:
    """Figures of a memory as text.

    Args:
        described: its memory.json.
        size: its bytes in the store.
        seconds: that reading took.
    """
    names = ("tokens", "events", "events_outside_window", "mean_event_tokens", "mean_surprise")
    rows = [[name.replace("_", " "), f"{described[name]:,}"] for name in names]
    rows += [["bytes in the store", f"{size:,}"], ["seconds", f"{seconds:,.1f}"]]
    rows += [
        [f"surprise {each['surprise']:.1f} at {each['token']:,}", each["text"]] for each in described["boundaries"]
    ]
    return align(rows)
