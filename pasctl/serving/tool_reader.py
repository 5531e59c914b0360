"""Tells calls of tools from words, as a text grows."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from pasctl.models.rendered import ToolCall
from pasctl.models.tool_form import Tool, ToolForm

Part = str | ToolCall
_OPENED, _CLOSED = "<think>", "</think>"


class ToolReader:
    """Takes a text piece by piece and gives its words and its calls, in order.

    Words are given as soon as they cannot be the beginning of a call. What has the form of a call and is none, since it
    is cut off, no JSON, or names a tool that was not offered, is given as words, so that nothing of a text is lost.
    """

    def __init__(
        self, form: ToolForm, tools: Sequence[Tool], *, begun: bool = False, thinks: bool = False, opened: bool = False
    ) -> None:
        """Begin to read.

        Args:
            form: of calls.
            tools: that may be called.
            begun: the text begins within a call, whose first markup is part of the prompt.
            thinks: the text may begin with a thought, in which no calls are looked for.
            opened: the prompt has opened that thought.
        """
        self._form, self._tools, self._thinks = form, tools, thinks
        self._held = ""
        self._state: Literal["start", "thought", "words", "call", "called", "plain"] = (
            "thought" if thinks and opened else "call" if begun else "start"
        )

    def add(self, piece: str) -> list[Part]:
        """What is known once a text has grown by a piece."""
        self._held += piece
        steps = {
            "start": self._start,
            "thought": self._thought,
            "words": self._words,
            "call": self._call,
            "called": self._called,
            "plain": self._plain,
        }
        found: list[Part] = []
        while self._held and (parts := steps[self._state]()) is not None:
            found += parts
        return list(_joined(found))

    def end(self) -> list[Part]:
        """What is left when the text has ended."""
        rest, self._held = self._held, ""
        if self._state == "called" and self._form.end.startswith(rest.strip()):
            return []
        return [rest] if rest else []

    # Each state takes something off what is held and gives parts, or changes to another state; None waits for more.

    def _start(self) -> list[Part] | None:
        """Before the first character that is no space."""
        start = self._held.lstrip()
        if not start or (self._thinks and _OPENED.startswith(start) and start != _OPENED):
            return None
        if self._thinks and start.startswith(_OPENED):
            self._state = "thought"
        elif self._form.mark:
            self._state = "words"
        else:  # a call has no mark of its own: only a text that begins as JSON can be one
            self._state = "call" if start[0] in "[{" else "plain"
        return []

    def _thought(self) -> list[Part] | None:
        at = self._held.find(_CLOSED)
        if at < 0:
            return self._take(len(self._held) - _overlap(self._held, _CLOSED))
        self._state, self._thinks = "start", False
        return self._take(at + len(_CLOSED))

    def _words(self) -> list[Part] | None:
        mark = self._form.mark
        at = self._held.find(mark)
        if at < 0:
            sure = self._held[: len(self._held) - _overlap(self._held, mark)]
            return self._take(len(sure.rstrip()))
        words = self._held[:at].rstrip()
        self._held, self._state = self._held[at:], "call"
        return [words]

    def _call(self) -> list[Part] | None:
        mark = self._form.mark
        start = len(self._held) - len(self._held.removeprefix(mark).lstrip())
        if start == len(self._held) or (read := self._form.read(self._held, start, self._tools)) is None:
            return None
        calls, stop = read
        self._state = "called" if calls else "words" if mark else "plain"
        if not calls:
            return self._take(stop) or []
        self._held = self._held[stop:]
        return [replace(call, id=f"call_{secrets.token_hex(12)}") for call in calls]

    def _called(self) -> list[Part] | None:
        """Behind a call, where its end may come."""
        end, rest = self._form.end, self._held.lstrip()
        if end.startswith(rest) and rest != end:
            return None
        self._held = rest.removeprefix(end)
        self._state = "words" if self._form.mark else "start"
        return []

    def _plain(self) -> list[Part] | None:
        return self._take(len(self._held))

    def _take(self, count: int) -> list[Part] | None:
        """The first characters of what is held, or None if there are none."""
        taken, self._held = self._held[:count], self._held[count:]
        return [taken] if taken else None


def _overlap(text: str, mark: str) -> int:
    """Characters at the end of a text that may be the beginning of a mark."""
    return next((size for size in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:size])), 0)


def _joined(parts: Iterable[Part]) -> Iterable[Part]:
    """The parts, with words that follow each other as one, and no empty ones."""
    words = ""
    for part in parts:
        if isinstance(part, str):
            words += part
            continue
        if words:
            yield words
        words = ""
        yield part
    if words:
        yield words
