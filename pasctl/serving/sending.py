"""Sending an answer while it is written, and noticing that nobody waits for it any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from pasctl.errors import PasctlError
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.service import Answering

_DONE = b"data: [DONE]\n\n"
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class AnswerResponse(Response):
    """An answer, whole or as server-sent events; if the client hangs up, it is not written any further."""

    def __init__(self, answering: Answering) -> None:
        """Send what `answering` writes."""
        super().__init__()
        self._answering, self._stream = answering, answering.stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            pieces = aiter(self._stream)
            if self._answering.streamed:
                await self._send_events(pieces, scope, receive, send)
            else:
                await self._send_whole(pieces, scope, receive, send)
        finally:
            watching.cancel()
            self._stream.cancel()

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._stream.cancel()

    async def _send_whole(self, pieces: AsyncIterator[str], scope: Scope, receive: Receive, send: Send) -> None:
        try:
            text = "".join([piece async for piece in pieces])
        except PasctlError as error:
            await refused(api_error_of(error))(scope, receive, send)
            return
        if self._stream.finish_reason != "cancelled":
            await JSONResponse(self._answering.reply.whole(text, self._stream))(scope, receive, send)

    async def _send_events(self, pieces: AsyncIterator[str], scope: Scope, receive: Receive, send: Send) -> None:
        """The status waits for the first piece, so that what fails before it is told by the status."""
        reply = self._answering.reply
        try:
            piece = await anext(pieces, None)
        except PasctlError as error:
            await refused(api_error_of(error))(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await _send_chunk(send, _event(reply.first()))
        try:
            while piece is not None:
                await _send_chunk(send, _event(reply.piece(piece)))
                piece = await anext(pieces, None)
        except PasctlError as error:
            await _send_chunk(send, _event(api_error_of(error).body), last=True)
            return
        end = _event(reply.last(self._stream))
        if self._answering.include_usage:
            end += _event(reply.usage(self._stream))
        await _send_chunk(send, end + _DONE, last=True)


def refused(error: APIError) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(error.body, error.status, dict(error.headers))


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _send_chunk(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
