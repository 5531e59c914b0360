"""The split of items that a file does not split: half to fit on, half to report on, by trait and key."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from pasctl.inventory.item import Split


@dataclass(frozen=True)
class Placed:
    """What the split looks at: an item's id, trait and key, and the split that the file gives."""

    id: str
    trait: str
    key: int
    split: Split | None


def settled_split(items: Iterable[Placed], seed: int) -> dict[str, Split]:
    """The split of every item by its id.

    Within a trait and a key the items without a split are drawn by the seed and their ids alone, so the order of the
    file's rows changes nothing. A half too many goes to the side that has less of the trait, then less of all.
    """
    split: dict[str, Split] = {}
    open_items: defaultdict[tuple[str, int], list[Placed]] = defaultdict(list)
    counts: Counter[tuple[str, str]] = Counter()
    for item in items:
        if item.split is None:
            open_items[item.trait, item.key].append(item)
        else:
            split[item.id] = item.split
            counts[item.trait, item.split] += 1
            counts["", item.split] += 1
    for (trait, _), group in sorted(open_items.items(), key=lambda pair: (pair[0][0], -pair[0][1])):
        group.sort(key=lambda item: hashlib.sha256(f"{seed}:{item.id}".encode()).digest())
        fit_first = (counts[trait, "fit"], counts["", "fit"]) <= (counts[trait, "report"], counts["", "report"])
        sides: tuple[Split, Split] = ("fit", "report") if fit_first else ("report", "fit")
        for place, item in enumerate(group):
            side = sides[place % 2]
            split[item.id] = side
            counts[trait, side] += 1
            counts["", side] += 1
    return split
