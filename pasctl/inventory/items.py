"""Items and inventories: what is asked, of which trait, and in which direction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from string import ascii_uppercase
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.item import Item
from pasctl.inventory.norms import NO_NORMS, PublishedNorms
from pasctl.inventory.scale import Scale
from pasctl.inventory.traits import Trait
from pasctl.inventory.usual import USUAL_TRAITS
from pasctl.inventory.wording import ENGLISH, Wording

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
OptionLabels = Literal["letters", "numbers", "text"]
_FOR_PEOPLE = ("traits", "norms")
OPTION_LABELS: tuple[str, ...] = get_args(OptionLabels)


@dataclass(frozen=True)
class Inventory:
    """A questionnaire: items, their answer scale, and how they are put to a model.

    Attributes:
        name: "builtin", "papi", ...
        items: In the order that every array over items follows.
        labels: What the options are called, from the highest score down.
        scores: What they score; without any K, .., 2, 1. See `pasctl.inventory.scale.Scale`.
        known_traits: The traits of the items; without any they are as the built-in inventory has them, or else their
            codes alone, in the order of the items.
        wording: The texts that a model is shown around the items.
        option_labels: How a model names an option: "letters" (A, B, ..), "numbers" (their scores), or "text" (what they
            are called).
        norms: What people score on the traits; may be empty.
    """

    name: str
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    scores: tuple[int, ...] = ()
    known_traits: tuple[Trait, ...] = ()
    wording: Wording = ENGLISH
    option_labels: OptionLabels = "letters"
    norms: PublishedNorms = NO_NORMS

    def __post_init__(self) -> None:
        """Refuses an empty inventory, an item id used twice, a scale that is none, and a trait that is not known."""
        if not self.items:
            raise InputError(f"inventory {self.name}: at least one item is expected, found none")
        ids = [item.id for item in self.items]
        twice = sorted({i for i in ids if ids.count(i) > 1}) if len(set(ids)) < len(ids) else []
        if twice:
            raise InputError(f"inventory {self.name}: item ids must be unique, found more than once: {listing(twice)}")
        try:
            object.__setattr__(self, "scores", self.scale.scores)
        except InputError as error:
            raise InputError(f"inventory {self.name}: {error.message}") from error
        object.__setattr__(self, "known_traits", self.known_traits or _traits_of(self.items))
        codes = [trait.code for trait in self.known_traits]
        if len(set(codes)) < len(codes):
            raise InputError(f"inventory {self.name}: trait codes must be unique, found {', '.join(codes)}")
        unknown = next((item for item in self.items if item.trait not in codes), None)
        if unknown is not None:
            raise InputError(
                f"item {unknown.id}: trait is one of {', '.join(codes)}, found {unknown.trait!r}",
                hint="name the trait in the inventory's list of traits, or leave that list out",
            )
        self._require_option_labels()

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical JSON of what a model is asked; it enters every key that depends on a wording.

        The names of traits and norms are for people and stay out.
        """
        return canonical_digest({name: value for name, value in self.to_json().items() if name not in _FOR_PEOPLE})

    @cached_property
    def people_digest(self) -> str:
        """As `digest`, of what people are asked: how a model names the options is left out."""
        return self.digest if self.option_labels == "letters" else replace(self, option_labels="letters").digest

    @cached_property
    def position(self) -> dict[str, int]:
        """Column of each item id."""
        return {item.id: column for column, item in enumerate(self.items)}

    @property
    def traits(self) -> list[str]:
        """Trait code of each item, in item order."""
        return [item.trait for item in self.items]

    @cached_property
    def trait_codes(self) -> list[str]:
        """The codes of the traits that have items, each once, in the order in which they are named."""
        present = set(self.traits)
        return [trait.code for trait in self.known_traits if trait.code in present]

    @property
    def keys(self) -> IntArray:
        """Key of each item, +1 or -1, int64 [I]."""
        return np.array([item.key for item in self.items], dtype=np.int64)

    @cached_property
    def scale(self) -> Scale:
        """The options of an item that has none of its own."""
        return Scale(self.labels, self.scores)

    def scale_of(self, item: Item) -> Scale:
        """The options of an item."""
        return item.scale or self.scale

    @cached_property
    def scales(self) -> tuple[Scale, ...]:
        """The options of each item."""
        return tuple(map(self.scale_of, self.items))

    @property
    def uniform(self) -> bool:
        """Whether all items are answered on the inventory's scale."""
        return all(item.scale is None for item in self.items)

    @cached_property
    def low(self) -> FloatArray:
        """The lowest score of each item [I]."""
        return np.array([scale.low for scale in self.scales], dtype=np.float64)

    @cached_property
    def high(self) -> FloatArray:
        """The highest score of each item [I]."""
        return np.array([scale.high for scale in self.scales], dtype=np.float64)

    @property
    def middle(self) -> FloatArray:
        """Half-way between them [I]; an answer above it agrees."""
        return (self.low + self.high) / 2

    @property
    def points(self) -> IntArray:
        """How many options each item has [I]."""
        return np.array([len(scale) for scale in self.scales], dtype=np.int64)

    @cached_property
    def level_scores(self) -> FloatArray:
        """Scores of each item's options from the lowest up [I, K], K of the item with most; NaN where it has less."""
        levels = np.full((len(self), int(self.points.max())), np.nan)
        for row, scale in zip(levels, self.scales, strict=True):
            row[: len(scale)] = scale.ascending
        return levels

    @property
    def desirable(self) -> FloatArray:
        """Whether people would rather be high (+1) or low (-1) on each item's trait [I]; 0 where neither."""
        of = {trait.code: float(trait.desirable) for trait in self.known_traits}
        return np.array([of[item.trait] for item in self.items])

    @property
    def weights(self) -> FloatArray:
        """What each item counts in its trait's score [I]."""
        return np.array([item.weight for item in self.items], dtype=np.float64)

    def keyed(self, answers: FloatArray, columns: IntArray | slice = slice(None)) -> FloatArray:
        """Keyed scores from agreements [..., N] with the items at `columns`, and back: reversed where the key is -1."""
        span = (self.low + self.high)[columns]
        scores: FloatArray = np.where(self.keys[columns] > 0, answers, span - answers)
        return scores

    def on_one_scale(self, scores: FloatArray) -> FloatArray:
        """Scores [..., I] of items with options of their own as if they were on the inventory's scale."""
        if self.uniform:
            return scores
        share = (scores - self.low) / (self.high - self.low)
        return self.scale.low + share * (self.scale.high - self.scale.low)

    def on_own_scales(self, scores: FloatArray, columns: IntArray) -> FloatArray:
        """Inverse of `on_one_scale`, for scores [..., N] of the items at `columns`."""
        if self.uniform:
            return scores
        low, high = self.low[columns], self.high[columns]
        return low + (scores - self.scale.low) / (self.scale.high - self.scale.low) * (high - low)

    def indices(self, split: str) -> IntArray:
        """Columns of the items of a split, ascending, int64."""
        if split not in ("fit", "report", "all"):
            raise InputError(f"split is 'fit', 'report' or 'all', found {split!r}")
        return np.array([c for c, item in enumerate(self.items) if split in ("all", item.split)], dtype=np.int64)

    def option_names(self, item: Item, order: Sequence[int]) -> tuple[str, ...]:
        """What a model answers for each option of an item, listed in this order of levels (1 is the lowest)."""
        if self.option_labels == "letters":
            return tuple(ascii_uppercase[: len(order)])
        if self.option_labels == "text":
            return tuple(self.scale_of(item).labels[-level] for level in order)
        return tuple(f"{self.scale_of(item).ascending[level - 1]:g}" for level in order)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` restores an equal inventory. What is as by default is left out."""
        document: dict[str, Any] = {
            "name": self.name,
            "labels": list(self.labels),
            "items": [item.to_json() for item in self.items],
        }
        if not self.scale.counts_to_one:
            document["scores"] = list(self.scores)
        if self.known_traits != _traits_of(self.items):
            document["traits"] = [trait.to_json() for trait in self.known_traits]
        if self.wording != ENGLISH:
            document["wording"] = self.wording.to_json()
        if self.option_labels != "letters":
            document["option_labels"] = self.option_labels
        if self.norms:
            document["norms"] = self.norms.to_json()
        return document

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Inventory:
        """Inverse of `to_json`; raises InputError when a field is missing or unknown."""
        try:
            return cls(
                name=document["name"],
                items=tuple(Item.from_json(row) for row in document["items"]),
                labels=tuple(document["labels"]),
                scores=tuple(document.get("scores", ())),
                known_traits=tuple(Trait.from_json(each) for each in document.get("traits", ())),
                wording=Wording.from_json(document["wording"]) if "wording" in document else ENGLISH,
                option_labels=document.get("option_labels", "letters"),
                norms=PublishedNorms.from_json(document["norms"]) if "norms" in document else NO_NORMS,
            )
        except (KeyError, TypeError) as error:
            raise InputError(f"not an inventory: {error}") from error

    def _require_option_labels(self) -> None:
        if self.option_labels not in OPTION_LABELS:
            raise InputError(
                f"inventory {self.name}: option labels are {listed(OPTION_LABELS)}, found {self.option_labels!r}"
            )
        if self.option_labels != "numbers":
            return
        odd = next((scale for scale in self.scales if len(set(scale.scores)) < len(scale)), None)
        if odd is not None:
            raise InputError(
                f"inventory {self.name}: options that score the same have no number of their own, found {odd.told}",
                hint="leave option labels at letters, or take text",
            )


def _traits_of(items: Sequence[Item]) -> tuple[Trait, ...]:
    """The traits of items that nobody described."""
    codes = dict.fromkeys(item.trait for item in items)
    if set(codes) <= {trait.code for trait in USUAL_TRAITS}:
        return USUAL_TRAITS
    return tuple(Trait(code) for code in codes)


def canonical_digest(document: Any) -> str:
    """sha256 hex of canonical JSON: sorted keys, no spaces, NaN refused."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def listed(names: Sequence[str]) -> str:
    """Names to choose from: "a, b or c"."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def listing(names: Sequence[str], most: int = 5) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
