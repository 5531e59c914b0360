"""How a server is run; importable without the packages of the extra `serve`."""

from __future__ import annotations

import importlib.util
import ipaddress
import math
import re
from dataclasses import dataclass

from pasctl.errors import InputError, MissingError

_PACKAGES = ("fastapi", "uvicorn", "pydantic")
_KEY = re.compile(r"[!-~]+")
_LEAST = {"port": 0, "max_batch": 1, "queue": 0, "max_body": 1, "max_new_tokens": 1, "step_tokens": 1}


@dataclass(frozen=True)
class Settings:
    """Where a server listens and how much it takes on.

    Attributes:
        host: address to listen on; one that others reach needs an `api_key`.
        port: 0 takes any that is free.
        api_key: what requests must bring as a bearer token; None asks for none.
        max_batch: texts that are written at the same time.
        queue: requests that may wait beside them; more get 429.
        timeout: seconds that a request may take, waiting included.
        max_body: bytes of a request.
        max_new_tokens: most tokens of an answer.
        alpha: strength where a request names none; None takes what `choose-alpha` chose for the persona, else 1.
        step_tokens: tokens of prompts that are read between two tokens of the answers.
        grace: seconds that running requests have to end when the server stops.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    max_batch: int = 16
    queue: int = 64
    timeout: float = 300.0
    max_body: int = 4 << 20
    max_new_tokens: int = 1024
    alpha: float | None = None
    step_tokens: int = 256
    grace: float = 5.0

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least {least}")
        if self.alpha is not None and not math.isfinite(self.alpha):
            raise InputError(f"alpha is {self.alpha}, expected a number")
        if self.port > 65535:
            raise InputError(f"port is {self.port}, expected at most 65535")
        for name in ("timeout", "grace"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number of seconds above 0")
        if self.api_key is not None and not _KEY.fullmatch(self.api_key):
            raise InputError("the API key is empty, or has white space or other than ASCII characters")
        if self.api_key is None and not _is_loopback(self.host):
            raise InputError(
                f"host {self.host} can be reached by others, so requests must bring an API key",
                hint="set PASCTL_API_KEY or --api-key, or listen on 127.0.0.1",
            )


def require_packages() -> None:
    """Refuse to serve without the packages of the extra.

    Raises:
        MissingError: one is not installed.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingError(f"serving needs the package {' and '.join(absent)}", hint="pip install 'pasctl[serve]'")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
