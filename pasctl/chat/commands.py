"""What a line of a chat asks for: the commands, their help, and their completion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pasctl.errors import InputError

Want = bool | None
"""Whether a command has an argument: True must, False must not, None may."""


@dataclass(frozen=True)
class Command:
    """One command: its name, its argument, and what it does."""

    name: str
    argument: str
    wants: Want
    told: str

    @property
    def usage(self) -> str:
        """As it is typed."""
        return f"/{self.name} {self.argument}".rstrip()


COMMANDS = {
    command.name: command
    for command in (
        Command("persona", "[P|none]", None, "who answers; alone: who could"),
        Command("alpha", "[A]", None, "how strongly the model is steered; 0 leaves it alone"),
        Command("memory", "[REF|none]", None, "answer from a text that memory-run read"),
        Command("compare", "[TEXT]", None, "answer steered and not, side by side; alone: the last message again"),
        Command("system", "[TEXT|none]", None, "the system text"),
        Command("again", "", False, "answer the last message anew"),
        Command("undo", "", False, "take the last turn back"),
        Command("reset", "", False, "forget all turns"),
        Command("save", "FILE", True, "write the conversation to a .json or .md file"),
        Command("help", "", False, "this"),
        Command("quit", "", False, "leave; Ctrl-D does too"),
    )
}


@dataclass(frozen=True)
class Line:
    """A line that somebody typed: a command with its argument, or else words to the model."""

    text: str
    command: str | None = None


def parse(line: str) -> Line | None:
    """What a line means; None for a blank one. `//` begins words that begin with `/`.

    Raises:
        InputError: no such command, or an argument too many or too few.
    """
    text = line.strip()
    if not text:
        return None
    if not text.startswith("/"):
        return Line(text)
    if text.startswith("//"):
        return Line(text[1:])
    name, _, argument = text[1:].partition(" ")
    argument = argument.strip()
    command = COMMANDS.get(name)
    if command is None:
        near = get_close_matches(name, COMMANDS, 1)
        known = f"did you mean /{near[0]}?" if near else "/help lists them"
        raise InputError(f"unknown command /{name}", hint=f"{known} (// begins a message that begins with /)")
    if command.wants is not None and command.wants != bool(argument):
        expected = f"expected {command.usage}" if command.wants else f"found {argument!r} behind it"
        raise InputError(f"/{name} takes {'one' if command.wants else 'no'} argument, {expected}")
    return Line(argument, name)


def help_text() -> str:
    """All commands, one a line."""
    width = max(len(command.usage) for command in COMMANDS.values())
    lines = [f"{command.usage:<{width}}  {command.told}" for command in COMMANDS.values()]
    return "\n".join([*lines, f"{'//TEXT':<{width}}  say something that begins with /"])


def completions(line: str, personas: Callable[[], Sequence[str]]) -> list[str]:
    """What the line could become: names of commands, of personas, and words that switch off.

    Args:
        line: up to where the cursor is.
        personas: gives the names that are known, asked only if they are wanted.
    """
    if not line.startswith("/") or line.startswith("//"):
        return []
    name, space, argument = line[1:].partition(" ")
    if not space:
        return [f"/{each} " if COMMANDS[each].argument else f"/{each}" for each in COMMANDS if each.startswith(name)]
    if name == "persona":
        return [f"/persona {each}" for each in (*personas(), "none") if each.startswith(argument)]
    if name in ("memory", "system"):
        return [f"/{name} none"] if "none".startswith(argument) else []
    return []
