"""References: what a user may write to mean an artifact.

latest                      the one last made or asked for, of the kind that is wanted
kind/model/label@v3         one version; without @v3 the highest
kind/model, kind            the same, if only one name begins so
some-tag                    a tag
s1:3f9a..., 3f9a            a key or the beginning of one, 4 hex digits or more
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Protocol

from pasctl.errors import InputError, MissingError
from pasctl.store.keys import is_key
from pasctl.store.refs import Name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pasctl.store.artifact import Artifact

_WORD = "[a-z0-9][a-z0-9._+~-]*"
_NAME = re.compile(rf"(?P<path>{_WORD}(/{_WORD}){{0,2}})(@v(?P<version>[1-9][0-9]*))?")
_HEX = re.compile(r"(s1:)?(?P<hex>[0-9a-f]{4,64})")
_LISTED = 5
_LS_HINT = "see what there is with `pasctl store ls`"


class Referring(Protocol):
    """The names and tags of a store, or of a remote."""

    def names(self) -> Iterator[Name]:
        """Every name that has a version, sorted."""

    def versions(self, name: Name) -> Mapping[int, str]:
        """Key by version, oldest first."""

    def tag(self, tag: str) -> str | None:
        """The key that a tag points to."""

    def tags(self) -> Mapping[str, str]:
        """Key by tag."""


class Stored(Protocol):
    """What references are looked up in: a store, or a remote."""

    @property
    def root(self) -> object:
        """Where it is, for messages."""

    @property
    def refs(self) -> Referring:
        """Its names and tags."""

    def lookup(self, key: str) -> Artifact | None:
        """The artifact of a key."""

    def keys(self, prefix: str = "") -> list[str]:
        """The keys whose hex digits begin with `prefix`."""

    def candidates(self, kind: str | None = None) -> Iterator[Artifact]:
        """The artifacts of a kind, last made or touched first."""


def resolve(store: Stored, ref: str, kind: str | None = None) -> Artifact:
    """The one artifact that `ref` means; `kind` is what the caller can use.

    Raises:
        MissingError: nothing matches.
        InputError: several match, or the match is of another kind.
    """
    if ref == "latest":
        newest = next(store.candidates(kind), None)
        if newest is not None:
            return newest
        raise MissingError(f"the store {store.root} holds no {kind or 'artifact'}", hint=_LS_HINT)
    artifact = _tagged(store, ref) or _named(store, ref) or _keyed(store, ref, kind)
    if artifact is None:
        raise _no_match(store, ref)
    if kind is not None and artifact.kind != kind:
        raise InputError(f"{ref} is {artifact.name}: expected {kind}, found {artifact.kind}", hint=_LS_HINT)
    return artifact


def _tagged(store: Stored, ref: str) -> Artifact | None:
    key = store.refs.tag(ref)
    return None if key is None else _held(store, f"tag {ref}", key)


def _named(store: Stored, ref: str) -> Artifact | None:
    match = _NAME.fullmatch(ref)
    if match is None:
        return None
    parts = match["path"].split("/")
    names = [name for name in store.refs.names() if [name.kind, name.model, name.label][: len(parts)] == parts]
    if not names:
        return None
    if len(names) > 1:
        raise _ambiguous(ref, [str(name) for name in names])
    return _version(store, names[0], match["version"])


def _version(store: Stored, name: Name, wanted: str | None) -> Artifact | None:
    versions = store.refs.versions(name)
    if not versions:
        return None
    version = int(wanted) if wanted else max(versions)
    if version not in versions:
        have = ", ".join(f"v{each}" for each in versions)
        raise MissingError(f"{name} has no version v{version} (has {have})", hint=_LS_HINT)
    return _held(store, f"{name}@v{version}", versions[version])


def _keyed(store: Stored, ref: str, kind: str | None) -> Artifact | None:
    match = _HEX.fullmatch(ref)
    if match is None:
        return None
    found = [artifact for key in store.keys(match["hex"]) if (artifact := store.lookup(key))]
    if len(found) > 1 and kind is not None:
        found = [artifact for artifact in found if artifact.kind == kind] or found
    if len(found) > 1:
        raise _ambiguous(ref, [f"{artifact.short_key} ({artifact.name})" for artifact in found])
    return found[0] if found else None


def _held(store: Stored, what: str, key: str) -> Artifact:
    artifact = store.lookup(key) if is_key(key) else None
    if artifact is None:
        raise MissingError(
            f"{what} points to {key[:15] or 'nothing'}, which is not in the store",
            hint="run the stage that made it again, or see `pasctl store verify`",
        )
    return artifact


def _ambiguous(ref: str, names: list[str]) -> InputError:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    listed = ", ".join(names[:_LISTED]) + more
    return InputError(f"{ref!r} matches {len(names)} artifacts: {listed}", hint="write more of the name or key")


def _no_match(store: Stored, ref: str) -> MissingError:
    known = [str(name) for name in store.refs.names()] + list(store.refs.tags())
    labels = {name.rpartition("/")[2]: name for name in known}
    base = ref.rpartition("@")[0] or ref
    near = difflib.get_close_matches(base, known, n=3, cutoff=0.5)
    near = near or [labels[label] for label in difflib.get_close_matches(base, list(labels), n=3, cutoff=0.6)]
    meant = f"; did you mean {' or '.join(near)}?" if near else ""
    return MissingError(f"no artifact matches {ref!r}{meant}", hint=_LS_HINT)
