"""The traits of an inventory: a short code for each, its name, and words for its two poles."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from pasctl.errors import InputError

_CODE = re.compile(r"[^\W_](?:[\w. -]*[^\W_])?")


@dataclass(frozen=True)
class Trait:
    """What some items of an inventory measure.

    Attributes:
        code: What items, poles and tables call it: "E", "Mach". Letters, digits, spaces, dots and hyphens.
        name: As a person reads it; the code where none is given.
        high: Words for a person high on it, such as "extraverted"; each names the pole.
        low: The same for a person low on it.
        desirable: Whether people would rather be high on it (+1) or low (-1); 0 where neither.
    """

    code: str
    name: str = ""
    high: tuple[str, ...] = ()
    low: tuple[str, ...] = ()
    desirable: int = 1

    def __post_init__(self) -> None:
        """Refuses a code that a pole could not be spelled with."""
        if _CODE.fullmatch(self.code) is None:
            raise InputError(f"trait code: expected letters, digits, spaces, dots and hyphens, found {self.code!r}")
        if not self.name:
            object.__setattr__(self, "name", self.code)

    def pole(self, word: str) -> str | None:
        """The pole that a word means, as its code and sign, or None: "Machiavellianism+", "mach+", "extraverted"."""
        said = " ".join(word.split()).casefold()
        for sign, words in (("+", self.high), ("-", self.low)):
            named = {f"{name.casefold()}{sign}" for name in (self.code, self.name)}
            if said in named | {each.casefold() for each in words}:
                return f"{self.code}{sign}"
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self) | {"high": list(self.high), "low": list(self.low)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Trait:
        """Inverse of `to_json`."""
        return cls(**{**document, "high": tuple(document["high"]), "low": tuple(document["low"])})
