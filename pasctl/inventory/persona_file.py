"""Many respondents in a Parquet file, read as they are used: `--personas FILE.parquet[:SELECT]`.

One row is one respondent:

    id      E01   E02   N01
    100001  5     2     null
    100002  4     null  1

- one column `id`, `case` or `persona`: text or whole numbers, never null, each name once;
- a column for each item that was asked, named by the item's id: its scores as whole numbers or as floats, null (or NaN)
  where the answer is missing. An item without a column is missing for everybody.

There are no other columns, and their order is free. SELECT is that of `pasctl.inventory.spec`; rows count from 0. The
same respondents have the same digest whether they come from here, from JSON or CSV, and however the file is cut into
row groups. It is read in batches of rows, never whole; a row group may be of any size.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory.answer_sums import AnswerSums
from pasctl.inventory.items import IntArray, Inventory, listing
from pasctl.inventory.naming import label_of
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.persona_source import FORM, PersonaSource, runs_of, sweeps_of, together
from pasctl.inventory.personas import PersonaDigest, PersonaSet, Span
from pasctl.inventory.proof import Evidence, reads_keyed, stretches
from pasctl.inventory.selection import Part, selected_rows

HELD = 1024  # personas; a selection of so many is a PersonaSet in memory, like one from JSON
_MOST_SWEEPS = 64  # a selection that goes back in the file more often is gathered in memory


def read_persona_file(
    path: Path, parts: Sequence[Part], spec: str, inventory: Inventory, coding: str = "auto", note: Note = silent
) -> PersonaSet | PersonaFile:
    """The selected respondents of a Parquet file; more than `HELD` of them stay there.

    The coding is proven on rows of the whole file, whatever is selected, see `pasctl.inventory.proof`.

    Args:
        path: the file.
        parts: of a selection; all respondents without any.
        spec: as it was typed, for messages.
        inventory: what was asked.
        coding: "auto", "keyed" or "agreement", see `pasctl.inventory.spec.open_personas`.
        note: is told what cannot be proven, and what looks odd.

    Raises:
        InputError: no such column, item or selection, a name that is missing or not unique, a value that is no score of
            the item, or answers that are coded in another way.
        MissingError: there is no such file.
    """
    source = proven_source(path, inventory, coding, note)
    return of_rows(source, selected_rows(parts, spec, source.count, source.ids))


def proven_source(path: Path, inventory: Inventory, coding: str, note: Note, name: str = "") -> PersonaSource:
    """A Parquet file whose coding is proven on rows from all over it; `name` stands for it in messages.

    Raises:
        InputError: no such column or item, or answers that are coded in another way.
        MissingError: there is no such file.
    """
    source = PersonaSource.open(path, inventory)
    if source.count and reads_keyed(_evidence(source), inventory, coding, name or str(path), note):
        source = replace(source, keyed=True)
    return source


def _evidence(source: PersonaSource) -> Evidence:
    """What respondents from all over the file say about its coding, in one pass."""
    spans = stretches(source.count)
    ends = np.cumsum([stop - start for start, stop in spans]).tolist()
    sample = PersonaFile(source, tuple(spans), digest="")
    parts = [AnswerSums.of(part.agreements) for part in sample.parts(list(pairwise([0, *ends])))]
    return Evidence(spans, parts)


def of_rows(source: PersonaSource, rows: IntArray) -> PersonaSet | PersonaFile:
    """The respondents of these rows, in this order, after a look at each."""
    if not len(rows):
        raise InputError(f"{source.path}: no answers found", hint=FORM)
    runs = runs_of(rows)
    if len(rows) <= HELD or len(sweeps_of(runs)) > _MOST_SWEEPS:
        return source.gather(rows)
    digest, names = PersonaDigest("agreement"), array("q")
    for block in source.blocks(runs):
        digest.add(block)
        names.extend(map(hash, block.ids))
    _require_unique(source, runs, np.array(names))
    return PersonaFile(source, tuple(runs), digest.hexdigest())


@dataclass(frozen=True, eq=False)
class PersonaFile:
    """Respondents that stay in their Parquet file; see `Personas`. All of them have been checked once.

    Attributes:
        source: the file.
        runs: rows of the file, run by run in the order of the personas.
        digest: of all, as of a `PersonaSet`.
    """

    source: PersonaSource
    runs: tuple[Span, ...]
    digest: str
    coding: str = field(default="agreement", init=False)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self.runs)

    @property
    def label(self) -> str:
        """The file's name, for artifacts."""
        return label_of(self.source.path)

    @property
    def n_items(self) -> int:
        """Columns of the agreements: all items of the inventory."""
        return len(self.source.inventory)

    def parts(self, spans: Sequence[Span]) -> Iterator[PersonaSet]:
        """The personas of each span, in one pass over the file; spans ascend and do not overlap.

        Raises:
            InputError: the file is not the one that was checked any more.
        """
        blocks = self.source.blocks(self.runs)
        begin, held = 0, next(blocks)  # `held` has the personas from `begin` on
        for start, stop in spans:
            pieces = []
            while True:
                first, last = max(start - begin, 0), min(stop - begin, len(held))
                if first < last:
                    pieces.append(held.subset(range(first, last)))
                if stop <= begin + len(held):
                    break
                begin, held = begin + len(held), next(blocks)
            yield together(pieces)

    def without(self, places: IntArray) -> PersonaSet | PersonaFile:
        """All but the personas at these places."""
        rows = np.concatenate([np.arange(start, stop) for start, stop in self.runs])
        return of_rows(self.source, np.delete(rows, places))

    def whole(self) -> PersonaSet:
        """All of them, in memory."""
        return together(list(self.source.blocks(self.runs)))


def _require_unique(source: PersonaSource, runs: Sequence[Span], hashes: NDArray[np.int64]) -> None:
    """Refuse names that occur twice. Eight bytes of each tell whether any may; only then the names are compared."""
    values, times = np.unique(hashes, return_counts=True)
    suspicious = set(values[times > 1].tolist())
    if not suspicious:
        return
    met = Counter(name for block in source.blocks(runs) for name in block.ids if hash(name) in suspicious)
    twice = sorted(name for name, count in met.items() if count > 1)
    if twice:
        raise InputError(f"{source.path}: persona names must be unique, found more than once: {listing(twice)}")
