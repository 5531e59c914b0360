"""How a server is run; importable without the packages of the extra `serve`."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pasctl.errors import InputError, MissingError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.footprint import parse_size
from pasctl.option import check, option, same
from pasctl.serving.hosts import is_loopback, normal_host
from pasctl.serving.keys import ApiKey, Note, check_key, read_keys
from pasctl.text_file import expand_home

_PACKAGES = ("fastapi", "uvicorn", "pydantic")


@dataclass(frozen=True)
class Settings:
    """Where a server listens and how much it takes on."""

    host: str = option(
        "127.0.0.1", help="Address; one that others reach needs an API key.", metavar="ADDR", from_file=False
    )
    port: int = option(8000, help="Port; 0 takes any that is free.", minimum=0, metavar="N")
    api_key: str | None = option(
        None,
        help="Bearer token that requests must bring. Others see it in the list of processes: prefer the variable or "
        "--api-key-file.",
        env="PASCTL_API_KEY",
        metavar="KEY",
        from_file=False,
    )
    api_key_file: str | None = option(
        None,
        help="File of bearer tokens, one per line as KEY or NAME:KEY, each of which is good; # begins a comment. Logs "
        "and metrics tell the names.",
        env="PASCTL_API_KEY_FILE",
        metavar="FILE",
        from_file=False,
    )
    tls_cert: str | None = option(
        None,
        help="PEM file of the certificate, and of those between it and the root: serve HTTPS. Needs --tls-key.",
        env="PASCTL_TLS_CERT",
        metavar="FILE",
        from_file=False,
    )
    tls_key: str | None = option(
        None, help="PEM file of the certificate's key.", env="PASCTL_TLS_KEY", metavar="FILE", from_file=False
    )
    allowed_host: Sequence[str] = option(
        (),
        help="Name that requests may call the server by. May be given several times. Without an API key, and once one "
        "is given, names other than these, loopback and --host get 403.",
        metavar="NAME",
        from_file=False,
    )
    add_from: str | None = option(
        None,
        help="Folder of files of steering vectors that requests may add as personas (POST /v1/personas).",
        metavar="DIR",
        from_file=False,
    )
    max_batch: int = option(16, help="Texts written at the same time.", minimum=1, metavar="N")
    queue: int = option(64, help="Requests that may wait as well; more get 429.", minimum=0, metavar="N")
    timeout: float = option(300.0, help="Seconds a request may take, waiting included.", metavar="S")
    receive_timeout: float = option(
        10.0, help="Seconds that a request's headers may take to come, and its body again.", metavar="S"
    )
    connections: int = option(256, help="Connections at the same time; more get 503.", minimum=1, metavar="N")
    max_body: int = option(4 << 20, help="Most bytes of a request.", minimum=1, metavar="N")
    max_new_tokens: int = same(SamplingParams, "max_new_tokens", 1024)
    step_tokens: int = option(
        256, help="Tokens of prompts read between two tokens of the answers.", minimum=1, metavar="N"
    )
    prefix_cache: str = option(
        "1GiB",
        help="Keys and values that are kept of texts, so that a prompt that begins as one before is read from where it "
        "differs; 0 keeps none.",
        metavar="SIZE",
    )
    long_prompts: Literal["refuse", "memory"] = option(
        "refuse",
        help="Prompts that do not fit into the model's context with their answer: refuse them with 400, or read them "
        "through an episodic memory.",
    )
    grace: float = option(5.0, help="Seconds that running requests have when it stops.", metavar="S")

    def __post_init__(self) -> None:
        check(self)
        if self.add_from is not None and not expand_home(self.add_from).is_dir():
            raise MissingError(f"--add-from {self.add_from}: there is no such folder")
        _ = self.prefix_bytes
        if self.port > 65535:
            raise InputError(f"port is {self.port}, expected at most 65535")
        for name in ("timeout", "receive_timeout", "grace"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number of seconds above 0")
        if self.api_key is not None:
            check_key(self.api_key, "the API key")
        if (self.tls_cert is None) != (self.tls_key is None):
            given, absent = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            raise InputError(f"{given} is given without {absent}, expected both", hint=f"give {absent} FILE")
        for host in self.allowed_host:
            normal_host(host)
        if not self.asks_for_key and not is_loopback(self.host):
            raise InputError(
                f"host {self.host} can be reached by others, so requests must bring an API key",
                hint="set PASCTL_API_KEY or --api-key-file, or listen on 127.0.0.1",
            )

    @property
    def asks_for_key(self) -> bool:
        """Whether requests must bring a key."""
        return self.api_key is not None or self.api_key_file is not None

    @property
    def prefix_bytes(self) -> int:
        """Bytes of keys and values that are kept.

        Raises:
            InputError: `prefix_cache` is no size.
        """
        if re.fullmatch(r"0+ *([KMG]i?B)?", self.prefix_cache.strip(), re.IGNORECASE):
            return 0
        try:
            return parse_size(self.prefix_cache) or 0
        except InputError as error:
            raise InputError(
                f"prefix-cache is {self.prefix_cache!r}, expected a size", hint="such as 512MB or 2GiB; 0 keeps none"
            ) from error

    def keys(self, note: Note | None = None) -> tuple[ApiKey, ...]:
        """The keys that are good; `note` is called with what is unwise about their file.

        Raises:
            MissingError: the file of keys cannot be read.
            InputError: it holds something else than keys.
        """
        given = () if self.api_key is None else (ApiKey(self.api_key),)
        return (*given, *(() if self.api_key_file is None else read_keys(self.api_key_file, note)))


def require_packages() -> None:
    """Refuse to serve without the packages of the extra.

    Raises:
        MissingError: one is not installed.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise MissingError(f"serving needs the package {' and '.join(absent)}", hint="pip install 'pasctl[serve]'")
