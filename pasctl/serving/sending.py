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


class AnswerResponse(Response):
    """An answer, whole or as server-sent events; if the client hangs up, it is not written any further.

    Other forms of the same answer are subclasses.
    """

    streamed_as = "text/event-stream; charset=utf-8"

    def __init__(self, answering: Answering, metrics: Metrics) -> None:
        """Send what `answering` writes, and count it in `metrics`."""
        super().__init__()
        self.answering, self._metrics = answering, metrics

    def whole(self) -> dict[str, Any]:
        """The answer in one piece."""
        return self.answering.reply.whole(self.answering.choices)

    def begin(self, choice: Choice) -> bytes:
        """What is sent before a text."""
        return _event(self.answering.reply.first(choice))

    def piece(self, choice: Choice, text: str) -> bytes:
        """What is sent as a text grows."""
        chunk = self.answering.reply.piece(choice, text)
        return _event(chunk) if chunk else b""

    def end(self, choice: Choice) -> bytes:
        """What is sent when a text has ended."""
        reply, alone = self.answering.reply, len(self.answering.choices) == 1
        rest = reply.piece(choice, "", ended=True) if reply.kind == "chat" else None
        return (_event(rest) if rest else b"") + _event(reply.last(choice, alone=alone))

    def close(self) -> bytes:
        """What is sent after all texts."""
        usage = _event(self.answering.reply.usage(self.answering.choices)) if self.answering.include_usage else b""
        return usage + _DONE

    def failed(self, error: APIError) -> bytes:
        """What is sent where an answer breaks off."""
        return _event(error.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        watching = asyncio.create_task(self._watch(receive))
        try:
            if self.answering.streamed:
                await self._send_events(scope, receive, send)
            else:
                await self._send_whole(scope, receive, send)
        finally:
            watching.cancel()
            self._cancel()
            self._count()

    def _count(self) -> None:
        choices, reply, caller = self.answering.choices, self.answering.reply, CALLER.get()
        streams = [choice.stream for choice in choices]
        read = sum(stream.prompt_tokens for stream in streams[:: reply.per_prompt])
        self._metrics.observe_texts(streams, reply.note["persona"], read, caller.key if caller else "")

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._cancel()

    def _cancel(self) -> None:
        for choice in self.answering.choices:
            choice.stream.cancel()

    async def _send_whole(self, scope: Scope, receive: Receive, send: Send) -> None:
        choices = self.answering.choices
        try:
            async with _merged(choices) as pieces:
                async for _ in pieces:
                    pass
        except PasctlError as error:
            await refused(api_error_of(error))(scope, receive, send)
            return
        if all(choice.stream.finish_reason != "cancelled" for choice in choices):
            await JSONResponse(self.whole())(scope, receive, send)

    async def _send_events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The status waits for the first piece, so that what fails before it is told by the status."""
        headers = [(b"content-type", self.streamed_as.encode()), (b"cache-control", b"no-cache")]
        started = set[int]()
        try:
            async with _merged(self.answering.choices) as pieces:
                async for choice, text in pieces:
                    if not started:
                        await send({"type": "http.response.start", "status": 200, "headers": headers})
                    if choice.index not in started:
                        started.add(choice.index)
                        await _send_chunk(send, self.begin(choice))
                    await _send_chunk(send, self.end(choice) if text is None else self.piece(choice, text))
        except PasctlError as error:
            if started:
                await _send_chunk(send, self.failed(api_error_of(error)), last=True)
            else:
                await refused(api_error_of(error))(scope, receive, send)
            return
        await _send_chunk(send, self.close(), last=True)


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
    if body or last:
        await send({"type": "http.response.body", "body": body, "more_body": not last})
