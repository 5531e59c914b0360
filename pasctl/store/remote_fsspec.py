"""A remote that fsspec knows: object stores, SFTP, and whatever else has a package for it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.store.disk import TEMPORARY, unique_suffix
from pasctl.store.parcel import CHUNK
from pasctl.store.remote import STAGING, WORKERS, Remote, nowhere, remote_errors, without_secret

_WHOLE = {"s3", "s3a", "gs", "gcs", "memory"}
"""Where a file appears when it is complete, and a name can be refused that is taken."""
_BUCKETS = {"s3", "s3a", "gs", "gcs"}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}
_PARTS = {"chunksize": 16 * CHUNK, "max_concurrency": 2}  # of a large file: with the workers, 256 MiB in memory
_HOSTS = {"sftp", "ssh"}
_TAKEN = ("PreconditionFailed", "pre-conditions", "conditionNotMet")


class FsspecRemote(Remote):
    """Files below a URL that fsspec knows."""

    def __init__(self, url: str, scheme: str) -> None:
        """Open the filesystem; most of them connect when they are used.

        Raises:
            InputError: nothing is known of such URLs.
            MissingError: the package for them is not installed.
            RemoteError: the machine cannot be reached, or refuses.
        """
        super().__init__(url)
        self._scheme = scheme
        self._fs, root = _opened(url, scheme)
        self._root = root.rstrip("/")
        self.workers = 1 if scheme in _HOSTS else WORKERS  # one connection there

    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a file."""
        with remote_errors(self.url, path), self._fs.open(self._at(path), "rb", **self._unbuffered()) as stream:
            while chunk := stream.read(CHUNK):
                yield bytes(chunk)

    def _unbuffered(self) -> dict[str, Any]:
        """Read ahead a few chunks, and keep none of them."""
        return {"block_size": 8 * CHUNK, "cache_type": "readahead"} if self._scheme in _BUCKETS else {}

    def names(self, folder: str) -> list[str]:
        """The names in a folder."""
        with remote_errors(self.url, folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._fs.invalidate_cache()
            paths = self._fs.ls(self._at(folder), detail=False)
            names = {str(path).rstrip("/").rpartition("/")[2] for path in paths if str(path) != self._at(folder)}
            return sorted(name for name in names if name and not name.startswith(TEMPORARY))
        return []

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes by path below a folder."""
        root = self._at(folder)
        with remote_errors(self.url, folder), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._fs.invalidate_cache()
            entries = self._fs.find(root, detail=True)
            begin = len(root.strip("/")) + 1
            paths = {str(path).strip("/")[begin:]: about for path, about in entries.items()}
            return {path: int(about["size"]) for path, about in paths.items() if TEMPORARY not in path}
        return {}

    def put(self, path: str, local: Path) -> bool:
        """Copies a file."""
        parts = _PARTS if self._scheme in ("s3", "s3a") else {}
        return self._write(path, lambda place, **more: self._fs.put_file(str(local), place, **parts, **more))

    def create(self, path: str, data: bytes) -> bool:
        """Writes a small file."""
        return self._write(path, lambda place, **more: self._fs.pipe_file(place, data, **more))

    def _write(self, path: str, write: Callable[..., object]) -> bool:
        place = self._at(path)
        with remote_errors(self.url, path):
            try:
                if self._scheme in _WHOLE:
                    if self._scheme == "memory":
                        self._fs.makedirs(place.rpartition("/")[0], exist_ok=True)
                    write(place, mode="create")
                    return True
                return self._renamed(place, write)
            except FileExistsError:
                return False
            except FileNotFoundError as error:
                raise nowhere(self.url) from error
            except Exception as error:  # each service says in its own way that the name is taken
                if any(words in str(error) for words in _TAKEN):
                    return False
                raise

    def _renamed(self, place: str, write: Callable[..., object]) -> bool:
        """A file written under a name of its own, and then called what it is."""
        if self._fs.exists(place):
            return False
        temporary = self._at(f"{STAGING}/{TEMPORARY}{unique_suffix()}")
        for each in (place, temporary):
            self._fs.makedirs(each.rpartition("/")[0], exist_ok=True)
        try:
            write(temporary)
            if self._fs.exists(place):
                return False
            self._fs.mv(temporary, place)
        finally:
            with contextlib.suppress(Exception):
                if self._fs.exists(temporary):
                    self._fs.rm_file(temporary)
        return True

    def require(self, *, writing: bool = False) -> None:
        """The bucket is there; folders are made as they are needed."""
        with remote_errors(self.url):
            if self._scheme in _BUCKETS:
                try:
                    self._fs.ls(self._root, refresh=True)
                except FileNotFoundError as error:
                    if not self._fs.exists(self._root.partition("/")[0]):
                        raise nowhere(self.url) from error

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root


def _opened(url: str, scheme: str) -> tuple[Any, str]:
    """The filesystem of a URL, and the path of the URL in it."""
    import fsspec

    shown = without_secret(url)
    try:
        kind = fsspec.get_filesystem_class(scheme)
    except ValueError as error:
        raise InputError(
            f"remote {shown}: nothing is known of {scheme}://",
            hint="expected a folder, s3://, gs://, sftp:// or https://",
        ) from error
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        how = f"pip install 'pasctl[{extra}]'" if extra else f"{error}"
        raise MissingError(f"remote {shown}: the package for {scheme}:// is not installed", hint=how) from error
    with remote_errors(shown):
        if scheme in _HOSTS:
            kind = _with_known_hosts(kind)
        options = kind._get_kwargs_from_urls(url)
        root = str(kind._strip_protocol(url))
        try:
            return kind(**options), root
        except FileNotFoundError as error:
            raise nowhere(shown) from error


def _with_known_hosts(kind: Any) -> Any:
    """SFTP to machines that this one knows: fsspec's own would trust any machine that answers."""
    import paramiko

    class KnownHosts(kind):  # type: ignore[misc]
        def _connect(self) -> None:
            self.client = paramiko.SSHClient()
            self.client.load_system_host_keys()
            self.client.set_missing_host_key_policy(paramiko.RejectPolicy())
            self.client.connect(self.host, **self.ssh_kwargs)
            self.ftp = self.client.open_sftp()

    return KnownHosts
