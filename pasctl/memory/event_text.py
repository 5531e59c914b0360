"""The events of a text as words: token ids decoded event by event, and searched."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

_BYTES = 4  # of a character in UTF-8, and so the most tokens that one can be split into
FIRST_TOKENS = -1
"""Stands for the tokens before the first event where a number of an event is expected."""


class EventTexts:
    """The text of each event; joined they are the whole text.

    A character whose bytes lie in two events is part of the one in which it begins.
    """

    def __init__(self, tokenizer: Any, ids: Sequence[int], starts: Sequence[int]) -> None:
        """Prepare a text of token ids `ids`, whose events begin at `starts`, in order; neither is copied."""
        self._tokenizer, self._ids, self._starts = tokenizer, ids, starts

    def __len__(self) -> int:
        """The number of events."""
        return len(self._starts)

    def text(self, event: int) -> str:
        """The text of an event, or of what comes before the first one, `FIRST_TOKENS`."""
        return self.between(self._bound(event + 1), self._bound(event + 2), self._bound(event) if event >= 0 else None)

    def between(self, start: int, stop: int, before: int | None = None) -> str:
        """The text of the tokens from `start` to `stop`.

        Args:
            start: the first token; bounds that split a character are moved behind it.
            stop: the token behind the last one.
            before: a token before these, from which on the text is decoded; None decodes a few of them.
        """
        start, stop = self._whole(start), self._whole(stop)
        if before is None:
            before = max(0, start - _BYTES)
        ids = list(self._ids[self._whole(before) : start])
        # some tokenizers write a word's space only behind another word
        told, whole = self._decode(ids), self._decode([*ids, *self._ids[start:stop]])
        return whole[len(told) :] if whole.startswith(told) else self._decode(self._ids[start:stop])

    def find(self, wanted: str) -> list[int]:
        """Events that an occurrence of some words touches, in order; `FIRST_TOKENS` may be among them.

        Case does not matter, and white space in `wanted` stands for any white space.
        """
        texts = [self.text(event) for event in range(FIRST_TOKENS, len(self))]
        ends = list(accumulate(map(len, texts)))
        parts = (r"\s+" if part.isspace() else re.escape(part) for part in re.split(r"(\s+)", wanted))
        touched: set[int] = set()
        # looked ahead for, so that occurrences which overlap are all found
        for match in re.finditer(f"(?=({''.join(parts)}))", "".join(texts), re.IGNORECASE):
            first, last = match.span(1)
            touched.update(range(bisect_right(ends, first), bisect_right(ends, last - 1) + 1))
        return [place + FIRST_TOKENS for place in sorted(touched) if texts[place]]

    def _bound(self, number: int) -> int:
        """Where event `number` - 1 begins, the first tokens being number 0; behind the last one, the text's end."""
        if number == 0:
            return 0
        return self._starts[number - 1] if number <= len(self._starts) else len(self._ids)

    def _whole(self, bound: int) -> int:
        """A bound, moved behind the character that it splits, if it splits one."""
        for place in range(bound, min(bound + _BYTES, len(self._ids))):
            if not self._decode(self._ids[max(0, bound - _BYTES) : place]).endswith("\ufffd"):
                return place
        return bound

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
