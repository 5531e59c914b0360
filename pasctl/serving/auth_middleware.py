"""Around the whole application: who may ask, how much and how long they may send, and that all that fails is told."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pasctl.models.transformers_compat import is_failure
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.caller import CALLER, HEADER, Caller, request_id
from pasctl.serving.hosts import AllowedHosts
from pasctl.serving.keys import ApiKey, KeyCheck
from pasctl.serving.metrics import Metrics
from pasctl.serving.sending import refused
from pasctl.serving.settings import Settings

LIVE, READY = "/live", "/ready"
OLLAMA = "/api/"
"""What the paths of Ollama begin with."""
PATHS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/personas"),
    *("/tokenize", "/detokenize", "/tokenizer_info"),
    *("/api/chat", "/api/tags", "/api/version"),
    *("/health", LIVE, READY, "/metrics", "/openapi.json"),
)
_OPEN = ("/health", LIVE, READY)
_DRAINED = 8  # times the limit that is read of a body that is too long, so that its sender hears the answer
_HUNG_UP = 499  # no status of HTTP: as web servers log it
_log = logging.getLogger("pasctl.serving.access")


class AuthMiddleware:
    """Asks for key and name, gives each request an id, counts and logs it, and answers what fails unexpectedly.

    Attributes:
        app: what is wrapped.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Sequence[ApiKey], hosts: AllowedHosts | None) -> None:
        """Wrap `app`; no keys ask for none, and no hosts allow all."""
        self.app, self._metrics, self._hosts = app, metrics, hosts
        self._keys = KeyCheck(keys) if keys else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), _HUNG_UP
        caller = Caller(request_id(scope["headers"]), in_words=scope["path"].startswith(OLLAMA))
        token = CALLER.set(caller)

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (HEADER, caller.id.encode())]
            await send(message)

        try:
            self._check_host(scope)
            caller.key = self._name_of_key(scope)
            await self.app(scope, receive, noting)
        except BaseException as error:  # what the application has answered already it raises once more
            if not is_failure(error):
                raise
            if status == _HUNG_UP:
                await refused(api_error_of(error))(scope, receive, noting)
        finally:
            seconds = time.monotonic() - began
            path = _known(scope["path"])
            self._metrics.observe(path, status, seconds, caller.key)
            told = f" key={caller.key}" if caller.key else ""
            _log.info("%s %s %d %.2f s id=%s%s", scope["method"], path, status, seconds, caller.id, told)
            CALLER.reset(token)

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is not None and not self._hosts.permits(scope["headers"]):
            raise APIError(403, "the header Host names none of this server's names; see --allowed-host", code="host")

    def _name_of_key(self, scope: Scope) -> str:
        """The name of the key that a request brings; "" where it needs none."""
        if self._keys is None or scope["path"] in _OPEN:
            return ""
        scheme, _, key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        name = self._keys.name_of(key.strip()) if scheme.lower() == b"bearer" else None
        if name is None:
            told = "the API key is missing or wrong, expected it as a bearer token"
            raise APIError(401, told, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})
        return name


def allowed_hosts(settings: Settings, keys: Sequence[ApiKey]) -> AllowedHosts | None:
    """The names that a server answers to; None is any.

    A page elsewhere cannot bring a key, so with one any name will do unless some are given.
    """
    return AllowedHosts(settings.host, settings.allowed_host) if settings.allowed_host or not keys else None


def _known(path: str) -> str:
    """One of few words for a path: what clients write there is neither counted nor logged."""
    return next((each for each in PATHS if path == each or path.startswith(f"{each}/")), "other")


async def read_body(request: Request, most: int, seconds: float) -> bytes:
    """A request's body, which must be JSON by its own account.

    A browser asks before it sends JSON to another site, so a page elsewhere cannot use a server on its user's machine.

    Raises:
        APIError: 415, it is something else; 413, it has more than `most` bytes; 408, it took more than `seconds`; 400,
            its sender hung up.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise APIError(
            415, f"the body is {kind or 'of no type'}, expected application/json", code="invalid_content_type"
        )
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, most)
    except TimeoutError:
        raise APIError(408, f"the body was not there after {seconds:g} seconds", code="timeout") from None


async def _read(request: Request, most: int) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise APIError(400, "the sender hung up")
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
        elif size > _DRAINED * most:
            break
    if size > most:
        raise APIError(413, f"the body has more than {most} bytes", code="request_too_large")
    return b"".join(chunks)
