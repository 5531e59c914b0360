"""How a server is run; importable without the packages of the extra `serve`."""

from __future__ import annotations

import importlib.util
import ipaddress
import math
import re
from dataclasses import dataclass

from pasctl.errors import InputError, MissingError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.option import check, option, same

_PACKAGES = ("fastapi", "uvicorn", "pydantic")
_KEY = re.compile(r"[!-~]+")


@dataclass(frozen=True)
class Settings:
    """Where a server listens and how much it takes on."""

    host: str = option("127.0.0.1", help="Address; one that others reach needs an API key.", metavar="ADDR")
    port: int = option(8000, help="Port; 0 takes any that is free.", minimum=0, metavar="N")
    api_key: str | None = option(
        None, help="Bearer token that requests must bring.", env="PASCTL_API_KEY", metavar="KEY"
    )
    max_batch: int = option(16, help="Texts written at the same time.", minimum=1, metavar="N")
    queue: int = option(64, help="Requests that may wait as well; more get 429.", minimum=0, metavar="N")
    timeout: float = option(300.0, help="Seconds a request may take, waiting included.", metavar="S")
    max_body: int = option(4 << 20, help="Most bytes of a request.", minimum=1, metavar="N")
    max_new_tokens: int = same(SamplingParams, "max_new_tokens", 1024)
    step_tokens: int = option(
        256, help="Tokens of prompts read between two tokens of the answers.", minimum=1, metavar="N"
    )
    grace: float = option(5.0, help="Seconds that running requests have when it stops.", metavar="S")

    def __post_init__(self) -> None:
        check(self)
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
