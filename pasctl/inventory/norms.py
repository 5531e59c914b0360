"""What groups of people score on an inventory's traits, as its file tells."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pasctl.errors import InputError


@dataclass(frozen=True)
class Norm:
    """Mean and standard deviation of one trait in one group of people.

    Attributes:
        trait: Its code.
        mean: Of the people's mean keyed scores, in points of the inventory's scale.
        sd: Their standard deviation.
        n: How many people; 0 where it is not told.
        group: Who they are: "women, 18-25"; empty for everybody.
    """

    trait: str
    mean: float
    sd: float
    n: int = 0
    group: str = ""

    def __post_init__(self) -> None:
        """Refuses a deviation that is none."""
        if not self.sd > 0 or self.n < 0:
            raise InputError(
                f"norm of {self.trait}: expected a standard deviation above 0 and n >= 0, found {self.sd} and {self.n}"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class PublishedNorms:
    """Norms of an inventory, by trait and group.

    Attributes:
        norms: Of traits in groups.
        correlations: Of two traits each: (code, code, r); what is not named is 0.
    """

    norms: tuple[Norm, ...] = ()
    correlations: tuple[tuple[str, str, float], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.norms)

    @property
    def groups(self) -> list[str]:
        """The groups, each once, in order."""
        return list(dict.fromkeys(norm.group for norm in self.norms))

    def of(self, trait: str, group: str = "") -> Norm | None:
        """The norm of a trait in a group, or None."""
        return next((norm for norm in self.norms if (norm.trait, norm.group) == (trait, group)), None)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "norms": [norm.to_json() for norm in self.norms],
            "correlations": [list(each) for each in self.correlations],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PublishedNorms:
        """Inverse of `to_json`."""
        return cls(
            tuple(Norm(**each) for each in document["norms"]),
            tuple((a, b, float(r)) for a, b, r in document["correlations"]),
        )


NO_NORMS = PublishedNorms()
