"""Names and tags on disk: small files that hold a key.

refs/names/<kind>/<model>/<label>/v<N> is created exactly once, so no two processes get the same version.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pasctl.errors import InputError
from pasctl.store.disk import create_file, disk_errors, is_of_path, make_folder, replace_file, unreadable

_VERSION = re.compile(r"v([1-9][0-9]*)")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KEY_LIKE = re.compile(r"[0-9a-f]{4,}")
KINDS = (
    "activations",
    "probes",
    "directions",
    "strengths",
    "results",
    "texts",
    "export",
    "memory",
    "answers",
    "trials",
)
"""Of artifacts, which no tag may be called."""


@dataclass(frozen=True, order=True)
class Name:
    """What versions are counted under: kind/model/label."""

    kind: str
    model: str
    label: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.model}/{self.label}"


class Refs:
    """The names and tags of one store."""

    def __init__(self, folder: Path) -> None:
        self._names = folder / "names"
        self._tags = folder / "tags"

    def names(self) -> Iterator[Name]:
        """Every name, sorted."""
        for path in sorted(self._names.glob("*/*/*")):
            if path.is_dir():
                yield Name(*path.relative_to(self._names).parts)

    def versions(self, name: Name) -> dict[int, str]:
        """Key by version, oldest first. A file that holds no key counts as taken, with the text that it holds."""
        folder = self._names / name.kind / name.model / name.label
        if not folder.is_dir():
            return {}
        found = {int(match[1]): path for path in _entries(folder) if (match := _VERSION.fullmatch(path.name))}
        return {version: _read(found[version]) for version in sorted(found)}

    def version_of(self, name: Name, key: str) -> int | None:
        """The version that a key has under a name."""
        return next((version for version, held in self.versions(name).items() if held == key), None)

    def assign(self, name: Name, key: str) -> int:
        """The version that a key has under a name, a new one if it has none.

        Numbers are handed out without gaps and each try looks at all of them first, so two processes that register the
        same key end with the same version.
        """
        folder = self._names / name.kind / name.model / name.label
        with disk_errors(folder):
            while True:
                taken = self.versions(name)
                for version, held in taken.items():
                    if held == key:
                        return version
                version = max(taken, default=0) + 1
                make_folder(folder)
                if create_file(folder / f"v{version}", f"{key}\n".encode("ascii")):
                    return version

    def tags(self) -> dict[str, str]:
        """Key by tag."""
        if not self._tags.is_dir():
            return {}
        return {path.name: _read(path) for path in sorted(_entries(self._tags)) if _TAG.fullmatch(path.name)}

    def tag(self, tag: str) -> str | None:
        """The key that a tag points to."""
        path = self._tags / tag
        return _read(path) if _TAG.fullmatch(tag) and path.is_file() else None

    def set_tag(self, tag: str, key: str, *, force: bool = False) -> None:
        """Points a tag to a key.

        Raises:
            InputError: the tag could be mistaken for something else, or points elsewhere and `force` is not given.
        """
        self._check_tag(tag)
        path = self._tags / tag
        data = f"{key}\n".encode("ascii")
        with disk_errors(path):
            if force:
                replace_file(path, data)
            elif not create_file(path, data) and (held := _read(path)) != key:
                raise InputError(
                    f"tag {tag!r} points to {held[:15]} already", hint="give another name, or --force to move the tag"
                )

    def _check_tag(self, tag: str) -> None:
        if not _TAG.fullmatch(tag):
            raise InputError(f"tag {tag!r}: expected lower-case letters, digits and . _ - after a letter or digit")
        if tag == "latest" or tag in KINDS or (self._names / tag).is_dir():
            raise InputError(f"tag {tag!r} has a meaning as a reference already", hint="choose another tag")
        if _KEY_LIKE.fullmatch(tag):
            raise InputError(f"tag {tag!r} looks like the beginning of a key", hint="choose another tag")


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except OSError as error:
        raise unreadable(folder, error) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        if not is_of_path(error):
            raise
        return ""  # gone, a folder, or not ours to read: it holds no key
