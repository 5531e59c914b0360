"""Where somebody is in an inventory: next item, answer, back, skip, done. Values only, no terminal and no file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory

Entries = Mapping[str, int | None]  # item id -> score, None for a skipped item; an item without an entry is open

MOVES = ("back", "forward", "skip")


def question_order(
    inventory: Inventory, *, split: str = "all", shuffle: bool = False, seed: int = 0
) -> tuple[str, ...]:
    """Ids of the items of a split, in inventory order or shuffled by the seed.

    Raises:
        InputError: the split is unknown or has no items.
    """
    columns = inventory.indices(split)
    if not len(columns):
        raise InputError(f"inventory {inventory.name} has no items of split {split!r}")
    if shuffle:
        columns = np.random.default_rng(seed).permutation(columns)
    return tuple(inventory.items[column].id for column in columns)


@dataclass(frozen=True)
class Session:
    """One person before one item.

    Attributes:
        order: Item ids as they are asked.
        entries: What is settled, of these items and perhaps of others.
        at: Place in `order` of the item that is asked; `len(order)` when all are settled.
    """

    order: tuple[str, ...]
    entries: Entries
    at: int

    @classmethod
    def begin(cls, order: tuple[str, ...], entries: Entries) -> Session:
        """At the first open item."""
        return cls(order, dict(entries), 0)._at_open(0)

    @property
    def done(self) -> bool:
        """Whether all items are behind."""
        return self.at == len(self.order)

    @property
    def item(self) -> str:
        """Id of the item that is asked; IndexError when done."""
        return self.order[self.at]

    @property
    def settled(self) -> bool:
        """Whether the item that is asked has an answer or has been skipped before."""
        return not self.done and self.item in self.entries

    @property
    def open(self) -> int:
        """How many items are neither answered nor skipped."""
        return sum(item not in self.entries for item in self.order)

    @property
    def skipped(self) -> int:
        """How many items have been skipped."""
        return sum(item in self.entries and self.entries[item] is None for item in self.order)

    def after(self, key: str, answers: Mapping[str, int]) -> Session | None:
        """The session after a key; None where it means nothing.

        Args:
            key: One of `MOVES`, or what gives an answer.
            answers: The score of each key that answers the item that is asked.
        """
        if key == "back":
            return self.back()
        if self.done:
            return None
        if key in answers:
            return self.settle(answers[key])
        if key == "skip":
            return self.settle(None)
        return self.forward() if key == "forward" and self.settled else None

    def settle(self, score: int | None) -> Session:
        """Answer the item, or skip it with None; then the next open item.

        Whoever went back to correct one answer is so brought to where they were.
        """
        return replace(self, entries={**self.entries, self.item: score})._at_open(self.at + 1)

    def back(self) -> Session:
        """The item before; at the first there is none."""
        return replace(self, at=max(0, self.at - 1))

    def forward(self) -> Session:
        """Leave a settled item as it is."""
        onward = replace(self, at=self.at + 1)
        return onward._at_open(0) if onward.done else onward

    def _at_open(self, start: int) -> Session:
        """At the first open item from `start` on, else before it, else done."""
        places = (*range(start, len(self.order)), *range(start))
        return replace(self, at=next((p for p in places if self.order[p] not in self.entries), len(self.order)))
