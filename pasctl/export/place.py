"""Where an export goes: written beside its place under a name that nobody loads, and renamed when all of it stands.

A new export takes the place of an earlier one in one step, where the system can exchange two names. Elsewhere the
earlier one is moved aside first; what a kill leaves then, the next export finds and puts back.
"""

from __future__ import annotations

import contextlib
import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pasctl.errors import InputError, PasctlError
from pasctl.export.exchange import exchange
from pasctl.export.files import RECORD, read_record, require_files
from pasctl.export.proof import Proof
from pasctl.store.disk import FULL, make_durable, unique_suffix
from pasctl.text_file import expand_home

_ASIDE = "replaced"  # in the name of an export that was moved aside
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
        self.folder = expand_home(folder).resolve()
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

    def holds(self, key: str, **said: str | None) -> Proof | None:
        """The proof of an export of this key that stands there undamaged; None if there is none.

        Args:
            key: of its artifact.
            **said: what its record must say, by name; None asks for nothing.
        """
        record = read_record(self.folder)
        if record is None or record.get("key") != key:
            return None
        if any(wanted is not None and record.get(name) != wanted for name, wanted in said.items()):
            return None
        try:
            require_files(self.folder, record["files"])
            return Proof(**record["proof"])
        except (PasctlError, KeyError, TypeError):
            return None

    def leftovers(self) -> list[Path]:
        """What exports to this place that were killed have left: unfinished ones, and whole ones that they replaced."""
        begin = tuple(f".{self.folder.name}.{what}-" for what in ("partial", _ASIDE))
        return sorted(path for path in self.folder.parent.iterdir() if path.name.startswith(begin))

    def restore(self) -> Path | None:
        """Put back the export that one which was killed had moved aside; None if there is none, or no room for it.

        Raises:
            PasctlError: the disk is read-only.
        """
        if not self.is_free or not self.folder.parent.is_dir():
            return None
        aside = [path for path in self.leftovers() if path.name.startswith(f".{self.folder.name}.{_ASIDE}-")]
        whole = [path for path in aside if read_record(path) is not None]
        if not whole:
            return None
        latest = max(whole, key=lambda path: path.stat().st_mtime_ns)
        with self.errors():
            latest.rename(self.folder)  # over an empty folder, if there is one
            make_durable(self.folder.parent)
        return latest

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

        With `force` an earlier export changes places with the new one, and is removed then.

        Raises:
            PasctlError: something was put there meanwhile, or the disk is full or read-only.
        """
        self.require()
        with self.errors():
            self._publish(partial)

    def _publish(self, partial: Path) -> None:
        mode = (partial / RECORD).stat().st_mode
        for path in sorted(partial.rglob("*"), reverse=True):
            if path.is_symlink():  # to a file of the base model, which is not ours to change
                continue
            if path.is_file():
                path.chmod(mode)  # weights are written for the owner alone, but a server may be somebody else
            make_durable(path)
        make_durable(partial)
        if self.is_free:
            self._take(partial)
        elif exchange(partial, self.folder):
            make_durable(self.folder.parent)
            self._require_ours(partial)
        else:
            self._replace(partial)

    def _take(self, partial: Path) -> None:
        """Give the new export its name, which is free."""
        try:
            partial.rename(self.folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise PasctlError(f"{self.given} was written by somebody else meanwhile") from error
            raise
        make_durable(self.folder.parent)

    def _require_ours(self, former: Path) -> None:
        """See that what stood there until now was an export; give it back if somebody put something else there."""
        if read_record(former) is None:
            exchange(former, self.folder)
            raise PasctlError(f"{self.given} was written by somebody else meanwhile")

    def _replace(self, partial: Path) -> None:
        """Move the earlier export aside, give the new one its name, remove the earlier one."""
        old = self._beside(_ASIDE)
        self.folder.rename(old)
        try:
            self._take(partial)
        except BaseException:
            with contextlib.suppress(OSError):
                old.rename(self.folder)
            raise
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
        return self.folder.with_name(f".{self.folder.name}.{what}-{unique_suffix()}")
