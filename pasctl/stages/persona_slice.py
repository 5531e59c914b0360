"""One of several slices of an artifact's personas, so that machines share the work of an evaluation."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError

_FORM = re.compile(r"(\d{1,9})/(\d{1,9})")
_LONGEST_LABEL = 100  # signs; the store's limit


@dataclass(frozen=True)
class PersonaSlice:
    """The `number`-th of `count` slices, counted from 1, of consecutive personas and nearly the same size."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> PersonaSlice:
        """Read `2/8`.

        Raises:
            InputError: it has another form, or there is no such slice.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(f"shard {text!r}: expected I/N with I from 1 to N, such as 2/8 for the second of eight")
        return cls(int(found[1]), int(found[2]))

    def rows(self, personas: int) -> NDArray[np.int64]:
        """The slice's rows of so many personas.

        Raises:
            InputError: there are more slices than personas.
        """
        if self.count > personas:
            raise InputError(f"shard {self.number}/{self.count}: expected at most {personas} shards, one a persona")
        start, stop = (personas * number // self.count for number in (self.number - 1, self.number))
        return np.arange(start, stop)

    def label(self, whole: str) -> str:
        """The label of the slice of what is labelled `whole`."""
        ending = f"-{self.number}-of-{self.count}"
        return whole[: _LONGEST_LABEL - len(ending)] + ending
