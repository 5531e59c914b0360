"""Arrival: how artifacts of another store come into this one, whatever brings them.

All files arrive in inboxes first, each checked against its manifest, and then the artifacts are committed, inputs
first, as every other artifact is. So nothing is half there at any time, a refusal leaves the store as it was, and a run
that was killed is taken up where it ended: what is in the store is skipped, and so is a file that had arrived whole.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.store.artifact import Artifact
from pasctl.store.inbox import Entry, Inbox
from pasctl.store.parcel import Parcel, inputs_first
from pasctl.store.usage import require_room

if TYPE_CHECKING:
    from pasctl.store.store import Store

_Content = tuple[str, int]  # sha256 and bytes
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
        shared: files that were not, as another artifact has the same; both stand on the disk once.
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
    shared: int = 0


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
        self._held: dict[_Content, Path] = {}  # files of inputs that are in the store
        self._repeated: list[tuple[Inbox, Entry, Parcel, Entry]] = []  # files that another parcel has as well
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
        self._take_once()

    def _take_once(self) -> None:
        """Leaves out of what is missing all that some other parcel has as well."""
        first: dict[_Content, tuple[Parcel, Entry]] = {}
        wanted = {(inbox.key, entry["name"]) for inbox, _, entry in self.missing}
        for parcel in self.arrived.new:  # what has arrived already comes first
            for entry in parcel.files:
                if (parcel.key, entry["name"]) not in wanted:
                    first.setdefault(_content(entry), (parcel, entry))
        missing, self.missing = self.missing, []
        for inbox, parcel, entry in missing:
            source = first.setdefault(_content(entry), (parcel, entry))
            if source == (parcel, entry):
                self.missing.append((inbox, parcel, entry))
            else:
                self._repeated.append((inbox, entry, *source))

    def _note_inputs(self, parcel: Parcel, arriving: Set[str]) -> None:
        """Notes the inputs that are nowhere, and those that are in the store with other content."""
        for entry in parcel.manifest["inputs"].values():
            if entry["key"] in arriving:
                continue
            held, name = self._store.lookup(entry["key"]), str(entry.get("name", ""))
            if held is not None:
                self._held |= {_content(each): held.path / each["name"] for each in held.manifest["files"]}
            if held is None and name not in self.arrived.absent:
                self.arrived.absent.append(name)
            elif held and held.content_digest != entry["content_digest"] and held.name not in self.arrived.other:
                self.arrived.other.append(held.name)

    @property
    def size(self) -> int:
        """Bytes of all that still has to be brought."""
        return sum(entry["size"] for _, _, entry in self.missing)

    def begin(self) -> None:
        """Takes what inputs in the store have already.

        Raises:
            StoreError: the disk has no room for the rest, or the store cannot be written.
        """
        held = sum(entry["size"] for _, _, entry in self.missing if _content(entry) in self._held)
        require_room(self._store.root, self.size - held)
        if not self.arrived.new:
            return
        self._store.ensure_writable()
        missing, self.missing = self.missing, []
        for inbox, parcel, entry in missing:
            if (source := self._held.get(_content(entry))) is not None:
                inbox.link(entry, source)
            if source is not None and inbox.holds(entry):
                self.arrived.shared += 1
            else:  # new, or the one that is here is damaged
                self.missing.append((inbox, parcel, entry))

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
        for inbox, entry, parcel, source in self._repeated:
            self._repeat(inbox, entry, parcel, source)
        done: dict[str, Artifact] = {}
        for parcel in self._parcels:
            own = self._inboxes.get(parcel.key)
            artifact = (
                self._store.lookup(parcel.key)
                if own is None
                else own.commit_received(parcel.kind, parcel.files, parcel.data)
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

    def _repeat(self, inbox: Inbox, entry: Entry, parcel: Parcel, source: Entry) -> None:
        """Gives an artifact a file that has arrived for another one."""
        places = [self._inboxes[parcel.key].place(source)]
        if (held := self._store.lookup(parcel.key)) is not None:  # another process was faster
            places.append(held.path / source["name"])
        for place in places:
            with contextlib.suppress(FileNotFoundError):
                inbox.link(entry, place)
                self.arrived.shared += 1
                return

    def _tag(self, tag: str, artifact: Artifact) -> None:
        try:
            self._store.tag(artifact, tag)
            self.arrived.tags.append(tag)
        except InputError:
            self.arrived.kept_tags.append(tag)


def _content(entry: Entry) -> _Content:
    return str(entry["sha256"]), int(entry["size"])
