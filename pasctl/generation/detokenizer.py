"""A text that grows token by token, in deltas that are whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_HALF = "\ufffd"  # what a tokenizer puts where bytes are no whole character


class IncrementalDetokenizer:
    """Gives what a text grows by with each token; the text deltas joined are the text.

    A delta never ends in half of a character, nor in what may turn out to be the beginning of a stop string. Of the
    tokens only the last few are decoded again, so a token costs the same however long the text is.

    Attributes:
        text: the deltas given so far, joined.
        stopped: whether a stop string was written; it is not part of the text, and nothing is behind it.
    """

    def __init__(self, tokenizer: Any, *, stop: Sequence[str] = (), strip: bool = False) -> None:
        """Begin an empty text.

        Args:
            tokenizer: of the tokens; special ones are left out.
            stop: strings that end the text, none empty.
            strip: leave out white space at the text's two ends.
        """
        self._tokenizer, self._stop, self._strip = tokenizer, tuple(stop), strip
        self._ids: list[int] = []  # from the first that is decoded again; those before `_given` are in the text
        self._given = 0
        self._pending = ""
        self._may_stop = True
        self.text = ""
        self.stopped = False

    def add(self, token: int, *, may_stop: bool = True) -> str:
        """What can be told of the text now that this token is there too; may be nothing.

        With `may_stop` false a stop string that is complete by then is part of the text.
        """
        self._may_stop = may_stop
        self._ids.append(token)
        new = self._new()
        if new and not new.endswith(_HALF):
            self._take(new)
        return self._tell(end=False)

    def finish(self) -> str:
        """What was held back, once no token comes any more."""
        self._take(self._new())
        return "" if self.stopped else self._tell(end=True)

    def _new(self) -> str:
        """What the tokens that are not in the text add to it, decoded behind those before them as spaces may join."""
        return self._decode(self._ids)[len(self._decode(self._ids[: self._given])) :]

    def _take(self, new: str) -> None:
        self._pending += new
        self._ids, self._given = self._ids[self._given :], len(self._ids) - self._given

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))

    def _tell(self, *, end: bool) -> str:
        pending = self._pending.lstrip() if self._strip and not self.text else self._pending
        stops = [place for place in map(pending.find, self._stop) if place >= 0 and self._may_stop]
        if stops:
            pending, self.stopped = pending[: min(stops)], True
        kept = 0 if stops or not self._may_stop else self._undecided(pending)
        if self._strip:
            kept = max(kept, len(pending) - len(pending.rstrip()))
        if end or stops:
            pending = pending.rstrip() if self._strip else pending
            kept = 0
        delta, self._pending = pending[: len(pending) - kept], pending[len(pending) - kept :]
        self.text += delta
        return delta

    def _undecided(self, pending: str) -> int:
        """Length of the longest end of `pending` that a stop string begins with."""
        longest = max(map(len, self._stop), default=0)
        lengths = range(min(longest - 1, len(pending)), 0, -1)
        return next((n for n in lengths if any(stop.startswith(pending[-n:]) for stop in self._stop)), 0)
