"""Which remote a user means: by a name, a URL, or the path of a folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from pasctl.errors import InputError
from pasctl.store.remote import Remote, without_secret

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*(?=://)", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def find_remote(given: str, named: Mapping[str, str]) -> Remote:
    """The remote that a name, a URL or the path of a folder means; nothing is asked of it yet.

    Args:
        given: what the user wrote.
        named: URL, or path, by name.

    Raises:
        InputError: it is none of these, or nothing is known of such URLs.
        MissingError: the package for such URLs is not installed.
    """
    if given in named:
        return open_remote(named[given])
    if not given or (_NAME.fullmatch(given) and not Path(given).is_dir()):
        known = f"known are {', '.join(sorted(named))}" if named else "pasctl.toml names none"
        raise InputError(
            f"there is no remote {given!r}: {known}",
            hint=f"give a URL or a folder such as ./{given or 'lab'}, or a line such as "
            f'{given or "lab"} = "URL" below [remotes] in pasctl.toml',
        )
    return open_remote(given)


def open_remote(url: str) -> Remote:
    """The remote at a URL or the path of a folder; see `find_remote`."""
    if "::" in url.partition("//")[0]:
        raise InputError(
            f"remote {without_secret(url)}: expected one URL, found several joined by ::", hint="give the last of them"
        )
    match = _SCHEME.match(url)
    scheme = match[0].lower() if match else ""
    if not scheme or scheme == "file":
        from pasctl.store.remote_folder import FolderRemote

        return FolderRemote(Path(url[7:] if scheme else url).expanduser())
    if scheme in ("http", "https"):
        from pasctl.store.remote_http import HttpRemote

        return HttpRemote(url)
    from pasctl.store.remote_fsspec import FsspecRemote

    return FsspecRemote(url, scheme)
