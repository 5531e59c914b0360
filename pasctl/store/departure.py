"""Departure: which artifacts leave a store when some are named."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.store.artifact import Artifact
from pasctl.store.parcel import Parcel, inputs_first, parcel_of

if TYPE_CHECKING:
    from pasctl.store.store import Store


@dataclass(frozen=True)
class Leaving:
    """What leaves.

    Attributes:
        artifacts: by key.
        parcels: theirs, none before what it was made from.
        named: keys of those that were named, in that order.
        absent: names of inputs that were wanted and are not in the store.
        tags: key by tag, of those that leave.
    """

    artifacts: dict[str, Artifact]
    parcels: list[Parcel]
    named: list[str]
    absent: list[str]
    tags: dict[str, str]

    @property
    def files(self) -> int:
        """How many files they have."""
        return sum(len(parcel.files) for parcel in self.parcels)

    @property
    def size(self) -> int:
        """Bytes of these files."""
        return sum(parcel.size for parcel in self.parcels)


def leave(store: Store, refs: Iterable[str], *, with_inputs: bool) -> Leaving:
    """What leaves a store when references are named; with `with_inputs` also all that they were made from.

    Raises:
        MissingError: a reference matches nothing, or another process removes what it matches.
        InputError: a reference matches several artifacts.
        IntegrityError: a manifest is damaged.
    """
    artifacts: dict[str, Artifact] = {}
    absent: dict[str, str] = {}
    for ref in refs:
        artifact = store.resolve(ref)
        artifacts[artifact.key] = artifact
    named = list(artifacts)
    parcels = {key: parcel_of(artifact) for key, artifact in artifacts.items()}
    fresh = list(parcels.values()) if with_inputs else []
    while fresh:
        for key, name in fresh.pop().inputs.items():
            if key in parcels or key in absent:
                continue
            source = store.lookup(key)
            if source is None:
                absent[key] = name
                continue
            artifacts[key], parcels[key] = source, parcel_of(source)
            fresh.append(parcels[key])
    tags = {tag: key for tag, key in store.tags().items() if key in parcels}
    return Leaving(artifacts, inputs_first(parcels.values()), named, sorted(absent.values()), tags)
