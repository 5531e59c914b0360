"""Arrival: how artifacts of another store come into this one, whatever brings them.

All files arrive in inboxes first, each checked against its manifest, and then the artifacts are committed, inputs
first, as every other artifact is. So nothing is half there at any time, a refusal leaves the store as it was, and a run
that was killed is taken up where it ended: what is in the store is skipped, and so is a file that had arrived whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.store.artifact import Artifact
from pasctl.store.inbox import Entry, Inbox
from pasctl.store.parcel import Parcel, inputs_first
from pasctl.store.usage import require_room

if TYPE_CHECKING:
    from pasctl.store.store import Store

Moved = Callable[[int], None]
"""Called with the bytes of each file that has been moved."""


@dataclass
class Arrived:
    """What came of it, or would.

    Attributes:
        named: keys of the artifacts that were asked for.
        artifacts: all of them as they are in this store, none before what it was made from; not on a dry run.
        new: parcels of those that were not there.
        other: names of those that are there with other content, which stays.
        absent: names of inputs that are nowhere; a note, as to `store verify`.
        tags: those that were given.
        kept_tags: those that name something else here, or cannot be one, and stay as they are.
        files: that were moved.
        bytes: of these.
    """

    named: list[str]
    artifacts: list[Artifact] = field(default_factory=list)
    new: list[Parcel] = field(default_factory=list)
    other: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    kept_tags: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


class Arrival:
    """Artifacts that are about to come in.

    Attributes:
        arrived: what is known of them so far.
        missing: (inbox, artifact, file) of all that still has to be brought, in the order of the parcels.
        stopped: set when files that are on their way are not wanted any more.
    """

    def __init__(self, store: Store, parcels: Iterable[Parcel], named: Sequence[str] = ()) -> None:
        """Look at what is there of them already; nothing is written.

        Raises:
            IntegrityError: what is there is damaged, or parcels contradict each other.
        """
        self._store, self._parcels = store, inputs_first(parcels)
        self.arrived = Arrived(list(named))
        self.stopped = threading.Event()
        self._counting = threading.Lock()
        self.missing: list[tuple[Inbox, Parcel, Entry]] = []
        self._inboxes: dict[str, Inbox] = {}
        keys = {parcel.key for parcel in self._parcels}
        for parcel in self._parcels:
            held = store.lookup(parcel.key)
            if held is not None:
                if held.content_digest != parcel.content_digest:
                    self.arrived.other.append(held.name)
                continue
            self.arrived.new.append(parcel)
            inbox = self._inboxes[parcel.key] = store.inbox(parcel.key)
            self.missing += [(inbox, parcel, entry) for entry in parcel.files if not inbox.holds(entry)]
            self._note_inputs(parcel, keys)

    def _note_inputs(self, parcel: Parcel, arriving: Set[str]) -> None:
        """Notes the inputs that are nowhere, and those that are in the store with other content."""
        for entry in parcel.manifest["inputs"].values():
            if entry["key"] in arriving:
                continue
            held, name = self._store.lookup(entry["key"]), str(entry.get("name", ""))
            if held is None and name not in self.arrived.absent:
                self.arrived.absent.append(name)
            elif held and held.content_digest != entry["content_digest"] and held.name not in self.arrived.other:
                self.arrived.other.append(held.name)

    @property
    def size(self) -> int:
        """Bytes of all that still has to be brought."""
        return sum(entry["size"] for _, _, entry in self.missing)

    def require_room(self) -> None:
        """Raises StoreError unless the disk has room for all of it, or the store cannot be written."""
        if self.missing:
            require_room(self._store.root, self.size)
        if self.arrived.new:
            self._store.ensure_writable()

    def receive(self, inbox: Inbox, parcel: Parcel, entry: Entry, chunks: Iterable[bytes], where: str) -> None:
        """Takes one file in.

        Raises:
            IntegrityError: its bytes are not those of its manifest.
            StoreError: the disk is full or read-only.
        """
        try:
            inbox.receive(entry, self._until_stopped(chunks))
        except ValueError as error:
            raise IntegrityError(
                f"{where}: {parcel.name}: {entry['name']} is damaged: {error}",
                hint="nothing of it was taken in; get it again from where it was made",
            ) from error
        with self._counting:
            self.arrived.files += 1
            self.arrived.bytes += entry["size"]

    def _until_stopped(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            if self.stopped.is_set():
                raise InterruptedError("another file could not be brought")
            yield chunk

    def drop(self) -> None:
        """Removes what has arrived and is not committed."""
        for inbox in self._inboxes.values():
            inbox.drop()

    def commit(self, tags: Mapping[str, str] | None = None) -> Arrived:
        """Commits all that arrived, inputs first, and gives tags (key by tag) that are free.

        Raises:
            IntegrityError: what had arrived is gone or damaged; the same command brings it again.
            MissingError: another process has removed what was there.
            StoreError: the disk is full or read-only.
        """
        done: dict[str, Artifact] = {}
        for parcel in self._parcels:
            inbox = self._inboxes.get(parcel.key)
            artifact = (
                self._store.lookup(parcel.key)
                if inbox is None
                else inbox.commit_received(parcel.kind, parcel.files, parcel.data)
            )
            if artifact is None:
                raise MissingError(
                    f"{parcel.name} was removed from the store meanwhile", hint="run the same command again"
                )
            self._store.touch(artifact)  # asked for now, so that no `store gc` takes it for old
            done[parcel.key] = artifact
        for key in self.arrived.named:  # `latest` is the last that was named, and no input
            if key in done:
                self._store.touch(done[key])
        self.arrived.artifacts = list(done.values())
        for tag, key in sorted((tags or {}).items()):
            if key in done:
                self._tag(tag, done[key])
        return self.arrived

    def _tag(self, tag: str, artifact: Artifact) -> None:
        try:
            self._store.tag(artifact, tag)
            self.arrived.tags.append(tag)
        except InputError:
            self.arrived.kept_tags.append(tag)
