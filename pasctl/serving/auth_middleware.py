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
from pasctl.serving.hosts import AllowedHosts
from pasctl.serving.keys import KeyCheck
from pasctl.serving.metrics import Metrics
from pasctl.serving.sending import refused

PATHS = (
    *(
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/models",
        "/v1/personas",
        "/tokenize",
        "/detokenize",
        "/tokenizer_info",
    ),
    *("/health", "/metrics", "/openapi.json"),
)
_OPEN = "/health"
_DRAINED = 8  # times the limit that is read of a body that is too long, so that its sender hears the answer
_HUNG_UP = 499  # no status of HTTP: as web servers log it
_log = logging.getLogger("pasctl.serving.access")


class AuthMiddleware:
    """Asks for the API key and the name, counts and logs every request, and answers what fails unexpectedly."""

    def __init__(self, app: ASGIApp, metrics: Metrics, keys: Sequence[str], hosts: AllowedHosts | None) -> None:
        """Wrap `app`; no keys ask for none, and no hosts allow all."""
        self._app, self._metrics, self._hosts = app, metrics, hosts
        self._is_key = KeyCheck(keys) if keys else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, if it may pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), _HUNG_UP

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            self._check_host(scope)
            self._check_key(scope)
            await self._app(scope, receive, noting)
        except BaseException as error:  # what the application has answered already it raises once more
            if not is_failure(error):
                raise
            if status == _HUNG_UP:
                await refused(api_error_of(error))(scope, receive, noting)
        finally:
            seconds = time.monotonic() - began
            path = _known(scope["path"])
            self._metrics.observe(path, status, seconds)
            _log.info("%s %s %d %.2f s", scope["method"], path, status, seconds)

    def _check_host(self, scope: Scope) -> None:
        if self._hosts is not None and not self._hosts.permits(scope["headers"]):
            raise APIError(403, "the header Host names none of this server's names; see --allowed-host", code="host")

    def _check_key(self, scope: Scope) -> None:
        if self._is_key is None or scope["path"] == _OPEN:
            return
        scheme, _, key = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not self._is_key(key.strip()):
            told = "the API key is missing or wrong, expected it as a bearer token"
            raise APIError(401, told, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


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
