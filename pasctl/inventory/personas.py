"""Personas: the steering targets, as agreements with the items of an inventory."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pasctl.errors import InputError
from pasctl.inventory.items import FloatArray, IntArray, Inventory, listing

CODINGS = ("agreement", "as-published")
_LABEL = re.compile(r"[a-z0-9][a-z0-9._+-]*")
_SIGNED = re.compile(r"[^\W_][\w. -]*[+-](?:,\s*[^\W_][\w. -]*[+-])*")

Span = tuple[int, int]
"""Rows start .. stop - 1 of some personas."""


class Personas(Protocol):
    """Personas of whom not all need be in memory: a `PersonaSet`, or a file that is read as it is used."""

    @property
    def label(self) -> str:
        """Short name for artifacts."""

    @property
    def coding(self) -> str:
        """As of a `PersonaSet`."""

    @property
    def n_items(self) -> int:
        """Columns of the agreements."""

    @property
    def digest(self) -> str:
        """As of a `PersonaSet` of the same personas."""

    def __len__(self) -> int:
        """How many personas there are."""

    def parts(self, spans: Sequence[Span]) -> Iterator[PersonaSet]:
        """The personas of each span; spans ascend and do not overlap."""

    def without(self, places: IntArray) -> Personas:
        """All but the personas at these places."""


@dataclass(frozen=True, eq=False)
class PersonaSet:
    """Personas over one inventory.

    Attributes:
        label: Short name for artifacts: "papi", "builtin", "e+", ...; lower case, matches `[a-z0-9][a-z0-9._+-]*`.
        ids: Unique names, one per row.
        agreements: float64 [P, I], columns in inventory order, each on its item's scale, NaN where missing; read-only.
        coding: "agreement", or "as-published" when keyed scores were read as if they were agreements (for comparison
            with published numbers only; marks every output).
    """

    label: str
    ids: tuple[str, ...]
    agreements: npt.NDArray[np.float64]
    coding: str = "agreement"

    def __post_init__(self) -> None:
        """Refuses a shape, an id, a value or a label that would go wrong later; keeps a read-only copy."""
        values = np.array(self.agreements, dtype=np.float64)
        if values.ndim != 2 or len(values) != len(self.ids) or not self.ids:
            raise InputError(
                f"agreements are [personas, items] with one id a row, found {values.shape}, {self.ids[:5]}"
            )
        if len(set(self.ids)) < len(self.ids):
            twice = sorted(name for name, count in Counter(self.ids).items() if count > 1)
            raise InputError(f"persona names must be unique, found more than once: {listing(twice)}")
        if (half := next((name for name in self.ids if not _is_unicode(name)), None)) is not None:
            raise InputError(f"persona {half!r}: a name is Unicode text, found half a surrogate pair in it")
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            raise InputError(f"persona {self.ids[row]}: agreements are finite, found {values[row, column]}")
        if not _LABEL.fullmatch(self.label):
            raise InputError(f"a persona label is lower-case letters, digits and ._+-, found {self.label!r}")
        if self.coding not in CODINGS:
            raise InputError(f"coding is one of {', '.join(CODINGS)}, found {self.coding!r}")
        values.flags.writeable = False
        object.__setattr__(self, "agreements", values)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def digest(self) -> str:
        """sha256 over ids, agreements and coding. The label is only a name and stays out."""
        digest = PersonaDigest(self.coding)
        digest.add(self)
        return digest.hexdigest()

    @property
    def n_items(self) -> int:
        """Columns of the agreements."""
        return int(self.agreements.shape[1])

    def parts(self, spans: Sequence[Span]) -> Iterator[PersonaSet]:
        """The personas of each span of rows."""
        return (self.subset(range(start, stop)) for start, stop in spans)

    def without(self, places: IntArray) -> PersonaSet:
        """All but the personas at these places."""
        return self.subset(np.delete(np.arange(len(self)), places))

    def subset(self, indices: Sequence[int] | IntArray) -> PersonaSet:
        """The personas at these rows, in this order."""
        rows = [int(i) for i in indices]
        return PersonaSet(self.label, tuple(self.ids[i] for i in rows), self.agreements[rows], self.coding)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, missing answers as null; `from_json` restores the same digest."""
        rows = [[_plain(v) for v in row] for row in self.agreements.tolist()]
        return {"label": self.label, "ids": list(self.ids), "agreements": rows, "coding": self.coding}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> PersonaSet:
        """Inverse of `to_json`."""
        try:
            rows = [[np.nan if v is None else float(v) for v in row] for row in document["agreements"]]
            return cls(document["label"], tuple(document["ids"]), np.array(rows, dtype=np.float64), document["coding"])
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"not a set of personas: {error}") from error


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class PersonaDigest:
    """The digest of personas that come in parts; how they are cut does not change it.

    It is the sha256 of the canonical JSON of {agreements, coding, ids}, whose names stand in this order: the agreements
    are hashed as they come, and of the ids only the text is kept.
    """

    def __init__(self, coding: str) -> None:
        self._sha = hashlib.sha256(b'{"agreements":[')
        self._coding = coding
        self._ids = bytearray()

    def add(self, part: PersonaSet) -> None:
        """Goes on with the next personas."""
        values = part.agreements
        if np.array_equal(values, np.rint(values), equal_nan=True):
            whole = np.nan_to_num(values).astype(np.int64).astype(object)
            plain = np.where(np.isnan(values), np.array(None, dtype=object), whole).tolist()
        else:
            plain = [[_plain(value) for value in row] for row in values.tolist()]
        comma = b"," if self._ids else b""
        self._sha.update(comma + _inner_json(plain))
        self._ids += comma + _inner_json(list(part.ids))

    def hexdigest(self) -> str:
        """Of all personas so far, 64 hex digits."""
        whole = self._sha.copy()
        whole.update(b'],"coding":' + json.dumps(self._coding).encode() + b',"ids":[' + self._ids + b"]}")
        return whole.hexdigest()


def _inner_json(values: list[Any]) -> bytes:
    """Canonical JSON of a list without its brackets, as in `canonical_digest`."""
    return json.dumps(values, separators=(",", ":"), allow_nan=False, ensure_ascii=False)[1:-1].encode()


def _plain(value: float) -> float | int | None:
    """A JSON number with one spelling per value: 4, not 4.0."""
    if np.isnan(value):
        return None
    return int(value) if value.is_integer() else value


def signs(agreements: npt.NDArray[np.float64], middle: npt.NDArray[np.float64] | float) -> npt.NDArray[np.int8]:
    """sign(g - middle) of agreements [P, N], int8: +1 agrees, -1 disagrees, 0 for the middle or no answer.

    Args:
        agreements: of N items.
        middle: of their scales [N], as `Inventory.middle` has it, or of the one that they share.
    """
    return np.nan_to_num(np.sign(agreements - middle), nan=0.0).astype(np.int8)


def require_on_scale(personas: PersonaSet, inventory: Inventory) -> None:
    """Raises InputError naming an answer that lies beyond its item's scale."""
    values = personas.agreements
    wrong = (values < inventory.low) | (values > inventory.high)  # false where missing
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise InputError(
            f"persona {personas.ids[row]}, item {inventory.items[column].id}: agreements are "
            f"{inventory.scales[column].told}, found {values[row, column]:g}"
        )


def require_usable(personas: PersonaSet, columns: IntArray, inventory: Inventory) -> None:
    """Raises InputError naming the personas that neither agree nor disagree with any item of `columns`."""
    opinions = np.count_nonzero(signs(personas.agreements[:, columns], inventory.middle[columns]), axis=1)
    names = [name for name, count in zip(personas.ids, opinions, strict=True) if not count]
    if names:
        raise InputError(
            f"no usable answer from {listing(names)}: all {len(columns)} items are answered in the middle or missing",
            hint="answer more items of the fit split, or select other personas",
        )


def is_pole_spec(spec: str, inventory: Inventory) -> bool:
    """Whether this names trait poles of the inventory, or has their form: `E+`, `E+,N-`, `extraverted`."""
    return _SIGNED.fullmatch(spec) is not None or all(pole_of(word, inventory) for word in spec.split(","))


def trait_poles(spec: str, inventory: Inventory) -> PersonaSet:
    """One persona per trait pole named in `spec`: "E+,N-" gives the two personas "E+" and "N-".

    `E+` agrees fully (the highest score) with the items keyed +1 of E and disagrees fully with those keyed -1; `E-` the
    other way round. Items of other traits are missing. Codes, names and words of the traits are understood.
    """
    names = []
    for word in spec.split(","):
        name = pole_of(word, inventory)
        if name is None:
            known = ", ".join(f"{trait.code}+, {trait.code}-" for trait in inventory.known_traits)
            raise InputError(f"no trait pole {word.strip()!r} in inventory {inventory.name}", hint=f"poles are {known}")
        names.append(name)
    traits = np.array(inventory.traits)
    rows = []
    for name in names:
        trait, sign = name[:-1], 1.0 if name.endswith("+") else -1.0
        if trait not in inventory.traits:
            raise InputError(f"inventory {inventory.name} has no items of trait {trait}, so {name} has no answers")
        rows.append(weighted_answers(np.where(traits == trait, sign, 0.0), inventory))
    return PersonaSet(label=safe_label("-".join(names)), ids=tuple(names), agreements=np.array(rows))


def weighted_answers(weights: FloatArray, inventory: Inventory) -> FloatArray:
    """Agreements [..., I] of weights of the items' traits [..., I]: fully for 1, cut to the scale, missing for 0."""
    half = (inventory.high - inventory.low) / 2
    answers = np.clip(inventory.middle + half * weights * inventory.keys, inventory.low, inventory.high)
    agreements: FloatArray = np.where(weights != 0, answers, np.nan)
    return agreements


def pole_of(word: str, inventory: Inventory) -> str | None:
    """The pole that a word means, as the code of its trait and a sign, or None."""
    return next(filter(None, (trait.pole(word) for trait in inventory.known_traits)), None)


def safe_label(text: str) -> str:
    """A text as an artifact label: lower case, other characters than letters, digits and ._+- become -.

    Where that leaves nothing to tell it by, as of words in another script, its digest stands in.
    """
    plain = text.lower()
    label = re.sub(r"[^a-z0-9._+-]+", "-", plain).lstrip("-._+")
    if label.strip("+-._") and not re.search(r"[^\W\d_a-z]", plain):
        return label
    return f"{label.strip('-._+')}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")
