"""Results of several models -> one table and one figure, where they are of the same persons and items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.errors import InputError
from pasctl.inventory import PersonaSet
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.runner import Artifact, Store, open_store
from pasctl.version import __version__

if TYPE_CHECKING:
    from pasctl.report.page import Page
    from pasctl.report.sections.comparison import Line

KIND = "results"
_MEASURES = ("composite", "composite_interval", "item_correlation")


@dataclass(frozen=True)
class CompareOutcome:
    """A comparison.

    Attributes:
        artifacts: names, in the order asked for.
        names: what each column is called: its model, or the artifact's whole name where a model comes twice.
        personas: how many.
        items: how many.
        lines: conditions, then baselines; each with every model's row of metrics.
        notes: what the results say that a reader must see.
        path: the page, None if none was written.
        figures: the figure's own files.
    """

    artifacts: tuple[str, ...]
    names: tuple[str, ...]
    personas: int
    items: int
    lines: tuple[Line, ...]
    notes: tuple[str, ...]
    path: Path | None
    figures: tuple[Path, ...]

    def to_json(self) -> dict[str, Any]:
        """The comparison as one JSON document."""
        from pasctl.report.sections.labels import setting

        return {
            "artifacts": list(self.artifacts),
            "names": list(self.names),
            "personas": self.personas,
            "items": self.items,
            "rows": [
                {
                    "condition": line.first["condition"],
                    "setting": setting(line.first),
                    "results": [row and {name: row.get(name) for name in _MEASURES} for row in line.results],
                }
                for line in self.lines
            ],
            "notes": list(self.notes),
            "path": None if self.path is None else str(self.path),
            "figures": [str(each) for each in self.figures],
        }


def compare(
    refs: Sequence[str | Artifact],
    output: Path | str | None = None,
    *,
    svg: Path | str | None = None,
    png: Path | str | None = None,
    pdf: Path | str | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
) -> CompareOutcome:
    """Put results of several models side by side; no model is loaded.

    Args:
        refs: results, two or more; one that is named twice counts once.
        output: an HTML file for the table and a figure; None writes none.
        svg: a folder that also gets the figure as a file of its own; it is made if its parent is there.
        png: the same for a PNG file in light colours.
        pdf: the same for a PDF file.
        store: the store or its folder.
        reporter: receives notes.

    Raises:
        InputError: fewer than two results, something else, results of other persons, items or inventories, or a page
            that cannot be written there.
        MissingError: a reference matches nothing.
        IntegrityError: a file of an artifact is damaged.
    """
    from pasctl.report.places import Places

    places = Places.of(output, svg=svg, png=png, pdf=pdf)
    places.require()
    opened, reporter = open_store(store), reporter or Silent()
    artifacts = list(dict.fromkeys(_results(each, opened) for each in refs))
    if len(artifacts) < 2:
        found = f"only {artifacts[0].name}" if artifacts else "none"
        raise InputError(f"a comparison needs two results or more, found {found}")
    asked = []
    for artifact in artifacts:
        reporter.note(f"reading {artifact.name}")
        asked.append(_Asked.read(artifact))
    for other in asked[1:]:
        asked[0].require_same(other)

    from pasctl.report.sections.comparison import merge

    metrics = [artifact.read_json("metrics.json") for artifact in artifacts]
    lines = merge([each["conditions"] for each in metrics])
    names, notes = _names(artifacts), _notes(_names(artifacts), metrics)
    page = _page(artifacts, names, lines, notes)
    return CompareOutcome(
        tuple(artifact.name for artifact in artifacts),
        names,
        len(asked[0].personas),
        len(asked[0].items),
        tuple(lines),
        notes,
        places.page,
        places.write(page),
    )


@dataclass(frozen=True, eq=False)
class _Asked:
    """Who and what results are about.

    Attributes:
        name: of the artifact.
        personas: the persons with their own answers, to the items that were fitted on as well.
        items: of the reported items, by id: trait, facet, key.
        inventory: digest; None in results of earlier versions.
    """

    name: str
    personas: PersonaSet
    items: Mapping[str, tuple[str, str, int]]
    inventory: str | None

    @classmethod
    def read(cls, artifact: Artifact) -> _Asked:
        """From the units and the rows of results."""
        rows = artifact.read_table("rows.parquet").select(["item", "trait", "facet", "key"])
        columns = [rows.column(name).to_pylist() for name in rows.column_names]
        items = {item: (trait, facet, key) for item, trait, facet, key in zip(*columns, strict=True)}
        units = artifact.read_json("units.json")
        return cls(artifact.name, PersonaSet.from_json(units["personas"]), items, units.get("inventory"))

    def require_same(self, other: _Asked) -> None:
        """Refuse results that do not compare.

        Raises:
            InputError: names both artifacts and what differs.
        """
        told = self._inventories(other) or self._items(other) or self._personas(other)
        if told:
            raise InputError(
                f"{self.name} and {other.name} do not compare: {told}",
                hint="evaluate both on the same personas and items",
            )

    def _inventories(self, other: _Asked) -> str:
        sizes = [each.personas.agreements.shape[1] for each in (self, other)]
        if sizes[0] != sizes[1]:
            return f"different inventories, of {sizes[0]} and {sizes[1]} items"
        changed = [item for item in self.items if item in other.items and self.items[item] != other.items[item]]
        if changed or not self.items.keys() & other.items.keys():
            return f"different inventories, {f'item {changed[0]} is not the same' if changed else 'no item in common'}"
        digests = (self.inventory, other.inventory)
        return "different inventories" if None not in digests and digests[0] != digests[1] else ""

    def _items(self, other: _Asked) -> str:
        return _apart("items", self.items, other.items)

    def _personas(self, other: _Asked) -> str:
        first, second = self.personas, other.personas
        apart = _apart("personas", first.ids, second.ids)
        if apart:
            return apart
        if first.coding != second.coding:
            return f"answers were read in different ways, as {first.coding} and as {second.coding}"
        place = {name: row for row, name in enumerate(second.ids)}
        aligned = second.agreements[[place[name] for name in first.ids]]
        same = (first.agreements == aligned) | (np.isnan(first.agreements) & np.isnan(aligned))
        if not same.all():
            return f"different personas, {first.ids[int(np.argmin(same.all(axis=1)))]} does not answer alike in both"
        return ""


def _apart(what: str, first: Iterable[str], second: Iterable[str]) -> str:
    """How two sets of names differ, "" if they do not."""
    ours, theirs = list(first), list(second)
    here = [name for name in ours if name not in set(theirs)]
    there = [name for name in theirs if name not in set(ours)]
    if not here and not there:
        return ""
    where = f"{here[0]} is only in the first" if here else f"{there[0]} is only in the second"
    return f"different {what}, {len(ours)} and {len(theirs)}, {where}"


def _results(ref: str | Artifact, store: Store) -> Artifact:
    if isinstance(ref, str):
        return store.resolve(ref, KIND)
    if ref.kind != KIND:
        raise InputError(f"{ref.name} cannot be compared: expected {KIND}, found {ref.kind}")
    return ref


def _names(artifacts: Sequence[Artifact]) -> tuple[str, ...]:
    models = [artifact.model for artifact in artifacts]
    if len(set(models)) == len(models):
        return tuple(models)
    return tuple(artifact.name.removeprefix(f"{KIND}/") for artifact in artifacts)


def _notes(names: Sequence[str], metrics: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """What results say that a reader must see: once if all say it, else with the model's name."""
    said: dict[str, list[str]] = {}
    for name, each in zip(names, metrics, strict=True):
        for note in each.get("notes") or ():
            said.setdefault(note, []).append(name)
        if each.get("coding", "agreement") != "agreement":
            read = "keyed scores were read as agreement, so that these errors do not measure personality"
            said.setdefault(f"Coding {each['coding']}: {read}.", []).append(name)
    return tuple(note if len(who) == len(names) else f"{', '.join(who)}: {note}" for note, who in said.items())


def _page(artifacts: Sequence[Artifact], names: Sequence[str], lines: Sequence[Line], notes: Sequence[str]) -> Page:
    from pasctl.report.blocks import Section
    from pasctl.report.page import Page
    from pasctl.report.sections.comparison import comparison

    facts = tuple(
        (artifact.name.removeprefix(f"{KIND}/"), artifact.key.removeprefix("s1:")[:12]) for artifact in artifacts
    )
    models = len({artifact.model for artifact in artifacts})
    title = f"{models} models compared" if models == len(artifacts) else f"{len(artifacts)} results compared"
    section = Section("comparison", "comparison", title, comparison(names, lines, facts, notes))
    return Page(title, (section,), None, (), __version__)
