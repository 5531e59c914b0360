"""The HTTP application: OpenAI's paths, health and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from pasctl.serving.answering import Answering
from pasctl.serving.api_error import APIError, api_error_of, busy
from pasctl.serving.auth_middleware import LIVE, READY, AuthMiddleware, allowed_hosts, read_body
from pasctl.serving.metrics import CONTENT_TYPE, Metrics
from pasctl.serving.ollama import OllamaChatRequest, OllamaResponse, tags
from pasctl.serving.openapi import describe
from pasctl.serving.personas import ServedPersonas
from pasctl.serving.protocol import parse
from pasctl.serving.readiness import Readiness
from pasctl.serving.sending import AnswerResponse, refused
from pasctl.serving.service import Service
from pasctl.serving.settings import Settings
from pasctl.version import __version__

T = TypeVar("T")


class _Desk:
    """Takes requests in: as many at a time as the engine holds, prepared one by one in a thread beside the loop's."""

    def __init__(self, settings: Settings, readiness: Readiness) -> None:
        self._settings, self._readiness = settings, readiness
        self._places = settings.max_batch + settings.queue
        # the store, the tokenizer and what is kept of both are used by one thread at a time
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pasctl-prepare")

    async def take(self, request: Request, prepare: Callable[[bytes], T]) -> T:
        """Read a request, and give what is prepared from its body.

        Raises:
            APIError: it cannot be answered.
        """
        if request.url.query:
            raise APIError(400, "the path has a query, expected all fields in the body", "query", "unknown_parameter")
        self._readiness.require_running()
        seconds = min(self._settings.receive_timeout, self._settings.timeout)
        body = await read_body(request, self._settings.max_body, seconds)  # who sends slowly takes nobody's place
        if self._places <= 0:
            raise busy("too many requests run or wait")
        self._places -= 1
        try:
            return await self.run(prepare, body)
        finally:
            self._places += 1

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Call a function of the service in the thread."""
        known = copy_context().run  # whose request it is, for the log
        return await asyncio.get_running_loop().run_in_executor(self._thread, known, function, *arguments)


def make_app(service: Service, settings: Settings, readiness: Readiness | None = None) -> ASGIApp:
    """The application that answers with `service`; `readiness` is told from outside when the server stops."""
    readiness = readiness or Readiness(service.engine)
    app = FastAPI(title="pasctl", version=__version__, openapi_url=None)  # our own description is truer than its
    metrics, desk, keys = Metrics(), _Desk(settings, readiness), settings.keys()
    document = describe(keyed=bool(keys))

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return AnswerResponse(await desk.take(request, service.chat), metrics)

    @app.post("/v1/completions")
    async def completions(request: Request) -> Response:
        return AnswerResponse(await desk.take(request, service.completion), metrics)

    _add_tokens(app, service, desk)
    _add_ollama(app, service, desk, metrics)

    @app.get("/v1/models")
    async def models() -> Response:
        return JSONResponse(await desk.run(service.models))

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        return JSONResponse(await desk.run(service.model, name))

    _add_personas(app, service.personas, desk)

    _add_state(app, service, readiness)

    @app.get("/metrics")
    async def measured() -> Response:
        return PlainTextResponse(metrics.render(service.engine.counts()), media_type=CONTENT_TYPE)

    @app.get("/openapi.json")
    async def described() -> Response:
        return JSONResponse(document)

    @app.exception_handler(APIError)
    async def on_refusal(request: Request, error: APIError) -> Response:
        return refused(error)

    @app.exception_handler(HTTPException)
    async def on_http(request: Request, error: HTTPException) -> Response:
        told = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        return refused(APIError(error.status_code, told, headers=error.headers or {}))

    @app.exception_handler(Exception)
    async def on_failure(request: Request, error: Exception) -> Response:
        return refused(api_error_of(error))

    return AuthMiddleware(app, metrics, keys, allowed_hosts(settings, keys))


def _add_state(app: FastAPI, service: Service, readiness: Readiness) -> None:
    """The paths by which others see how the server is."""

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok", "model": service.base, "version": __version__})

    @app.get(LIVE)
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get(READY)
    async def ready() -> Response:
        readiness.require()
        return JSONResponse({"status": "ok"})


def _add_personas(app: FastAPI, personas: ServedPersonas, desk: _Desk) -> None:
    """The paths of personas."""

    @app.get("/v1/personas")
    async def listed() -> Response:
        return JSONResponse(await desk.run(personas.listed))

    @app.post("/v1/personas")
    async def add(request: Request) -> Response:
        return JSONResponse(await desk.take(request, personas.add))

    @app.get("/v1/personas/{name:path}")
    async def one(name: str) -> Response:
        return JSONResponse(await desk.run(personas.one, name))

    @app.delete("/v1/personas/{name:path}")
    async def remove(name: str) -> Response:
        return JSONResponse(await desk.run(personas.remove, name))


def _add_ollama(app: FastAPI, service: Service, desk: _Desk, metrics: Metrics) -> None:
    """The paths of Ollama's clients."""

    @app.post("/api/chat")
    async def chat(request: Request) -> Response:
        def prepare(body: bytes) -> Answering:
            return service.answer(parse(OllamaChatRequest, body).request())

        return OllamaResponse(await desk.take(request, prepare), metrics)

    @app.get("/api/tags")
    async def listed() -> Response:
        return JSONResponse(tags(service.engine.model, await desk.run(service.models)))

    @app.get("/api/version")
    async def version() -> Response:
        return JSONResponse({"version": __version__})


def _add_tokens(app: FastAPI, service: Service, desk: _Desk) -> None:
    """The paths of texts and token ids."""

    @app.post("/tokenize")
    async def tokenize(request: Request) -> Response:
        return JSONResponse(await desk.take(request, service.tokenize))

    @app.post("/detokenize")
    async def detokenize(request: Request) -> Response:
        return JSONResponse(await desk.take(request, service.detokenize))

    @app.get("/tokenizer_info")
    async def tokenizer() -> Response:
        return JSONResponse(await desk.run(service.tokenizer_info))
