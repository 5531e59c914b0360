"""A remote as references see it: its names, tags and manifests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from pasctl.errors import InputError, IntegrityError, MissingError
from pasctl.store.artifact import Artifact
from pasctl.store.keys import KEY_PREFIX, is_key, key_hash
from pasctl.store.manifest import MANIFEST
from pasctl.store.parcel import MOST_MANIFEST, Parcel, folder_of, read_parcel
from pasctl.store.refs import KINDS, Name
from pasctl.store.remote import Remote, in_parallel
from pasctl.store.resolve import resolve

_NAMES, _TAGS = "refs/names", "refs/tags"
_VERSION = re.compile(r"v([1-9][0-9]{0,17})")
_TAKEN = re.compile(r"v([1-9][0-9]{0,17})(\.removed)?")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_REF = 1 << 10  # bytes


class RemoteRefs:
    """The names and tags of a remote."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def names(self) -> Iterator[Name]:
        """Every name that has a version, sorted."""
        names = []
        for path in self._remote.paths(_NAMES):
            parts = path.split("/")
            if len(parts) == 4 and _VERSION.fullmatch(parts[3]):
                names.append(Name(*parts[:3]))
        yield from sorted(set(names))

    def versions(self, name: Name) -> Mapping[int, str]:
        """Key by version, oldest first; each key is read when it is asked for."""
        found = (_VERSION.fullmatch(each) for each in self._remote.names(f"{_NAMES}/{name}"))
        return _Versions(self, name, sorted(int(match[1]) for match in found if match))

    def key_of(self, name: Name, version: int) -> str:
        """The key of a version; "" if it has none."""
        return self._read(f"{_NAMES}/{name}/v{version}")

    def assign(self, name: Name, key: str) -> int:
        """The version that a key has under a name, a new one if it has none; see `pasctl.store.refs`."""
        while True:
            numbers = list(self.versions(name))
            held = in_parallel(lambda number: self.key_of(name, number), numbers, self._remote.workers)
            if key in held:
                return numbers[held.index(key)]
            taken = (_TAKEN.fullmatch(each) for each in self._remote.names(f"{_NAMES}/{name}"))
            version = max((int(match[1]) for match in taken if match), default=0) + 1
            if self._remote.create(f"{_NAMES}/{name}/v{version}", f"{key}\n".encode("ascii")):
                return version

    def tag(self, tag: str) -> str | None:
        """The key that a tag points to."""
        return (self._read(f"{_TAGS}/{tag}") or None) if _TAG.fullmatch(tag) else None

    def tags(self) -> dict[str, str]:
        """Key by tag."""
        tags = [name for name in self._remote.names(_TAGS) if _TAG.fullmatch(name)]
        keys = in_parallel(lambda tag: self._read(f"{_TAGS}/{tag}"), tags, self._remote.workers)
        return dict(zip(tags, keys, strict=True))

    def set_tag(self, tag: str, key: str) -> bool:
        """Points a tag to a key, unless it points elsewhere; whether it points there now."""
        return self._remote.create(f"{_TAGS}/{tag}", f"{key}\n".encode("ascii")) or self.tag(tag) == key

    def _read(self, path: str) -> str:
        data = self._remote.read_whole(path, _MOST_REF)
        return "" if data is None else data.decode("ascii", "replace").strip()


class _Versions(Mapping[int, str]):
    def __init__(self, refs: RemoteRefs, name: Name, numbers: list[int]) -> None:
        self._refs, self._name, self._numbers = refs, name, numbers

    def __getitem__(self, version: int) -> str:
        if version not in self._numbers:
            raise KeyError(version)
        return self._refs.key_of(self._name, version)

    def __iter__(self) -> Iterator[int]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)


class RemoteStore:
    """A remote that artifacts are looked up in.

    Attributes:
        root: its URL, for messages.
        refs: its names and tags.
    """

    def __init__(self, remote: Remote) -> None:
        self.remote, self.root, self.refs = remote, remote.url, RemoteRefs(remote)
        self._parcels: dict[str, Parcel] = {}
        self._kinds: list[str] | None = None

    def parcel(self, key: str) -> Parcel | None:
        """The artifact of a key, without its files.

        Raises:
            IntegrityError: its manifest is damaged, or one of a newer pasctl.
            RemoteError: the remote cannot be read.
        """
        if key not in self._parcels:
            for kind in self.kinds():
                if (found := self._read(kind, key_hash(key))) is not None:
                    self._parcels[key] = found
                    break
        return self._parcels.get(key)

    def kinds(self) -> list[str]:
        """The kinds that it has artifacts of; all kinds where it does not say."""
        if self._kinds is None:
            self._kinds = [kind for kind in self.remote.names("objects") if kind in KINDS] or list(KINDS)
        return self._kinds

    def parcels(
        self, kind: str | None = None, model: str | None = None, *, damaged: list[IntegrityError] | None = None
    ) -> list[Parcel]:
        """All artifacts, or those of a kind and model, newest first.

        Args:
            kind: of this kind only.
            model: of this model only.
            damaged: gets the errors for manifests that are damaged; without it they are raised.
        """
        places = [place for place in self._places() if kind in (None, place[0])]

        def read(place: tuple[str, str]) -> Parcel | None:
            try:
                return self._read(*place)
            except IntegrityError as error:
                if damaged is None:
                    raise
                damaged.append(error)
                return None

        found = in_parallel(read, places, self.remote.workers)
        self._parcels |= {parcel.key: parcel for parcel in found if parcel}
        chosen = [parcel for parcel in found if parcel and model in (None, parcel.manifest["model"])]
        return sorted(chosen, key=lambda parcel: (parcel.manifest["created_at"], parcel.key), reverse=True)

    def resolve(self, ref: str) -> Parcel:
        """The one artifact that a reference means here.

        Raises:
            MissingError: nothing matches.
            InputError: several match.
        """
        try:
            artifact = resolve(self, ref)
        except (InputError, MissingError) as error:
            error.hint = f"see what there is with `pasctl store remote-ls --remote {self.root}`"
            raise
        parcel = self.parcel(artifact.key)
        if parcel is None:
            raise MissingError(f"{artifact.name} was removed from {self.root} meanwhile")
        return parcel

    def lookup(self, key: str) -> Artifact | None:
        """The artifact of a key, whose files cannot be read."""
        parcel = self.parcel(key)
        return None if parcel is None else Artifact(key, parcel.manifest, Path(parcel.folder))

    def keys(self, prefix: str = "") -> list[str]:
        """The keys whose hex digits begin with `prefix`."""
        if is_key(KEY_PREFIX + prefix):
            return [KEY_PREFIX + prefix] if self.parcel(KEY_PREFIX + prefix) else []
        if len(prefix) < 2:
            return sorted(KEY_PREFIX + hexes for _, hexes in self._places() if hexes.startswith(prefix))
        folders = [f"objects/{kind}/{prefix[:2]}" for kind in self.kinds()]
        found = {name for folder in folders for name in self.remote.names(folder)}
        return sorted(KEY_PREFIX + name for name in found if _HASH.fullmatch(name) and name.startswith(prefix))

    def candidates(self, kind: str | None = None) -> Iterator[Artifact]:
        """The artifacts of a kind, newest first."""
        for parcel in self.parcels(kind, damaged=[]):
            yield Artifact(parcel.key, parcel.manifest, Path(parcel.folder))

    def versioned(self, parcels: list[Parcel]) -> dict[str, Artifact]:
        """By key, the artifacts with the version that they have here."""
        names = {Name(*parcel.name.split("/")) for parcel in parcels}
        places = [(name, version) for name in sorted(names) for version in self.refs.versions(name)]
        keys = in_parallel(lambda place: self.refs.key_of(*place), places, self.remote.workers)
        numbers = {(str(name), key): version for (name, version), key in zip(places, keys, strict=True)}
        artifacts = {parcel.key: Artifact(parcel.key, parcel.manifest, Path(parcel.folder)) for parcel in parcels}
        return {key: replace(each, version=numbers.get((each.name, key))) for key, each in artifacts.items()}

    def _places(self) -> list[tuple[str, str]]:
        """(kind, hash) of every manifest."""
        places = []
        for path in self.remote.paths("objects"):
            kind, _, rest = path.partition("/")
            parts = rest.split("/")
            if len(parts) == 3 and parts[2] == MANIFEST and _HASH.fullmatch(parts[1]) and kind in KINDS:
                places.append((kind, parts[1]))
        return places

    def _read(self, kind: str, hexes: str) -> Parcel | None:
        path = f"{folder_of(kind, KEY_PREFIX + hexes)}/{MANIFEST}"
        data = self.remote.read_whole(path, MOST_MANIFEST)
        try:
            return None if data is None else read_parcel(data, kind, hexes, f"{self.root}/{path}")
        except IntegrityError as error:
            error.hint = error.hint or "push it again from a store that has it, after the file is removed there"
            raise
