"""What a contrast is: axes with two poles, and pairs of texts that differ in which pole they are of."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from pasctl.errors import InputError
from pasctl.inventory.items import canonical_digest

Read = Literal["prompt", "last", "mean"]


@dataclass(frozen=True)
class Example:
    """One text, and where a model's head outputs are read in it.

    Attributes:
        system: system text; None says nothing.
        user: the user's turn; None: `text` stands alone, without the chat template.
        text: the assistant's words, or a plain text.
        read: at the last token of the "prompt", at the "last" token of the text, or the "mean" over the text's tokens.
    """

    system: str | None = None
    user: str | None = None
    text: str = ""
    read: Read = "prompt"


@dataclass(frozen=True)
class Pair:
    """Two texts that differ in their pole.

    Attributes:
        axis: name of the axis.
        group: examples of a group never stand on both sides of a split.
        plus: of the axis' plus pole.
        minus: of its minus pole.
    """

    axis: str
    group: str
    plus: Example
    minus: Example


@dataclass(frozen=True)
class Axis:
    """What a direction is fitted for.

    Attributes:
        name: such as "E".
        plus: id of the persona at its plus pole, such as "E+".
        minus: of the one at its minus pole.
    """

    name: str
    plus: str
    minus: str


@dataclass(frozen=True)
class Contrast:
    """Pairs of texts along one or more axes.

    Attributes:
        name: short name for artifacts: lower case, matches `[a-z0-9][a-z0-9._+-]*`.
        axes: each has a pair.
        pairs: in the order that arrays over pairs follow.
    """

    name: str
    axes: tuple[Axis, ...]
    pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        names = [axis.name for axis in self.axes]
        poles = [pole for axis in self.axes for pole in (axis.plus, axis.minus)]
        if not names or len(set(names)) < len(names) or len(set(poles)) < len(poles):
            raise InputError(f"contrast {self.name}: expected axes and poles with different names, found {poles}")
        used = {pair.axis for pair in self.pairs}
        if used != set(names):
            odd = ", ".join(sorted(used ^ set(names)))
            raise InputError(f"contrast {self.name}: expected pairs of each of its axes and of no other, found {odd}")

    @property
    def digest(self) -> str:
        """The sha256 of its canonical JSON; enters keys."""
        return canonical_digest(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` restores an equal contrast."""
        axes, pairs = ([asdict(each) for each in many] for many in (self.axes, self.pairs))
        return {"name": self.name, "axes": axes, "pairs": pairs}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Contrast:
        """Inverse of `to_json`."""
        return cls(
            document["name"],
            tuple(Axis(**axis) for axis in document["axes"]),
            tuple(
                Pair(pair["axis"], pair["group"], Example(**pair["plus"]), Example(**pair["minus"]))
                for pair in document["pairs"]
            ),
        )
