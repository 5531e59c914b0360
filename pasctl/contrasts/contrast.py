"""A contrast: pairs of texts that differ in one thing, with the side that each is on. Data alone, no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pasctl.errors import InputError

Read = Literal["prompt", "last", "mean"]


@dataclass(frozen=True)
class Example:
    """One text that a model reads, and where its head outputs are read.

    Attributes:
        system: the system text, if there is one.
        user: the user's turn. None: `text` stands alone, without the chat template.
        text: the assistant's words after the user's turn, or the text that stands alone.
        read: "prompt" at the last token before the assistant's words, "last" at the last token of `text`, "mean"
            averaged over the tokens of `text`.
    """

    system: str | None = None
    user: str | None = None
    text: str = ""
    read: Read = "prompt"

    def __post_init__(self) -> None:
        """Refuse an example that has no token to read.

        Raises:
            InputError: no prompt to read, no text to read, or a system text without a user's turn.
        """
        if self.read not in get_args(Read):
            raise InputError(f"an example is read at {', '.join(get_args(Read))}, found {self.read!r}")
        if self.user is None and self.system is not None:
            raise InputError("an example with a system text needs a user's turn, found none")
        if self.read == "prompt" and self.user is None:
            raise InputError("an example that is read at its prompt needs a user's turn, found none")
        if self.read != "prompt" and not self.text.strip():
            raise InputError(f"an example that is read at its text ({self.read}) needs a text, found none")


@dataclass(frozen=True)
class Pair:
    """Two examples that differ in one axis.

    Attributes:
        axis: name of the axis.
        group: examples of one group never stand on both sides of a split; a question, as a rule.
        plus: the example of the axis' + pole.
        minus: that of its - pole.
    """

    axis: str
    group: str
    plus: Example
    minus: Example

    def __post_init__(self) -> None:
        """Refuse a pair without a difference.

        Raises:
            InputError: both sides are equal, or are read at different places.
        """
        if self.plus == self.minus:
            raise InputError("the two sides of a pair must differ, found the same text twice")
        if self.plus.read != self.minus.read:
            raise InputError(
                f"both sides of a pair are read at one place, found {self.plus.read!r} and {self.minus.read!r}"
            )


@dataclass(frozen=True)
class Axis:
    """What a set of pairs differs in, and the persona ids of its two poles ("E", "E+", "E-")."""

    name: str
    plus: str
    minus: str


@dataclass(frozen=True)
class Contrast:
    """Pairs of examples along one or more axes.

    Attributes:
        name: short and safe in a file name; the label of artifacts made from it.
        axes: in the order of their poles among the personas.
        pairs: in the order in which they are computed.
    """

    name: str
    axes: tuple[Axis, ...]
    pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        """Check that pairs and axes fit each other.

        Raises:
            InputError: no pairs, an axis named twice, an axis without pairs, a pair of an unknown axis.
        """
        if not self.pairs:
            raise InputError(f"contrast {self.name!r} has no pairs, expected at least one")
        poles = [pole for axis in self.axes for pole in (axis.plus, axis.minus)]
        for what, names in (("axis", [axis.name for axis in self.axes]), ("pole", poles)):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise InputError(f"contrast {self.name!r}: each {what} has a name of its own, found {twice[0]!r} twice")
        known, used = {axis.name for axis in self.axes}, {pair.axis for pair in self.pairs}
        for name in sorted(known ^ used):
            missing = "pairs" if name in known else "entry among the axes"
            raise InputError(f"contrast {self.name!r}: axis {name!r} has no {missing}")

    @property
    def digest(self) -> str:
        """sha256 hex of its axes and pairs as canonical JSON; the name, which changes no result, is left out."""
        from pasctl.inventory.items import canonical_digest  # imports numpy, which a contrast does without

        document = self.to_json()
        return canonical_digest({"axes": document["axes"], "pairs": document["pairs"]})

    @property
    def poles(self) -> tuple[str, ...]:
        """Persona ids: + and - of each axis, axis by axis."""
        return tuple(pole for axis in self.axes for pole in (axis.plus, axis.minus))

    def of_axis(self, name: str) -> tuple[Pair, ...]:
        """The pairs of one axis, in order."""
        return tuple(pair for pair in self.pairs if pair.axis == name)

    def to_json(self) -> dict[str, Any]:
        """A JSON document that `from_json` reads again."""
        return {
            "name": self.name,
            "axes": [asdict(axis) for axis in self.axes],
            "pairs": [asdict(pair) for pair in self.pairs],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Contrast:
        """The contrast of a document that `to_json` made.

        Raises:
            InputError: the document is not one.
        """
        try:
            axes = tuple(Axis(**axis) for axis in document["axes"])
            pairs = tuple(
                Pair(row["axis"], row["group"], Example(**row["plus"]), Example(**row["minus"]))
                for row in document["pairs"]
            )
            return cls(str(document["name"]), axes, pairs)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"not the document of a contrast: {type(error).__name__}: {error}") from error
