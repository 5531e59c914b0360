"""A server from its start to its end: it listens, what it needs is loaded, it answers, and it stops when it is told."""

from __future__ import annotations

import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from pasctl.commands.serve import Serve
from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.params import MemoryParams
from pasctl.serving.app import make_app
from pasctl.serving.connections import http_config
from pasctl.serving.loading import answering_early
from pasctl.serving.memories import Memories
from pasctl.serving.personas import ServedPersonas
from pasctl.serving.readiness import Readiness
from pasctl.serving.service import Service
from pasctl.serving.settings import Settings
from pasctl.serving.tls import check_certificate
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.run import Run

Ready = Callable[[dict[str, Any]], None]
"""Told what is served and where, once requests are answered."""

_BACKLOG = 512
_LATER = 2.0  # seconds between the engine's end and that of connections that still are not closed


def serve(declared: Serve, run: Run, *, ready: Ready) -> None:
    """Serve a model until SIGINT or SIGTERM.

    Args:
        declared: what is served, and how.
        run: where directions and memories are.
        ready: called when the server listens.

    Raises:
        PasctlError: it cannot listen there.
        MissingError: the model, directions, a memory, the file of keys or those of TLS are not there.
        InputError: they do not belong together, no alpha was chosen for directions, or the file holds no keys.
    """
    settings = declared.settings
    settings.keys(run.reporter.note)  # what is wrong with their file is said before the model is loaded
    if settings.tls_cert is not None and settings.tls_key is not None:
        check_certificate(settings.tls_cert, settings.tls_key)
    with listening(settings) as listener, ExitStack() as stack:
        with _logging(), answering_early(listener, settings):
            service = stack.enter_context(open_service(declared, run))
            readiness = Readiness(service.engine)
            readiness.write_first_token()
        described = {"url": _url(settings, listener), **service.describe()}
        app = make_app(service, settings, readiness)
        _run(app, settings, listener, readiness, lambda: ready(described))


@contextmanager
def open_service(declared: Serve, run: Run) -> Iterator[Service]:
    """What answers requests, without a server around it, while the block runs (see `serve`)."""
    settings = declared.settings
    model = run.model(declared.model, declared.options)
    catalog = PersonaCatalog(run, model, declared.steering, directions=declared.directions)
    catalog.require_alphas()
    loaded = model.load(run.reporter)
    memories = Memories(run.store, model, declared.memory)
    beyond = None
    if settings.long_prompts == "memory":
        beyond = EpisodicMemory(loaded, params=MemoryParams.for_context(model.context(steady=True)))
    with Engine(
        loaded,
        max_batch=settings.max_batch,
        queue=settings.queue,
        timeout=settings.timeout,
        step_tokens=settings.step_tokens,
        prefix_cache=settings.prefix_bytes,
    ) as engine:
        yield Service(
            model.slug,
            engine,
            catalog,
            memories,
            max_new_tokens=settings.max_new_tokens,
            beyond_context=beyond,
            personas=ServedPersonas(run, model, catalog, settings.add_from),
        )


@contextmanager
def listening(settings: Settings) -> Iterator[socket.socket]:
    """A socket that listens; requests wait in it until they are answered.

    Raises:
        PasctlError: the address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listener = socket.create_server((settings.host, settings.port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PasctlError(
            f"cannot listen on {settings.host} port {settings.port}: {reason.lower()}",
            hint="choose another with --port (0 takes any that is free) or --host",
        ) from error
    with listener:
        yield listener


def _url(settings: Settings, listener: socket.socket) -> str:
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "http" if settings.tls_cert is None else "https"
    return f"{scheme}://{shown}:{listener.getsockname()[1]}/v1"


class _Server(uvicorn.Server):
    """Tells when it answers; when it is told to stop, requests that still run have some seconds to end.

    Until they have ended it listens, so that who asks hears that it is not ready.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        stop: threading.Timer,
        readiness: Readiness,
    ) -> None:
        super().__init__(config)
        self._ready, self._stop, self._readiness = ready, stop, readiness

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell so."""
        await super().startup(sockets)
        self._ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        if not self.should_exit:
            self._readiness.stopping = True
            self._stop.start()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether to stop listening."""
        leaving = await super().on_tick(counter)
        return leaving and (self.force_exit or not self._readiness.busy)


def _run(
    app: ASGIApp,
    settings: Settings,
    listener: socket.socket,
    readiness: Readiness,
    ready: Callable[[], None],
) -> None:
    config = http_config(app, settings, closing=settings.grace + _LATER)
    # the texts that still run then end with an error, and their connections with them
    stop = threading.Timer(settings.grace, readiness.engine.close)
    stop.daemon = True
    server = _Server(config, ready, stop, readiness)
    # uvicorn raises the signal that stopped it once more when it has stopped
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with _logging(), suppress(KeyboardInterrupt):
            server.run([listener])
    finally:
        stop.cancel()
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _logging() -> Iterator[None]:
    """What the server logs goes to stderr while the block runs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    loggers = {logging.getLogger("pasctl.serving"): logging.INFO, logging.getLogger("uvicorn.error"): logging.WARNING}
    for logger, level in loggers.items():
        logger.addHandler(handler)
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
