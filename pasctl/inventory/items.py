"""Items and inventories: what is asked, of which trait, and in which direction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError

IntArray = npt.NDArray[np.int64]
Split = Literal["fit", "report"]

TRAITS = "OCEAN"
LETTERS = "ABCDE"  # answer letters; which agreement a letter stands for depends on the option order, see prompts.py


@dataclass(frozen=True)
class Item:
    """One statement of an inventory.

    Attributes:
        id: Unique within the inventory.
        text: The statement as a person reads it.
        trait: One of O, C, E, A, N.
        facet: The facet of the trait, as a name.
        key: +1 when agreeing means high on the trait, -1 when it means low.
        split: "fit" for items that directions are fitted on, "report" for items that results are reported on.
    """

    id: str
    text: str
    trait: str
    facet: str
    key: int
    split: Split

    def __post_init__(self) -> None:
        """Refuses an item that has no id or text, or a trait, key or split that does not exist."""
        if not self.id or not self.text.strip():
            raise InputError(f"item {self.id!r}: an id and a text are expected, found text {self.text!r}")
        if len(self.trait) != 1 or self.trait not in TRAITS:
            raise InputError(f"item {self.id}: trait is one of {', '.join(TRAITS)}, found {self.trait!r}")
        if self.key not in (1, -1):
            raise InputError(f"item {self.id}: key is +1 or -1, found {self.key!r}")
        if self.split not in ("fit", "report"):
            raise InputError(f"item {self.id}: split is 'fit' or 'report', found {self.split!r}")


@dataclass(frozen=True)
class Inventory:
    """A questionnaire: items and one answer scale.

    Attributes:
        name: "builtin", "papi", ...
        items: In the order that every array over items follows.
        labels: What the five options are called, for agreement 5, 4, 3, 2, 1 in this order.
    """

    name: str
    items: tuple[Item, ...]
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses an empty inventory, an item id used twice, and a scale that has not five different labels."""
        if not self.items:
            raise InputError(f"inventory {self.name}: at least one item is expected, found none")
        ids = [item.id for item in self.items]
        twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise InputError(f"inventory {self.name}: item ids must be unique, found more than once: {listing(twice)}")
        if len(self.labels) != len(LETTERS) or len(set(self.labels)) != len(LETTERS):
            raise InputError(f"inventory {self.name}: five different labels are expected, found {list(self.labels)}")

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON of name, items and labels: it enters every key that depends on a wording."""
        return canonical_digest(self.to_json())

    @cached_property
    def position(self) -> dict[str, int]:
        """Column of each item id."""
        return {item.id: column for column, item in enumerate(self.items)}

    @property
    def traits(self) -> list[str]:
        """Trait letter of each item, in item order."""
        return [item.trait for item in self.items]

    @property
    def keys(self) -> IntArray:
        """Key of each item, +1 or -1, int64 [I]."""
        return np.array([item.key for item in self.items], dtype=np.int64)

    def indices(self, split: str) -> IntArray:
        """Columns of the items of a split, ascending, int64."""
        if split not in ("fit", "report", "all"):
            raise InputError(f"split is 'fit', 'report' or 'all', found {split!r}")
        return np.array([c for c, item in enumerate(self.items) if split in ("all", item.split)], dtype=np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` restores an equal inventory."""
        items = [
            {"id": i.id, "text": i.text, "trait": i.trait, "facet": i.facet, "key": i.key, "split": i.split}
            for i in self.items
        ]
        return {"name": self.name, "labels": list(self.labels), "items": items}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Inventory:
        """Inverse of `to_json`; raises InputError when a field is missing or unknown."""
        try:
            items = tuple(Item(**row) for row in document["items"])
            return cls(name=document["name"], items=items, labels=tuple(document["labels"]))
        except (KeyError, TypeError) as error:
            raise InputError(f"not an inventory: {error}") from error


def canonical_digest(document: Any) -> str:
    """sha256 hex of canonical JSON: sorted keys, no spaces, NaN refused."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def listing(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
