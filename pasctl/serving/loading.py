"""Answers while a model is loaded: that the process lives, and that nothing can be asked yet."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pasctl.serving.auth_middleware import LIVE, AuthMiddleware, allowed_hosts
from pasctl.serving.connections import http_config
from pasctl.serving.metrics import Metrics
from pasctl.serving.readiness import not_ready
from pasctl.serving.sending import refused
from pasctl.serving.settings import Settings

_CLOSING = 1.0  # seconds that connections have to end when the model is there


@contextmanager
def answering_early(listener: socket.socket, settings: Settings) -> Iterator[None]:
    """Answer at a socket in a thread while the block runs; connections that come as it ends wait in the socket."""
    server = uvicorn.Server(http_config(_app(settings), settings, closing=_CLOSING))
    # uvicorn closes what it listens on
    thread = threading.Thread(target=server.run, args=([listener.dup()],), name="pasctl-loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _app(settings: Settings) -> ASGIApp:
    keys = settings.keys()

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == LIVE:
            await JSONResponse({"status": "ok"})(scope, receive, send)
        else:
            await refused(not_ready("the model is being loaded"))(scope, receive, send)

    return AuthMiddleware(answer, Metrics(), keys, allowed_hosts(settings, keys))
