"""Sending an answer while it is written, and noticing that nobody waits for it any more."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from pasctl.errors import PasctlError
from pasctl.serving.answering import Answering
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.caller import CALLER
from pasctl.serving.choices import Choice
from pasctl.serving.metrics import Metrics

_DONE = b"data: [DONE]\n\n"
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]


class AnswerResponse(Response):
    """An answer, whole or as server-sent events; if the client hangs up, it is not written any further."""

    def __init__(self, answering: Answering, metrics: Metrics) -> None:
        """Send what `answering` writes, and count it in `metrics`."""
        super().__init__()
        self._answering, self._metrics = answering, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            if self._answering.streamed:
                await self._send_events(scope, receive, send)
            else:
                await self._send_whole(scope, receive, send)
        finally:
            watching.cancel()
            self._cancel()
            self._count()

    def _count(self) -> None:
        choices, reply, caller = self._answering.choices, self._answering.reply, CALLER.get()
        streams = [choice.stream for choice in choices]
        read = sum(stream.prompt_tokens for stream in streams[:: reply.per_prompt])
        self._metrics.observe_texts(streams, reply.note["persona"], read, caller.key if caller else "")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._cancel()

    def _cancel(self) -> None:
        for choice in self._answering.choices:
            choice.stream.cancel()

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        choices = self._answering.choices
        try:
            async with _merged(choices) as pieces:
                async for _ in pieces:
                    pass
        except PasctlError as error:
            await refused(api_error_of(error))(scope, receive, send)
            return
        if all(choice.stream.finish_reason != "cancelled" for choice in choices):
            await JSONResponse(self._answering.reply.whole(choices))(scope, receive, send)

    async def _send_events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The status waits for the first piece, so that what fails before it is told by the status."""
        reply, choices = self._answering.reply, self._answering.choices
        started = set[int]()
        try:
            async with _merged(choices) as pieces:
                async for choice, text in pieces:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                    if choice.index not in started:
                        started.add(choice.index)
                        await _send_chunk(send, _event(reply.first(choice)))
                    if text is None:
                        await _send_chunk(send, _event(reply.last(choice, alone=len(choices) == 1)))
                    else:
                        await _send_chunk(send, _event(reply.piece(choice, text)))
        except PasctlError as error:
            if started:
                await _send_chunk(send, _event(api_error_of(error).body), last=True)
            else:
                await refused(api_error_of(error))(scope, receive, send)
            return
        usage = _event(reply.usage(choices)) if self._answering.include_usage else b""
        await _send_chunk(send, usage + _DONE, last=True)


_Pieces = AsyncIterator[tuple[Choice, str | None]]


@asynccontextmanager
async def _merged(choices: Sequence[Choice]) -> AsyncIterator[_Pieces]:
    """What the texts grow by, as it comes, and None when one has ended; raises what goes wrong with any."""
    queue: asyncio.Queue[tuple[Choice, str | Exception | None]] = asyncio.Queue()

    async def read(choice: Choice) -> None:
        try:
            async for piece in choice.stream:
                queue.put_nowait((choice, piece))
            queue.put_nowait((choice, None))
        except Exception as error:
            queue.put_nowait((choice, error))

    async def pieces() -> _Pieces:
        left = len(choices)
        while left:
            choice, piece = await queue.get()
            if isinstance(piece, Exception):
                raise piece
            left -= piece is None
            yield choice, piece

    readers = [asyncio.create_task(read(choice)) for choice in choices]
    try:
        yield pieces()
    finally:
        for reader in readers:
            reader.cancel()


def refused(error: APIError) -> JSONResponse:
    """The answer to a request that is refused."""
    return JSONResponse(error.body, error.status, dict(error.headers))


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _send_chunk(send: Send, body: bytes, *, last: bool = False) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": not last})
