"""`pasctl memory-forget`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.shared import OfMemory, Ref
from pasctl.declaration import Declaration
from pasctl.errors import InputError
from pasctl.models.options import ModelOptions
from pasctl.option import check, group, option


@dataclass(frozen=True)
class Forgotten:
    """What is to be forgotten: one of the four.

    Attributes:
        file: a file that was read, by its name.
        event: an event, by its number.
        turn: a turn of a conversation, counted from 1.
        match: words, wherever they stand; case does not matter, and white space stands for any white space.
    """

    file: str | None = option(None, help="Forget this file.", metavar="FILE")
    event: int | None = option(None, help="Forget this event, by its number in memory-show.", minimum=0, metavar="N")
    turn: int | None = option(None, help="Forget this turn of a conversation, counted from 1.", minimum=1, metavar="N")
    match: str | None = option(
        None, help="Forget these words wherever they stand, in any case and spacing.", metavar="TEXT"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.match is not None and not self.match.strip():
            raise InputError("the text to forget is empty, expected words")

    def require(self) -> None:
        """Refuse anything but one thing to forget.

        Raises:
            InputError: there is none, or there are several.
        """
        given = [name for name in ("file", "event", "turn", "match") if getattr(self, name) is not None]
        if len(given) != 1:
            raise InputError(
                "what is to be forgotten: expected one of --file, --event, --turn and --match, found "
                f"{' and '.join(f'--{name}' for name in given) or 'none'}"
            )


@dataclass(frozen=True, kw_only=True)
class MemoryForget(
    OfMemory,
    Declaration,
    command="memory-forget",
    function="memory_forget",
    action="pasctl.stages.memory_forget:plan",
    panel="Memory",
    place=5,
    positional=("ref", "forgotten"),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    examples=(
        "pasctl memory-forget memory/qwen3-0.6b/docs --file guide/old.md --everywhere",
        'pasctl memory-forget memory/qwen3-0.6b/long --match "his address" --reread --everywhere',
    ),
):
    """Make a version of a memory without a file, an event, a turn or some words.

    Their keys, values and words are gone from the new version. With --everywhere they are gone from the whole store:
    every memory of the same model that holds them is replaced, and the old ones are removed with all that was made of
    them. Files of a folder never saw each other. Within one text, what stands behind the forgotten words was read after
    them, and its keys and values may still show a trace of them: --reread reads the rest anew. Files on your disk stay
    as they are, and a folder that still has the words has them read again by the next memory-run.
    """

    ref: Ref | None = option(
        None, help="kind/model/label[@vN], a tag, a key, or latest.", metavar="REF", argument=True, required=True
    )
    forgotten: Forgotten = group(Forgotten, panel="What")
    reread: bool = option(False, help="Read the rest of the text anew, so that nothing in it depends on what is gone.")
    everywhere: bool = option(
        False, help="Also replace every other memory that holds it, and remove all answers made of them."
    )
    options: ModelOptions = group(ModelOptions, panel="Model")
