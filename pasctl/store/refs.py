"""Names and tags on disk: small files that hold a key.

refs/names/<kind>/<model>/<label>/v<N> is created exactly once, so no two processes get the same version;
refs/options/<kind>/<model>/<label>.json holds the options that all versions of the name have, and is created once too.
When an artifact is removed its file is called v<N>.removed: no other key gets that number, and the same key gets it
again.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.json_file import JsonError, read_json
from pasctl.store.disk import (
    create_file,
    disk_errors,
    is_of_path,
    make_durable,
    make_folder,
    replace_file,
    unreadable,
)
from pasctl.store.keys import is_key

if TYPE_CHECKING:
    from pasctl.store.artifact import Artifact

_VERSION = re.compile(r"v([1-9][0-9]*)")
_REMOVED = re.compile(r"v([1-9][0-9]*)\.removed")
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_KEY_LIKE = re.compile(r"[0-9a-f]{4,}")
_WRITING_SECONDS = 1.0  # that a file may be empty where it cannot be created with its content
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
    "benchmarks",
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

    @classmethod
    def of(cls, artifact: Artifact) -> Name:
        """The name of an artifact."""
        return cls(artifact.kind, artifact.model, artifact.label)


class Refs:
    """The names and tags of one store."""

    def __init__(self, folder: Path) -> None:
        self._names = folder / "names"
        self._tags = folder / "tags"
        self._options = folder / "options"

    def names(self) -> Iterator[Name]:
        """Every name that has a version, sorted."""
        for path in sorted(self._names.glob("*/*/*")):
            if path.is_dir() and any(_VERSION.fullmatch(inner.name) for inner in path.iterdir()):
                yield Name(*path.relative_to(self._names).parts)

    def versions(self, name: Name) -> dict[int, str]:
        """Key by version, oldest first. A file that holds no key counts as taken, with the text that it holds."""
        return self._files(name, _VERSION)

    def removed(self, name: Name) -> dict[int, str]:
        """Key by version of the artifacts that were removed."""
        return self._files(name, _REMOVED)

    def _files(self, name: Name, pattern: re.Pattern[str]) -> dict[int, str]:
        folder = self._folder(name)
        if not folder.is_dir():
            return {}
        found = {int(match[1]): path for path in _entries(folder) if (match := pattern.fullmatch(path.name))}
        return {version: _read(found[version]) for version in sorted(found)}

    def _folder(self, name: Name) -> Path:
        return self._names / name.kind / name.model / name.label

    def version_of(self, name: Name, key: str) -> int | None:
        """The version that a key has under a name."""
        return next((version for version, held in self.versions(name).items() if held == key), None)

    def assign(self, name: Name, key: str) -> int:
        """The version that a key has under a name, a new one if it has none.

        Numbers are handed out without gaps and each try looks at all of them first, so two processes that register the
        same key end with the same version.
        """
        folder = self._folder(name)
        with disk_errors(folder):
            while True:
                taken, removed = self.versions(name), self.removed(name)
                for version, held in taken.items():
                    if held == key:
                        return version
                again = next((version for version, held in removed.items() if held == key), None)
                version = again or max([*taken, *removed], default=0) + 1
                make_folder(folder)
                if create_file(folder / f"v{version}", f"{key}\n".encode("ascii")):
                    if again:
                        (folder / f"v{version}.removed").unlink(missing_ok=True)
                    return version

    def retire(self, name: Name, key: str) -> None:
        """Takes away the version of an artifact that is removed; the number stays taken."""
        folder = self._folder(name)
        with disk_errors(folder):
            for version, held in self.versions(name).items():
                if held == key:
                    # in this order: at no moment could another process think that the number is free
                    create_file(folder / f"v{version}.removed", f"{key}\n".encode("ascii"))
                    (folder / f"v{version}").unlink(missing_ok=True)
                    make_durable(folder)

    def forget(self, name: Name, *, wholly: bool) -> None:
        """Takes away the options that a name without versions was taken for.

        Args:
            name: the name.
            wholly: whether the name itself quotes them; then its version numbers are free again.
        """
        path = self._options / name.kind / name.model / f"{name.label}.json"
        with disk_errors(path):
            path.unlink(missing_ok=True)
            if wholly:
                shutil.rmtree(self._folder(name), ignore_errors=True)

    def options(self, name: Name) -> dict[str, Any] | None:
        """The options that a name was taken for; None for a name without a record."""
        try:
            options = read_json(self._options / name.kind / name.model / f"{name.label}.json")
        except (OSError, JsonError):
            return None
        return options if isinstance(options, dict) else None

    def claim(self, name: Name, options: Mapping[str, Any]) -> dict[str, Any]:
        """Take a name for some options, unless it was taken before; those that it is taken for.

        Raises:
            StoreError: the store cannot be written.
        """
        if (taken := self.options(name)) is not None:
            return taken
        path = self._options / name.kind / name.model / f"{name.label}.json"
        data = json.dumps(dict(options), sort_keys=True, indent=1).encode("ascii") + b"\n"
        with disk_errors(path):
            make_folder(path.parent)
            if not create_file(path, data) and self._written(name) is None:
                replace_file(path, data)  # its writer was killed, or somebody damaged it
        return self.options(name) or dict(options)

    def _written(self, name: Name) -> dict[str, Any] | None:
        """The options of a name that another process is just taking."""
        until = time.monotonic() + _WRITING_SECONDS
        while (options := self.options(name)) is None and time.monotonic() < until:
            time.sleep(0.02)
        return options

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
                if not is_key(held):  # its writer ended before it had written the key
                    replace_file(path, data)
                    return
                raise InputError(
                    f"tag {tag!r} points to {held[:15]} already", hint="give another name, or --force to move the tag"
                )

    def remove_tag(self, tag: str) -> bool:
        """Takes a tag away; whether there was one."""
        path = self._tags / tag
        if not (_TAG.fullmatch(tag) and path.is_file()):
            return False
        with disk_errors(path):
            path.unlink(missing_ok=True)
            make_durable(path.parent)
        return True

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
