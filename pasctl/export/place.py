"""Where an export goes: written beside its place under a name that nobody loads, and renamed when all of it stands."""

from __future__ import annotations

import errno
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pasctl.errors import InputError, PasctlError
from pasctl.export.files import RECORD, read_record, require_files
from pasctl.export.proof import Proof
from pasctl.store.disk import FULL, make_durable

_SYSTEM = re.compile(r"\(os error (\d+)\)")


class Place:
    """A folder to export to, which either gets a whole export or stays as it was."""

    def __init__(self, folder: Path | str, *, force: bool = False) -> None:
        """Look at the folder; nothing is written.

        Args:
            folder: the folder's name. It need not exist; its parent must.
            force: replace an earlier export there.
        """
        self.given = str(folder)
        self.folder = Path(folder).expanduser().resolve()
        self.force = force

    @property
    def is_free(self) -> bool:
        """Whether there is nothing, or an empty folder."""
        return not self.folder.exists() or (self.folder.is_dir() and not any(self.folder.iterdir()))

    def require(self) -> None:
        """Refuse a place where nothing can or may be put.

        Raises:
            InputError: its parent is missing, or something else stands there.
        """
        if not self.folder.parent.is_dir():
            raise InputError(
                f"{self.given} cannot be written: there is no folder {Path(self.given).parent}",
                hint="make the folder first",
            )
        if self.is_free:
            return
        if not self.folder.is_dir():
            raise InputError(f"{self.given} is a file, expected a folder to export to")
        if read_record(self.folder) is None:
            raise InputError(
                f"{self.given} holds files and is no export of pasctl, nothing there is touched",
                hint="give a new or an empty folder",
            )
        if not self.force:
            raise InputError(f"{self.given} holds another export", hint="--force replaces it")

    def holds(self, key: str) -> Proof | None:
        """The proof of an export of this key that stands there undamaged; None if there is none."""
        record = read_record(self.folder)
        if record is None or record.get("key") != key:
            return None
        try:
            require_files(self.folder, record["files"])
            return Proof(**record["proof"])
        except (PasctlError, KeyError, TypeError):
            return None

    def leftovers(self) -> list[Path]:
        """What exports to this place that were killed have left: unfinished ones, and whole ones that they replaced."""
        begin = tuple(f".{self.folder.name}.{what}-" for what in ("partial", "replaced"))
        return sorted(path for path in self.folder.parent.iterdir() if path.name.startswith(begin))

    @contextmanager
    def partial(self) -> Iterator[Path]:
        """An empty folder beside the place to write in; it is gone when the block ends, unless it was put in place.

        Raises:
            PasctlError: the disk is full or read-only.
        """
        folder = self._beside("partial")
        with self.errors():
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def publish(self, partial: Path) -> None:
        """Make what was written durable and give it its name, in one step.

        With `force` an earlier export is moved aside first, and removed when the new one stands.

        Raises:
            PasctlError: something was put there meanwhile, or the disk is full or read-only.
        """
        self.require()
        with self.errors():
            self._publish(partial)

    def _publish(self, partial: Path) -> None:
        mode = (partial / RECORD).stat().st_mode
        for path in sorted(partial.rglob("*"), reverse=True):
            if path.is_file():
                path.chmod(mode)  # weights are written for the owner alone, but a server may be somebody else
            make_durable(path)
        make_durable(partial)
        old = None if self.is_free else self._beside("replaced")
        if old is not None:
            self.folder.rename(old)
        try:
            partial.rename(self.folder)
        except OSError as error:
            if old is not None:
                old.rename(self.folder)
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise PasctlError(f"{self.given} was written by somebody else meanwhile") from error
            raise
        make_durable(self.folder.parent)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """What a disk refuses, as one line that names the place; other errors pass.

        The writers of weights and of tokenizer.json tell the system's error as text only.

        Raises:
            PasctlError: the disk is full or read-only, or something else is wrong with it.
        """
        try:
            yield
        except OSError as error:
            raise self._refused(error.errno, error.strerror or str(error)) from error
        except Exception as error:
            told = _SYSTEM.search(str(error))
            if told is None:
                raise
            raise self._refused(int(told[1]), str(error)) from error

    def _refused(self, code: int | None, why: str) -> PasctlError:
        if code in FULL:
            return PasctlError(
                f"disk full while exporting to {self.given}: {why}", hint="nothing is left there; free some space"
            )
        return PasctlError(f"{self.given} cannot be written: {why}", hint="give a folder that you can write to")

    def _beside(self, what: str) -> Path:
        return self.folder.with_name(f".{self.folder.name}.{what}-{secrets.token_hex(6)}")
