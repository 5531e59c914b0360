"""Garbage collection: which artifacts nobody needs, by the user's rules, and what killed processes have left.

Without a rule no artifact goes and no unfinished work that anybody may still want: only temporary files of processes
that have ended, unfinished work of artifacts that are finished, and unfinished work untouched for 30 days. Rules name
artifacts: versions older than the latest N of their name, or those that nobody made or asked for in some time; with
both rules, those that both name. Of these stay: what has a tag, what running work reads or writes, what was made or
asked for within the last hour, and all that anything which stays was made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.store.artifact import Artifact
from pasctl.store.refs import KINDS, Name
from pasctl.store.removal import Catalog, Removal, delete, discard, remove
from pasctl.store.sweep import (
    ABANDONED_SECONDS,
    Leftover,
    abandoned,
    disk_time,
    ended_notes,
    noted_places,
    temporaries,
    unfinished_exports,
)

if TYPE_CHECKING:
    from pasctl.store.store import Store

GRACE_SECONDS = 3600.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


@dataclass(frozen=True)
class Rules:
    """Which artifacts may go.

    Attributes:
        keep_latest: of each name, versions before the latest so many.
        older_than: neither made nor asked for in so many seconds; unfinished work is measured by it as well.
        kind: of this kind only.
        grace: what was made or asked for in the last so many seconds stays in any case.
    """

    keep_latest: int | None = None
    older_than: float | None = None
    kind: str | None = None
    grace: float = GRACE_SECONDS

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in KINDS:
            raise InputError(f"kind {self.kind!r} is unknown, expected one of {', '.join(KINDS)}")
        if self.kind is not None and self.keep_latest is None and self.older_than is None:
            raise InputError(
                "--kind alone says not which artifacts may go", hint="give --keep-latest N or --older-than AGE as well"
            )
        if self.keep_latest is not None and self.keep_latest < 1:
            raise InputError(f"keep latest: expected at least 1, found {self.keep_latest}")


@dataclass(frozen=True)
class Collected:
    """What was removed, or would be."""

    removal: Removal
    leftovers: list[Leftover]

    @property
    def bytes(self) -> int:
        """Bytes that the disk gets back."""
        return self.removal.bytes + sum(leftover.bytes for leftover in self.leftovers)


def collect(store: Store, rules: Rules = Rules(), *, dry_run: bool = False) -> Collected:
    """Removes what the rules name and nobody needs, and what killed processes have left.

    Raises:
        IntegrityError: the index cannot be used, so that nobody could say what is in use.
        StoreError: the store cannot be written.
    """
    if not store.root.is_dir():
        return Collected(Removal([], 0), [])
    leftovers: list[Leftover] = []
    places: set[Path] = set()
    time = disk_time(store.root, touch=not dry_run)
    untouched = ABANDONED_SECONDS if rules.older_than is None or rules.kind else rules.older_than

    def sweep(catalog: Catalog) -> None:
        places.update(_export_places(catalog))
        written = catalog.uses.written
        for leftover in abandoned(store.root, catalog.present, written, time - max(untouched, rules.grace)):
            leftovers.append(leftover)
            if not dry_run:
                discard(store.root, leftover.path)

    removal = remove(store, lambda catalog: unneeded(catalog, rules), dry_run=dry_run, also=sweep)
    places.update(noted_places(store.root))
    beside = [unfinished_exports(place, time, rules.grace) for place in sorted(places)]
    # a note goes after what it tells of
    ended = (temporaries(store.root, time, rules.grace), *beside, ended_notes(store.root, time, rules.grace))
    for leftover in chain(*ended):
        leftovers.append(leftover)
        if not dry_run:
            delete(leftover.path)
    return Collected(removal, leftovers)


def _export_places(catalog: Catalog) -> Iterable[Path]:
    """Where exports were written to."""
    for artifact in catalog.artifacts.values():
        folder = artifact.provenance.get("folder")
        if artifact.kind == "export" and isinstance(folder, str):
            yield Path(folder)


def unneeded(catalog: Catalog, rules: Rules) -> list[Artifact]:
    """The artifacts that the rules name and that nothing needs which stays."""
    going = {artifact.key for artifact in _named_by(catalog, rules)} - catalog.tags.keys()
    going -= catalog.uses.read | catalog.uses.written
    needed = [artifact for key, artifact in catalog.artifacts.items() if key not in going]
    while needed:
        for source in needed.pop().inputs.values():
            if source.key in going:
                going.discard(source.key)
                needed.append(catalog.artifacts[source.key])
    return [catalog.artifacts[key] for key in going]


def _named_by(catalog: Catalog, rules: Rules) -> Iterable[Artifact]:
    if rules.keep_latest is None and rules.older_than is None:
        return
    oldest = _before(max(rules.grace, rules.older_than or 0.0))
    later: dict[Name, int] = {}
    for artifact in sorted(catalog.artifacts.values(), key=_age_order, reverse=True):
        name = Name.of(artifact)
        later[name] = later.get(name, 0) + 1
        if rules.keep_latest is not None and later[name] <= rules.keep_latest:
            continue
        used = max(artifact.created_at, catalog.used_at.get(artifact.key, ""))
        if used <= oldest and rules.kind in (None, artifact.kind):
            yield artifact


def _age_order(artifact: Artifact) -> tuple[int, str]:
    """Later versions are later, whatever the clocks said when they were made; without a version is latest of all."""
    return (artifact.version if artifact.version is not None else 1 << 62, artifact.created_at)


def _before(seconds: float) -> str:
    """The time so many seconds ago, as manifests have it."""
    try:
        return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="microseconds")
    except OverflowError:
        return ""


def parse_age(text: str) -> float:
    """The seconds of a text such as 30d, 12h, 90m, 45s or 2w.

    Raises:
        InputError: it is none.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"age {text!r}: expected a number and one of s, m, h, d, w", hint="such as 30d or 12h")
    return float(match[1]) * _UNITS[match[2]]
