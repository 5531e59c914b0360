"""A remote that a web server serves: read only, without a package.

What is in a folder is read from the page that the server makes of it, as Apache, nginx and `python -m http.server` do.
A server that makes none still gives artifacts by their whole keys.
"""

from __future__ import annotations

import base64
import contextlib
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path

from pasctl.errors import RemoteError
from pasctl.store.manifest import MANIFEST
from pasctl.store.parcel import CHUNK
from pasctl.store.remote import Remote, in_parallel, read_only, remote_errors

_SECONDS = 60
_TRIES = 3
_PAUSE = 0.5  # seconds before the second try; the third waits twice as long
_MOST_PAGE = 1 << 26  # bytes of the page of a folder
_DEEPEST = 8  # folders within each other: a server may send any page for any address
_ARTIFACT = re.compile(r"(^|/)[0-9a-f]{64}/$")
_GONE = (404, 410)
_LATER = (408, 425, 429, 500, 502, 503, 504)


class HttpRemote(Remote):
    """Files below an http or https URL."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._root = self.url
        user = urllib.parse.urlsplit(url).netloc.rpartition("@")[0]
        self._password = base64.b64encode(urllib.parse.unquote(user).encode()).decode("ascii") if user else ""

    def read(self, path: str) -> Iterator[bytes]:
        """The bytes of a file."""
        with self._opened(path) as response:
            length, count = int(response.headers.get("Content-Length") or -1), 0
            while chunk := response.read(CHUNK):
                count += len(chunk)
                yield chunk
            if count < length:  # http.client does not say so when it is read in parts
                raise IncompleteRead(b"", length - count)

    @contextlib.contextmanager
    def _opened(self, path: str) -> Iterator[HTTPResponse]:
        address = f"{self._root}/{urllib.parse.quote(path)}"
        with remote_errors(self.url, path):
            try:
                with self._tried(address) as response:
                    yield response
            except urllib.error.HTTPError as error:
                if error.code in _GONE:
                    raise FileNotFoundError(address) from error
                hint = "the server wants credentials" if error.code in (401, 403) else "look at the URL"
                raise RemoteError(f"remote {self.url}/{path}: {error.code} {error.reason}", hint=hint) from error
            except urllib.error.URLError as error:
                raise RemoteError(
                    f"remote {self.url} cannot be reached: {error.reason}", hint="look at the URL and the network"
                ) from error
            except HTTPException as error:
                what = f"the connection ended early ({type(error).__name__})"
                raise RemoteError(f"remote {self.url}/{path}: {what}", hint="run the same command again") from error

    def _tried(self, address: str) -> HTTPResponse:
        request = urllib.request.Request(address)  # noqa: S310 - http or https
        if self._password:  # not for where the server sends us on to
            request.add_unredirected_header("Authorization", f"Basic {self._password}")
        for left in range(_TRIES, 0, -1):
            try:
                response: HTTPResponse = urllib.request.urlopen(request, timeout=_SECONDS)  # noqa: S310
                return response
            except urllib.error.HTTPError as error:
                if error.code not in _LATER or left == 1:
                    raise
            time.sleep(_PAUSE * (_TRIES - left + 1))
        raise AssertionError("the last try returns or raises")

    def names(self, folder: str) -> list[str]:
        """The names on the page of a folder; those of folders end in a slash on it, and not here."""
        return sorted(name.rstrip("/") for name in self._page(folder))

    def _page(self, folder: str) -> set[str]:
        page = self.read_whole(f"{folder}/", _MOST_PAGE)
        if page is None:
            return set()
        links = _Links()
        links.feed(page.decode("utf-8", "replace"))
        return links.names

    def paths(self, folder: str) -> list[str]:
        """The paths below a folder; the page of an artifact, which has a manifest, is not asked for."""
        found, level = [], [""]
        while level:
            pages = in_parallel(lambda inner: self._page(f"{folder}/{inner}".rstrip("/")), level, self.workers)
            names = [f"{inner}{name}" for inner, page in zip(level, pages, strict=True) for name in page]
            artifacts = [name for name in names if _ARTIFACT.search(name)]
            found += [f"{name}{MANIFEST}" for name in artifacts] + [name for name in names if not name.endswith("/")]
            level = sorted({name for name in names if name.endswith("/")}.difference(artifacts))
            level = [name for name in level if name.count("/") <= _DEEPEST]
        return sorted(found)

    def sizes(self, folder: str) -> dict[str, int]:
        """Refuse: only who writes asks, and a page does not say."""
        raise read_only(self.url)

    def put(self, path: str, local: Path) -> bool:
        """Refuse."""
        raise read_only(self.url)

    def create(self, path: str, data: bytes) -> bool:
        """Refuse."""
        raise read_only(self.url)

    def require(self, *, writing: bool = False) -> None:
        """Any answer will do: a server need not have a page for its root."""
        if writing:
            raise read_only(self.url)
        with contextlib.suppress(FileNotFoundError), self._opened(""):
            pass


class _Links(HTMLParser):
    """The names that the page of a folder links to."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take a link to a file or folder right below."""
        target = dict(attrs).get("href") if tag == "a" else None
        if not target or any(sign in target for sign in "?#:"):
            return
        name = urllib.parse.unquote(target.removeprefix("./"))
        if name.strip("/.") and name.count("/") == name.endswith("/"):
            self.names.add(name)
