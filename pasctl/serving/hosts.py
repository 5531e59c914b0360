"""Which names a server answers to.

A page in a browser can make a name of its own mean 127.0.0.1 (DNS rebinding) and then read a server there as if it were
its own. Its requests bring that name in the header Host.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from pasctl.errors import InputError

_PORT = re.compile(r":\d{1,5}$")  # an address of IPv6 is in brackets there
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")


def is_loopback(host: str) -> bool:
    """Whether a name or an address means this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def normal_host(host: str) -> str:
    """A name or an address as it is compared: in lower case, without a last dot or brackets.

    Raises:
        InputError: it is neither, for example with a port or a scheme.
    """
    name = host.lower().removesuffix(".")
    bare = name[1:-1] if name.startswith("[") and name.endswith("]") else name
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        if _NAME.fullmatch(name):
            return name
    raise InputError(f"host {host!r} is no name or address, expected one such as gpu.example.org, without a port")


class AllowedHosts:
    """The names in the header Host that requests may bring."""

    def __init__(self, bound: str, allowed: Iterable[str]) -> None:
        """Allow the address that is listened on, and some more; loopback names are always allowed."""
        self._names = {normal_host(host) for host in (bound, *allowed)}

    def permits(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Whether a request's headers name one host, and one of those allowed; its port may be any."""
        hosts = [value.decode("latin-1").strip() for name, value in headers if name == b"host"]
        if len(hosts) != 1:
            return False
        try:
            name = normal_host(_PORT.sub("", hosts[0]))
        except InputError:
            return False
        return is_loopback(name) or name in self._names
