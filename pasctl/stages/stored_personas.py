"""Personas in artifacts: one file for a set, or shards for a large one, and reading some of them without the rest.

Up to `SHARD_PERSONAS` personas are `personas.json`, beside one file for each thing that is known of them, such as
`scores.safetensors`. More are cut into shards named by their rows, `personas/0000000-0000977.parquet` beside
`scores/0000000-0000977.safetensors`, and `personas.json` tells how many there are. How a set is cut depends on its size
alone, so that the same key has the same files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory import Personas, PersonaSet, Span, set_of_table
from pasctl.stages.runner import Artifact

SHARD_PERSONAS = 1024
"""A shard is what a killed run may lose, and what is in memory. With 120 items in both orders and 32 heads of 128 a
layer it takes 0.35 GB while probes are trained and 0.2 GB while directions are fitted."""
SAMPLE = 1000
"""Personas of a large set that a page is drawn from."""
_SAMPLED_SHARDS = 8
PERSONAS = "personas.json"
_ROWS = re.compile(r"/(\d{7})-(\d{7})\.")


def spans_of(personas: int) -> list[Span]:
    """The rows of each shard: as few shards as can be, of nearly the same size; one for a set that is not cut."""
    shards = -(-personas // SHARD_PERSONAS)
    cuts = [personas * shard // shards for shard in range(shards + 1)]
    return list(pairwise(cuts))


def tiles_of(span: Span, most: int) -> list[range]:
    """The places within a shard that are worked on at once: `most` or fewer, of nearly the same number.

    Raises:
        InputError: `most` is below 1.
    """
    if most < 1:
        raise InputError(f"tile: expected at least 1 persona, found {most}")
    rows = span[1] - span[0]
    tiles = -(-rows // most)
    return [range(rows * tile // tiles, rows * (tile + 1) // tiles) for tile in range(tiles)]


def shard_name(what: str, span: Span, *, cut: bool) -> str:
    """The file of some personas' tensors; a set that is not cut has one without rows in its name."""
    return f"{what}/{span[0]:07d}-{span[1]:07d}.safetensors" if cut else f"{what}.safetensors"


def personas_name(span: Span) -> str:
    """The file of some personas of a set that is cut."""
    return f"personas/{span[0]:07d}-{span[1]:07d}.parquet"


def told_personas(personas: Personas) -> dict[str, Any]:
    """What `personas.json` says: all of a set, or of one that is cut how many there are."""
    spans = spans_of(len(personas))
    if len(spans) > 1:
        return {"label": personas.label, "coding": personas.coding, "count": len(personas)}
    return next(iter(personas.parts(spans))).to_json()


@dataclass(frozen=True, eq=False)
class StoredPersonas:
    """The personas of an artifact, read as they are wanted.

    Attributes:
        artifact: probes or directions.
        told: its `personas.json`.
    """

    artifact: Artifact
    told: Mapping[str, Any]

    @classmethod
    def of(cls, artifact: Artifact) -> StoredPersonas:
        """Those of an artifact.

        Raises:
            IntegrityError: a file is not what its digest says.
        """
        return cls(artifact, artifact.read_json(PERSONAS))

    @property
    def cut(self) -> bool:
        """Whether they are in shards."""
        return "ids" not in self.told

    def __len__(self) -> int:
        return int(self.told["count"]) if self.cut else len(self.told["ids"])

    @cached_property
    def spans(self) -> list[Span]:
        """The rows of each shard."""
        return _spans(self.artifact, "personas") if self.cut else [(0, len(self))]

    @cached_property
    def _set(self) -> PersonaSet:
        """All of them, where they are not cut."""
        return PersonaSet.from_json(dict(self.told))

    def shard(self, span: Span) -> PersonaSet:
        """The personas of one shard."""
        if not self.cut:
            return self._set
        return set_of_table(self.artifact.read_table(personas_name(span)), self.told["label"], self.told["coding"])

    def rows(self, rows: NDArray[np.int64] | None) -> PersonaSet:
        """The personas at these rows, in this order; None is all of them."""
        if not self.cut:
            return self._set if rows is None else self._set.subset(rows)
        wanted = np.arange(len(self)) if rows is None else rows
        ids: list[str] = [""] * len(wanted)
        agreements: NDArray[np.float64] | None = None
        for span, here in _where(self.spans, wanted):
            shard = self.shard(span)
            if agreements is None:
                agreements = np.empty((len(wanted), shard.n_items))
            agreements[here] = shard.agreements[wanted[here] - span[0]]
            for place in here:
                ids[place] = shard.ids[wanted[place] - span[0]]
        if agreements is None:
            raise InputError(f"{self.artifact.name}: no persona is asked for")
        return PersonaSet(self.told["label"], tuple(ids), agreements, self.told["coding"])

    def ids(self) -> Iterator[str]:
        """Their names, in order."""
        for span in self.spans:
            yield from self._ids(span)

    def sample(self) -> NDArray[np.int64] | None:
        """Rows that stand for all personas of a set that is cut, from a few shards evenly apart; None is all rows."""
        if not self.cut:
            return None
        shards = np.unique(np.linspace(0, len(self.spans) - 1, _SAMPLED_SHARDS).round().astype(np.int64))
        each = -(-SAMPLE // len(shards))
        rows = [
            np.linspace(start, stop - 1, min(each, stop - start)) for start, stop in (self.spans[n] for n in shards)
        ]
        return np.concatenate(rows).round().astype(np.int64)

    def first_ids(self, most: int = 5) -> list[str]:
        """The first few names, for messages."""
        return list(islice(self.ids(), most))

    def find(self, name: str) -> int | None:
        """The row of the persona of that name."""
        return next((row for row, each in enumerate(self.ids()) if each == name), None)

    def _ids(self, span: Span) -> Sequence[str]:
        """The names of one shard; no answers are read."""
        if not self.cut:
            return self._set.ids
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.artifact.open_path(personas_name(span))) as file:
            names: list[str] = file.read(columns=[file.schema_arrow.names[0]]).column(0).to_pylist()
        return names


def read_rows(
    artifact: Artifact, what: str, rows: NDArray[np.int64] | None, only: Sequence[str] | None = None
) -> dict[str, NDArray[Any]]:
    """Tensors of the personas at these rows, in this order, from whichever shards have them; None is all.

    Args:
        artifact: probes or directions.
        what: their file or folder: "scores", "directions" or "shuffled".
        rows: of personas; None is all of them.
        only: names of tensors; None is all of them.

    Raises:
        IntegrityError: a file is not what its digest says.
    """
    if f"{what}.safetensors" in artifact.files():
        whole: dict[str, NDArray[Any]] = artifact.read_arrays(f"{what}.safetensors", only)
        return whole if rows is None else {name: values[rows] for name, values in whole.items()}
    spans = _spans(artifact, what)
    wanted = np.arange(spans[-1][1]) if rows is None else rows
    found: dict[str, NDArray[Any]] = {}
    for span, here in _where(spans, wanted):
        for name, values in artifact.read_arrays(shard_name(what, span, cut=True), only).items():
            kept = found.setdefault(name, np.empty((len(wanted), *values.shape[1:]), values.dtype))
            kept[here] = values[wanted[here] - span[0]]
    return found


def _where(spans: Sequence[Span], wanted: NDArray[np.int64]) -> Iterator[tuple[Span, NDArray[np.int64]]]:
    """The shards that have wanted rows, and at which places of `wanted` these are."""
    for start, stop in spans:
        here = np.flatnonzero((wanted >= start) & (wanted < stop))
        if len(here):
            yield (start, stop), here


def _spans(artifact: Artifact, what: str) -> list[Span]:
    """The rows in the names of an artifact's shards."""
    found = (_ROWS.search(name) for name in artifact.files(f"{what}/"))
    return [(int(match[1]), int(match[2])) for match in found if match]
