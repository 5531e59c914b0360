"""A value of an inventory file with the place where it stands, so that every error can name line and column."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from pasctl.errors import InputError

_WHOLE = re.compile(r"[+-]?\d{1,15}(?:\.0*)?")
_HALF = re.compile("[\ud800-\udfff]")
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class Node:
    """A text, a list or a mapping; numbers are the text that the file has.

    Attributes:
        where: The file, and the line and column, row or path in it.
        value: None and "" are fields that were left empty.
    """

    where: str
    value: str | list[Node] | dict[str, Node] | None

    @property
    def empty(self) -> bool:
        """Whether nothing stands there."""
        return self.value is None or self.value in ("", [], {})

    def refusal(self, expected: str, hint: str | None = None) -> InputError:
        """The error that something else was expected here."""
        return InputError(f"{self.where}: expected {expected}, found {self._shown()}", hint=hint)

    def text(self, what: str) -> str:
        """The text, without blanks around it; one that is not empty is expected."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.refusal(what)
        if _HALF.search(self.value):
            raise self.refusal("Unicode text, not half a surrogate pair")
        return self.value.strip()

    def whole(self, what: str) -> int:
        """The whole number; spreadsheets write 1 as 1.0."""
        text = self.text(what)
        if _WHOLE.fullmatch(text) is None:
            raise self.refusal(what)
        return int(text.partition(".")[0])

    def number(self, what: str) -> float:
        """The finite number."""
        text = self.text(what)
        try:
            number = float(text)
        except ValueError:
            raise self.refusal(what) from None
        if not math.isfinite(number):
            raise self.refusal(what)
        return number

    def nodes(self, what: str) -> list[Node]:
        """The members of a list that is not empty."""
        if not isinstance(self.value, list) or not self.value:
            raise self.refusal(what)
        return self.value

    def texts(self, what: str, mark: str = "|") -> tuple[str, ...]:
        """The texts of a list, or of one text with a mark between them; none of nothing."""
        if self.empty:
            return ()
        if isinstance(self.value, str):
            return tuple(part.strip() for part in self.text(what).split(mark) if part.strip())
        return tuple(node.text(what) for node in self.nodes(what))

    def fields(self, known: Iterable[str], what: str) -> dict[str, Node]:
        """The fields of a mapping that are not left empty; others than the known ones are refused."""
        if not isinstance(self.value, dict):
            raise self.refusal(f"{what} with the fields {', '.join(known)}")
        names = list(known)
        for name, node in self.value.items():
            if name not in names:
                raise unknown(node.where, f"field {name!r} of {what}", name, names)
        return {name: node for name, node in self.value.items() if not node.empty}

    def _shown(self) -> str:
        if self.empty:
            return "nothing"
        if isinstance(self.value, str):
            return repr(self.value if len(self.value) <= _SHOWN else self.value[:_SHOWN] + "...")
        return "a list" if isinstance(self.value, list) else f"fields {', '.join(list(self.value or ())[:5])}"


def unknown(where: str, what: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that means nothing, with the nearest one that does."""
    names = list(known)
    folded = {each.casefold(): each for each in names}
    near = get_close_matches(name.casefold(), folded, n=1)
    hint = f"did you mean {folded[near[0]]}? " if near else ""
    return InputError(f"{where}: unknown {what}", hint=f"{hint}known: {', '.join(names)}")
