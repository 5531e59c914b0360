"""A conversation as token ids, turn by turn, so that what was read of it once can be read on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.models.answer_form import RENDERING_ERRORS
from pasctl.models.chat import PLAIN_TURN, ChatRenderer
from pasctl.models.transformers_compat import first_line

_SYSTEM, *_MARKS = (f"pasctl-{name}-sentinel" for name in ("system", "first", "reply", "second", "answer", "last"))
_ROLES = ("user", "assistant", "user", "assistant", "user")
_BETWEEN = "\n\n"


@dataclass(frozen=True)
class _Markup:
    """What a template writes beside the words.

    Attributes:
        opening: before the system text, and from there to the first user's words.
        reply: behind a user's words that were answered.
        between: behind the answer.
        behind: behind the last user's words, up to where the answer begins; a thought that a template always opens is
            left open, since the model goes on with it.
    """

    opening: tuple[str, str]
    reply: str
    between: str
    behind: str


class Conversation:
    """Turns of a user and an assistant in a model's chat template, or as plain text where it has none.

    Words of either are never taken for special tokens. Each piece is encoded by itself, so the token ids of a turn do
    not depend on its neighbours: turns can be left out, and what was read once can be read on. Thinking is not shown
    in later turns, as in Qwen3's template.
    """

    def __init__(self, chat: ChatRenderer, system: str | None = None, *, thinking: bool = False) -> None:
        """Prepare a conversation.

        Args:
            chat: renders the model's template.
            system: stands before the first turn, or within it where a template has no system role.
            thinking: leave the model to think before it answers.

        Raises:
            InputError: the template renders one turn unlike another, or has no switch for the thinking asked for.
        """
        if thinking:
            chat.render(_MARKS[0], thinking=True)  # refuses a template without the switch
        self._chat, self._system = chat, system or ""
        self._markup = _plain(self._system) if chat.kind == "base" else _markup(chat, self._system, thinking)

    def opening(self) -> list[int]:
        """Token ids from the beginning up to the first user's words."""
        before, behind = self._markup.opening
        system = self.words(self._system, before) if self._system else []
        return [*self._chat.start_ids, *self._chat.encode_start(before.rstrip(" ")), *system, *self._encode(behind)]

    def turn(self, user: str, answer: str) -> list[int]:
        """Token ids of a turn from the user's words on, up to the next user's words."""
        reply, between = self._markup.reply, self._markup.between
        said = [*self.words(user, between), *self._encode(reply), *self.words(spoken(answer), reply)]
        return [*said, *self._encode(between)]

    def question(self, user: str) -> list[int]:
        """Token ids of the last user's words, up to where the answer begins."""
        return [*self.words(user, self._markup.between), *self._encode(self._markup.behind)]

    def beginning(self, answer: str) -> list[int]:
        """Token ids of the first words of the answer to the last question."""
        return self._ids(self._chat.letter_form + answer, split_special_tokens=True)

    def words(self, text: str, markup: str = "") -> list[int]:
        """Token ids of somebody's words; a space that the markup before them ends in is the first word's.

        Behind a system text within the user's turn there is such a space too, though the template writes none.
        """
        space = " " * (len(markup) - len(markup.rstrip(" ")))
        return self._ids(space + text, split_special_tokens=True)

    def _encode(self, markup: str) -> list[int]:
        """Token ids of what the template writes before words."""
        return self._ids(markup.rstrip(" "))

    def _ids(self, text: str, **how: bool) -> list[int]:
        if self._chat.kind == "base":  # the first words begin the text, and cannot be told from later ones
            return self._chat.encode_start(text, **how)
        return self._chat.encode_words(text, **how)


def spoken(answer: str) -> str:
    """An answer without the thinking that led to it."""
    _, end, said = answer.rpartition("</think>")
    return said.lstrip("\n") if end else answer


def answer_start(chat: ChatRenderer, *, thinking: bool) -> str:
    """What stands between the template's generation prompt and the answer."""
    return "" if thinking or chat.thinks else chat.before_answer


def _plain(system: str) -> _Markup:
    before, behind = PLAIN_TURN.split("{user}")
    return _Markup(("", f"{_BETWEEN}{before}" if system else before), f"{behind} ", _BETWEEN + before, behind)


def _markup(chat: ChatRenderer, system: str, thinking: bool) -> _Markup:
    """Found by rendering marks in the words' places."""
    messages = [{"role": role, "content": mark} for role, mark in zip(_ROLES, _MARKS, strict=True)]
    marks = list(_MARKS)
    if system:
        marks.insert(0, _SYSTEM)
        if chat.kind == "chat":
            messages.insert(0, {"role": "system", "content": _SYSTEM})
        else:
            messages[0]["content"] = f"{_SYSTEM}{_BETWEEN}{_MARKS[0]}"
    try:
        parts = _split(chat.render_messages(messages, thinking=thinking), marks)
    except RENDERING_ERRORS as error:
        raise InputError(f"the chat template cannot render a conversation: {first_line(error)}") from error
    if len(parts) != len(marks) + 1 or parts[-5] != parts[-3] or parts[-4] != parts[-2]:
        raise InputError(
            "the chat template renders one turn unlike another, so that turns cannot be left out or read on",
            hint="chat with a model whose template marks every turn alike, such as Qwen3",
        )
    behind = parts[-1] + answer_start(chat, thinking=thinking)
    return _Markup((parts[0], parts[1] if system else ""), parts[-5], parts[-4], behind)


def _split(text: str, marks: Sequence[str]) -> list[str]:
    """What stands around the marks; fewer parts than that unless each mark is there once and all are in order."""
    parts = []
    for mark in marks:
        if text.count(mark) == 1:
            part, _, text = text.partition(mark)
            parts.append(part)
    return [*parts, text]
