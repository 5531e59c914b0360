"""Connections: so many at a time, and each must say in time what it wants."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pasctl.serving.api_error import APIError
from pasctl.serving.settings import Settings
from pasctl.text_file import expand_home


class Connection(H11Protocol):
    """A connection that is closed if it is one too many, or if the headers of a request do not come in time.

    uvicorn itself waits for headers forever, so a few hundred silent connections would take all files of the process.
    """

    most: int
    seconds: float
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, and wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.most:
            message = f"{self.most} connections are open, expected fewer"
            self._refuse(APIError(503, message, code="too_many_connections", headers={"Retry-After": "1"}))
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; the clock runs from the first byte of a request to the end of its headers."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if self._answering:
            self._stop_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_waiting()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, in the form of all errors."""
        self._refuse(APIError(400, "this is no valid HTTP request", code="invalid_request"))

    @property
    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        message = f"the headers were not there after {self.seconds:g} seconds"
        self._refuse(APIError(408, message, code="timeout"))

    def _refuse(self, error: APIError) -> None:
        if not self._answering and not self.transport.is_closing():  # never into another answer
            body = json.dumps(error.body).encode()
            lines = [
                f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
                "content-type: application/json",
                f"content-length: {len(body)}",
                "connection: close",
                *(f"{name}: {value}" for name, value in error.headers.items()),
            ]
            self.transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        self.transport.close()


def http_config(app: ASGIApp, settings: Settings, *, closing: float = 0) -> uvicorn.Config:
    """How uvicorn serves the application.

    Args:
        app: the application.
        settings: how many connections, and how long they may be silent.
        closing: seconds from the signal to stop until connections that still run are closed; 0 waits for their end.
    """
    limits = {"most": settings.connections, "seconds": settings.receive_timeout}
    return uvicorn.Config(
        app,
        http=type("LimitedConnection", (Connection,), limits),
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        server_header=False,
        ssl_certfile=None if settings.tls_cert is None else expand_home(settings.tls_cert),
        ssl_keyfile=None if settings.tls_key is None else expand_home(settings.tls_key),
        timeout_graceful_shutdown=int(closing) + 1 if closing else None,
    )
