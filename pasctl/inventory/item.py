"""One item of an inventory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pasctl.errors import InputError
from pasctl.inventory.scale import Scale

Split = Literal["fit", "report"]


@dataclass(frozen=True)
class Item:
    """One statement of an inventory.

    Attributes:
        id: Unique within the inventory.
        text: The statement as a person reads it.
        trait: The code of its trait: "E", "Mach".
        facet: The facet of the trait, as a name.
        key: +1 when agreeing means high on the trait, -1 when it means low.
        split: "fit" for items that directions are fitted on, "report" for items that results are reported on.
        scale: The options of this item, where they are others than the inventory's.
        scenario: Whether the text is a situation and the options are what a person would do, not a statement that is
            more or less true.
        weight: What its answer counts in a person's trait score, against 1 of others. Errors count all items alike.
    """

    id: str
    text: str
    trait: str
    facet: str
    key: int
    split: Split
    scale: Scale | None = None
    scenario: bool = False
    weight: float = 1.0

    def __post_init__(self) -> None:
        """Refuses an item that has no id or text, a trait without a code, or a key or split that does not exist."""
        if not self.id or not self.text.strip():
            raise InputError(f"item {self.id!r}: an id and a text are expected, found text {self.text!r}")
        if not self.trait:
            raise InputError(f"item {self.id}: a trait is expected, found none")
        if self.key not in (1, -1):
            raise InputError(f"item {self.id}: key is +1 or -1, found {self.key!r}")
        if self.split not in ("fit", "report"):
            raise InputError(f"item {self.id}: split is 'fit' or 'report', found {self.split!r}")
        if not 0 < self.weight < float("inf"):
            raise InputError(f"item {self.id}: a weight above 0 is expected, found {self.weight!r}")

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what is as by default is left out."""
        names = ("id", "text", "trait", "facet", "key", "split")
        document: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.scale is not None:
            document["scale"] = self.scale.to_json()
        if self.scenario:
            document["scenario"] = True
        if self.weight != 1.0:
            document["weight"] = self.weight
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Item:
        """Inverse of `to_json`."""
        scale = {"scale": Scale.from_json(document["scale"])} if "scale" in document else {}
        return cls(**(document | scale))
