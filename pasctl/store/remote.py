"""Remotes: places outside this machine's store that hold artifacts in the same form, and what is asked of one.

A remote is a tree of files like that of a store, without its index:

    objects/<kind>/<k2>/<hash>/               payload files first, manifest.json last: with it the artifact is there
    refs/names/<kind>/<model>/<label>/v<N>    a file that holds a key; the remote counts versions by itself
    refs/tags/<tag>                           the same

No file is ever written over: whoever creates one is its only writer. So a remote that is a folder is a store.
"""

from __future__ import annotations

import contextlib
import re
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

from pasctl.errors import InputError, IntegrityError, MissingError, PasctlError, RemoteError

WORKERS = 8
STAGING = "staging"
"""The folder of a remote where files are while they are written, if they are not whole at once."""
_SECRET = re.compile(r"(?<=//)[^/@]*@")
_NO_CREDENTIALS = (
    "credential",
    "access denied",
    "accessdenied",
    "forbidden",
    "unauthorized",
    "permission",
    "authentication",
    "signature",
)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Remote(ABC):
    """A tree of files somewhere.

    Attributes:
        url: of its root, without a password.
        workers: files that are moved at the same time.
    """

    workers: int = WORKERS

    def __init__(self, url: str) -> None:
        self.url = without_secret(url)

    @abstractmethod
    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a file.

        Raises:
            FileNotFoundError: there is none; before the first bytes.
            RemoteError: it cannot be read.
        """

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """The names in a folder, sorted; none where there is no such folder."""

    @abstractmethod
    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes by path of the files at any depth below a folder, relative to it."""

    def paths(self, folder: str) -> list[str]:
        """The paths of these files, sorted; of an artifact it is enough that its manifest is named."""
        return sorted(self.sizes(folder))

    @abstractmethod
    def put(self, path: str, local: Path) -> bool:
        """Copies a file of this machine, unless the name is taken: whether it did. It appears whole or not at all.

        Raises:
            RemoteError: it cannot be written.
        """

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """The same for bytes: exactly one of several processes gets True."""

    @abstractmethod
    def require(self, *, writing: bool = False) -> None:
        """Raises MissingError if there is no such place, or RemoteError if it cannot be reached.

        With `writing` it is enough that the place can be made, and InputError is raised if it can only be read.
        """

    def read_whole(self, path: str, most: int) -> bytes | None:
        """The bytes of a small file; None if there is none.

        Raises:
            IntegrityError: it has more than `most` bytes.
            RemoteError: it cannot be read.
        """
        data = bytearray()
        try:
            for chunk in self.read(path):
                data += chunk
                if len(data) > most:
                    raise IntegrityError(f"{self.url}/{path}: expected at most {most:,} bytes, found more")
        except FileNotFoundError:
            return None
        return bytes(data)


def without_secret(url: str) -> str:
    """A URL that may be shown: without the name and the password that may stand before its host."""
    return _SECRET.sub("", url.rstrip("/"))


@contextlib.contextmanager
def remote_errors(url: str, path: str = "") -> Iterator[None]:
    """Turns what libraries raise into RemoteError; a missing or existing file passes."""
    try:
        yield
    except (PasctlError, FileNotFoundError, FileExistsError):
        raise
    except Exception as error:  # every library has its own
        place = f"{url}/{path}" if path else url
        words = without_secret(str(error).partition("\n")[0]) or type(error).__name__
        if isinstance(error, PermissionError) or any(each in words.lower() for each in _NO_CREDENTIALS):
            hint = "give credentials as the tools of that service read them: variables, a profile, a key file"
            raise RemoteError(f"remote {place}: access is refused: {words}", hint=hint) from error
        hint = "is the URL right, and can the machine be reached? what has arrived is kept: run the same command again"
        raise RemoteError(f"remote {place}: {words}", hint=hint) from error


def read_only(url: str) -> InputError:
    """The error for a write to a remote that is only read."""
    return InputError(
        f"remote {url} can only be read", hint="push to where it is served from: a folder, s3://, gs:// or sftp://"
    )


def nowhere(url: str) -> MissingError:
    """The error for a remote without a place."""
    return MissingError(f"there is no {url}", hint="look at the URL; `pasctl store push` makes folders, but no buckets")


def in_parallel(
    work: Callable[[_Item], _Result],
    items: Iterable[_Item],
    workers: int,
    done: Callable[[_Result], None] | None = None,
    stop: threading.Event | None = None,
) -> list[_Result]:
    """What `work` gives for each item, in their order, several at a time.

    The first error, or an interrupt, ends it: what has not begun is not begun.

    Args:
        work: done in a thread for each item.
        items: any number.
        workers: how many are at work at the same time.
        done: called in this thread with each result, as it is ready.
        stop: set at the first error, for work that can end early.
    """
    todo = list(items)
    with ThreadPoolExecutor(max_workers=workers) as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for future in as_completed(futures):
                result = future.result()
                if done is not None:
                    done(result)
        except BaseException:
            if stop is not None:
                stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
