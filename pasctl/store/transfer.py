"""Push and pull: artifacts on their way to a remote and from it, several files at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pasctl.errors import IntegrityError, MissingError
from pasctl.store.arrival import Arrival, Arrived, Moved
from pasctl.store.departure import Leaving
from pasctl.store.inbox import Entry, Inbox
from pasctl.store.manifest import MANIFEST
from pasctl.store.parcel import Parcel
from pasctl.store.refs import Name
from pasctl.store.registration import is_present, removed
from pasctl.store.remote import Remote, in_parallel
from pasctl.store.remote_store import RemoteStore

if TYPE_CHECKING:
    from pasctl.store.store import Store


@dataclass
class Pushed:
    """What came of a push, or would.

    Attributes:
        new: what the remote did not have, none before what it was made from.
        other: names of artifacts that are there with other content, which stays.
        names: name with the version that each has there, by key; not on a dry run.
        tags: those that were given.
        kept_tags: those that name something else there, which stay as they are.
        files: that were moved.
        bytes: of these.
    """

    new: list[Parcel] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    kept_tags: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


class Push:
    """Artifacts that are about to leave for a remote.

    Attributes:
        pushed: what is known of them so far.
        missing: (artifact, file) of all that the remote lacks.
    """

    def __init__(self, leaving: Leaving, remote: Remote) -> None:
        """Look at what is there of them already; nothing is written.

        Raises:
            MissingError: there is no such place.
            RemoteError: it cannot be read.
            IntegrityError: what is there is damaged.
        """
        remote.require(writing=True)
        self._leaving, self._remote, self._there = leaving, remote, RemoteStore(remote)
        self.pushed = Pushed()
        self._held_back: set[str] = set()
        self.missing: list[tuple[Parcel, Entry]] = []
        for parcel, (held, lacking) in zip(
            leaving.parcels, in_parallel(self._look, leaving.parcels, remote.workers), strict=True
        ):
            if held is not None and held.content_digest != parcel.content_digest:
                self.pushed.other.append(parcel.name)
                self._held_back.add(parcel.key)
                continue
            if held is None:
                self.pushed.new.append(parcel)
            self.missing += [(parcel, entry) for entry in lacking]

    @property
    def size(self) -> int:
        """Bytes of all that the remote lacks."""
        return sum(entry["size"] for _, entry in self.missing)

    def _look(self, parcel: Parcel) -> tuple[Parcel | None, list[Entry]]:
        """The artifact as it is there, and its files that are not."""
        held, sizes = self._there.parcel(parcel.key), self._remote.sizes(parcel.folder)
        if held is not None and held.content_digest != parcel.content_digest:
            return held, []
        lacking = [entry for entry in parcel.files if entry["name"] not in sizes]
        for entry in parcel.files:
            size = sizes.get(entry["name"])
            if size is not None and (size != entry["size"] or (held is None and not self._is_same(parcel, entry))):
                place = f"{self._remote.url}/{parcel.folder}"
                raise IntegrityError(
                    f"{place}/{entry['name']} is not the file of {parcel.name}: expected sha256 {entry['sha256']}",
                    hint=f"remove {place} there, unless another push is at it, and push again",
                )
        return held, lacking

    def _is_same(self, parcel: Parcel, entry: Entry) -> bool:
        """Whether a file that a push has left without a manifest is the one that is to go there."""
        digest = hashlib.sha256()
        try:
            for chunk in self._remote.read(f"{parcel.folder}/{entry['name']}"):
                digest.update(chunk)
        except FileNotFoundError:
            return False
        return digest.hexdigest() == str(entry["sha256"])

    def run(self, *, tags: bool, moved: Moved) -> Pushed:
        """Moves the files, then the manifests, inputs first, then names and tags.

        Raises:
            IntegrityError: a file of this store is damaged, or another push has put another one there.
            RemoteError: the remote cannot be written.
        """

        def count(size: int) -> None:
            self.pushed.files += 1
            self.pushed.bytes += size
            moved(size)

        in_parallel(lambda each: self._put(*each), self.missing, self._remote.workers, count)
        for parcel in self.pushed.new:
            if not self._remote.create(f"{parcel.folder}/{MANIFEST}", parcel.data):
                self._require_same(parcel)
        by_name: dict[Name, list[Parcel]] = {}
        for parcel in (each for each in self._leaving.parcels if each.key not in self._held_back):
            by_name.setdefault(Name(*parcel.name.split("/")), []).append(parcel)
        for numbers in in_parallel(lambda each: self._assign(*each), by_name.items(), self._remote.workers):
            self.pushed.names |= numbers
        for tag, key in sorted(self._leaving.tags.items()) if tags else ():
            given = key in self.pushed.names and self._there.refs.set_tag(tag, key)
            (self.pushed.tags if given else self.pushed.kept_tags).append(tag)
        return self.pushed

    def _put(self, parcel: Parcel, entry: Entry) -> int:
        place = f"{parcel.folder}/{entry['name']}"
        artifact = self._leaving.artifacts[parcel.key]
        try:
            local = artifact.open_path(entry["name"])
        except IntegrityError as error:
            if is_present(artifact):
                raise
            raise removed(artifact) from error
        if not self._remote.put(place, local) and not self._is_same(parcel, entry):
            raise IntegrityError(
                f"{self._remote.url}/{place} was put there by another push, with other content",
                hint="see what is there with `pasctl store remote-ls` when that push has ended",
            )
        return int(entry["size"])

    def _require_same(self, parcel: Parcel) -> None:
        """Another push was first with a manifest: it says the same, or else the files would not have been taken."""
        held = RemoteStore(self._remote).parcel(parcel.key)
        if held is None or held.content_digest != parcel.content_digest:
            raise IntegrityError(
                f"{self._remote.url}/{parcel.folder}: another push was first, with other content",
                hint="see what is there with `pasctl store remote-ls`",
            )

    def _assign(self, name: Name, parcels: Sequence[Parcel]) -> dict[str, str]:
        return {parcel.key: f"{name}@v{self._there.refs.assign(name, parcel.key)}" for parcel in parcels}


class Pull:
    """Artifacts that are about to come from a remote.

    Attributes:
        arrival: what is known of them so far.
    """

    def __init__(
        self,
        store: Store,
        remote: Remote,
        refs: Iterable[str] | None,
        *,
        with_inputs: bool = True,
        kind: str | None = None,
        model: str | None = None,
    ) -> None:
        """Find out what they are and what is there of them already; nothing is written.

        Args:
            store: they come into.
            remote: they come from.
            refs: name them; None means all that the remote has.
            with_inputs: whether also all that they were made from comes, as far as it is not in the store.
            kind: of those that come when none are named.
            model: the same.

        Raises:
            MissingError: there is no such place, or a reference matches nothing there.
            RemoteError: it cannot be read.
            IntegrityError: a manifest there is damaged, or one of a newer pasctl.
        """
        remote.require()
        self._store, self._remote, there = store, remote, RemoteStore(remote)
        self._there = there
        named = there.parcels(kind, model)[::-1] if refs is None else [there.resolve(ref) for ref in refs]
        parcels = {parcel.key: parcel for parcel in named}
        fresh = list(parcels.values()) if with_inputs else []
        while fresh:
            wanted = {key for parcel in fresh for key in parcel.inputs if key not in parcels}
            keys = [key for key in sorted(wanted) if store.lookup(key) is None]
            found = in_parallel(there.parcel, keys, remote.workers)
            fresh = [parcel for parcel in found if parcel is not None]
            parcels |= {parcel.key: parcel for parcel in fresh}
        self.arrival = Arrival(store, parcels.values(), [parcel.key for parcel in named])

    def run(self, *, tags: bool, moved: Moved) -> Arrived:
        """Brings the files, checks them, and commits.

        Raises:
            IntegrityError: a file there is not what its manifest says; the store is as it was.
            RemoteError: the remote cannot be read; what has arrived waits for the next try.
            StoreError: the disk has no room, or the store cannot be written.
        """
        self.arrival.begin()
        missing, workers = self.arrival.missing, self._remote.workers
        in_parallel(lambda each: self._bring(*each), missing, workers, moved, self.arrival.stopped)
        return self.arrival.commit(self._there.refs.tags() if tags else None)

    def _bring(self, inbox: Inbox, parcel: Parcel, entry: Entry) -> int:
        place = f"{parcel.folder}/{entry['name']}"
        try:
            self.arrival.receive(inbox, parcel, entry, self._remote.read(place), self._remote.url)
        except FileNotFoundError as error:
            raise MissingError(
                f"{self._remote.url}/{place} is not there, though {parcel.name} has it",
                hint="push it again from a store that has it",
            ) from error
        return int(entry["size"])
