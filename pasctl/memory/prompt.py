"""What a model is given: a text in the user's turn of its chat template, and a question behind it in the same turn."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.errors import InputError
from pasctl.models.chat import ChatRenderer
from pasctl.models.transformers_compat import tokenize, tokenize_with_starts


def require_words(questions: Sequence[str]) -> None:
    """Refuse questions without words.

    Raises:
        InputError: there is no question, or one is empty.
    """
    if not questions:
        raise InputError("there is no question to ask, expected at least one")
    for number, question in enumerate(questions):
        if not question.strip():
            raise InputError(f"question {number + 1} of {len(questions)} is empty, expected words")


class Prompt:
    """Turns texts and questions into token ids.

    Users' words are never taken for special tokens: a text that holds `<|im_end|>` does not end the turn.
    """

    def __init__(self, chat: ChatRenderer) -> None:
        self._chat, self._tokenizer = chat, chat.tokenizer
        self._before, self._behind = chat.around()

    def text(self, text: str) -> list[int]:
        """Token ids of a text from its beginning, with what the chat template puts before a user's words."""
        return [*self._before, *self.encode(text)]

    @property
    def opening(self) -> list[int]:
        """Token ids of what the chat template puts before a user's words."""
        return list(self._before)

    def question(self, question: str, think: bool = False) -> list[int]:
        """Token ids of a question behind the text, up to where the answer begins, or thinking before it.

        Raises:
            InputError: the model's template has no switch for thinking.
        """
        behind = self._chat.around(thinking=True)[1] if think else self._behind
        return [*self.encode(f"\n\n{question}"), *self._encode(behind)]

    @property
    def tail(self) -> list[int]:
        """Token ids of what the chat template puts after a user's words, up to where the answer begins."""
        return self._encode(self._behind)

    def encode(self, text: str) -> list[int]:
        """Token ids of a user's words."""
        return self._encode(text, split_special_tokens=True)

    def encode_with_starts(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids of a user's words, and the character that each begins at."""
        return tokenize_with_starts(self._tokenizer, text, add_special_tokens=False, split_special_tokens=True)

    def spans(self, text: str, parts: tuple[str, ...]) -> list[tuple[int, int]]:
        """First token, and the one behind the last, of some parts of a text as `text` encodes it."""
        found = []
        for part in parts:
            place = text.index(part)
            first, last = (len(self.encode(text[:end])) for end in (place, place + len(part)))
            found.append((len(self._before) + first, len(self._before) + last))
        return found

    def _encode(self, text: str, **how: bool) -> list[int]:
        return tokenize(self._tokenizer, text, add_special_tokens=False, **how)
