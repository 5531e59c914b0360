"""A server that is loading, that is ready, and that stops, as an orchestrator sees it; and the ids of requests."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from pasctl.commands.serve import Serve
from pasctl.models.options import ModelOptions
from pasctl.serving.loading import answering_early
from pasctl.serving.server import listening, serve
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Silent
from pasctl.stages.run import Run
from tests.serving.conftest import Running, Start, running, service_of
from tests.serving.test_server import JSON, MODEL, chat, raw, until


def get(port: int, path: str) -> tuple[int, str | None]:
    """Status and code of an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body["error"]["code"] if "error" in body else None


@contextmanager
def early(**given: str) -> Iterator[tuple[socket.socket, int]]:
    settings = Settings(port=0, **given)  # type: ignore[arg-type]
    with listening(settings) as listener, answering_early(listener, settings):
        yield listener, listener.getsockname()[1]


def test_while_a_model_is_loaded_the_process_is_seen_to_live() -> None:
    with early() as (_, port):
        assert get(port, "/live") == (200, None)
        for path in ("/ready", "/health", "/v1/models", "/nothing"):
            assert get(port, path) == (503, "loading")


def test_a_key_is_asked_for_while_a_model_is_loaded() -> None:
    with early(api_key="k") as (_, port):
        assert [get(port, path)[0] for path in ("/live", "/ready", "/v1/models")] == [200, 503, 401]


def test_who_connects_between_loading_and_answering_is_answered(handle: ModelHandle, served_store: Path) -> None:
    settings = Settings(port=0)
    with listening(settings) as listener:
        port = listener.getsockname()[1]
        with answering_early(listener, settings):
            assert get(port, "/live") == (200, None)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:  # nobody answers at this moment
            connection.sendall(b"GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n")
            with answering_early(listener, settings):
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_server_that_loads_its_model_answers_so(tiny_folder: Path, served_store: Path) -> None:
    with listening(Settings(port=0)) as listener:
        port = listener.getsockname()[1]
    seen: list[tuple[int, str | None]] = []

    class Asking(Silent):
        """Asks the server when the model begins to load."""

        def note(self, text: str) -> None:
            if text.startswith("loading"):
                seen.extend(get(port, path) for path in ("/live", "/ready"))

    def ready(what: dict[str, object]) -> None:
        signal.raise_signal(signal.SIGTERM)

    declared = Serve(model=str(tiny_folder), options=ModelOptions(dtype="float32"), settings=Settings(port=port))
    serve(declared, Run(served_store, reporter=Asking()), ready=ready)
    assert seen == [(200, None), (503, "loading")]


def test_a_server_is_ready_once_the_model_has_written_a_token(handle: ModelHandle, served_store: Path) -> None:
    settings = Settings(port=0)
    with service_of(handle, settings, served_store) as service, running(service, settings) as server:
        assert raw(server, "/live")[::2] == (200, {"status": "ok"})
        status, headers, document = raw(server, "/ready")
        assert (status, document["error"]["code"], headers["retry-after"]) == (503, "loading", "1")
        with server.client() as client:
            client.chat.completions.create(**chat(max_tokens=1))
        assert raw(server, "/ready")[::2] == (200, {"status": "ok"})
        service.engine.close()
        assert raw(server, "/ready")[0] == 503
        assert raw(server, "/live")[0] == 200


def test_a_server_that_stops_says_so_until_what_runs_has_ended(handle: ModelHandle, served_store: Path) -> None:
    seen: dict[str, tuple[int, str | None]] = {}
    ends: list[str | None] = []

    def ask(what: dict[str, str]) -> None:
        """A request that runs while the server is told to stop; the server has its thread."""
        port = urlsplit(what["url"]).port
        assert port is not None
        seen["ready"] = get(port, "/ready")
        client = openai.OpenAI(base_url=what["url"], api_key="none", max_retries=0, timeout=60)
        chunks = client.chat.completions.create(**chat(max_tokens=300), stream=True, extra_body={"ignore_eos": True})
        next(iter(chunks))
        signal.raise_signal(signal.SIGTERM)

        def stopping() -> bool:
            seen["stopping"] = get(port, "/ready")
            return seen["stopping"][0] == 503

        until(stopping)
        seen["live"] = get(port, "/live")
        with pytest.raises(openai.InternalServerError, match="the server is stopping"):
            client.completions.create(model=MODEL, prompt="hello")
        ends.append(list(chunks)[-1].choices[0].finish_reason)

    thread: list[threading.Thread] = []

    def ready(what: dict[str, str]) -> None:
        thread.append(threading.Thread(target=ask, args=(what,)))
        thread[0].start()

    served = Serve(model=handle, settings=Settings(port=0, grace=30.0))
    began = time.monotonic()
    serve(served, Run(served_store), ready=ready)
    thread[0].join()
    assert time.monotonic() - began < 25  # it ended with the text, not with the time that it had
    assert seen == {"ready": (200, None), "stopping": (503, "stopping"), "live": (200, None)}
    assert ends == ["length"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("4f5c-22.a:b/c+d=", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("", False),
        ("two words", False),
        ("schlüssel".encode().decode("latin-1"), False),
        ('"quoted"', False),
    ],
)
def test_a_request_keeps_its_id_if_it_is_fit_for_a_log(
    server: Running, given: str, kept: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "pasctl.serving"):
        status, headers, document = raw(server, "/v1/models/none", **{"x-request-id": given})
        until(lambda: bool(caplog.records))
    found = headers["x-request-id"]
    assert status == 404
    assert (found == given) is kept
    assert kept or re.fullmatch(r"[0-9a-f]{32}", found)
    assert document["error"]["request_id"] == found
    [record] = caplog.records
    assert f" id={found}" in record.getMessage()


def test_ids_are_made_where_none_is_given_and_reach_streams(server: Running, serve: Start) -> None:
    with server.client() as client:
        found = {client.chat.completions.with_raw_response.create(**chat()).headers["x-request-id"] for _ in range(3)}
        assert len(found) == 3
        streamed = client.chat.completions.with_raw_response.create(
            **chat(max_tokens=2), stream=True, extra_headers={"X-Request-Id": "mine"}
        )
        assert streamed.headers["x-request-id"] == "mine"
    request = chat(max_tokens=6000, stream=True, extra_headers={"X-Request-Id": "late"})
    with (
        serve(timeout=0.5) as slow,
        slow.client() as client,
        pytest.raises(openai.APIError, match="being written") as error,
    ):
        list(client.chat.completions.create(**request))
    assert error.value.body["request_id"] == "late"  # type: ignore[index]


def test_what_fails_is_found_in_the_log_by_its_id(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the disk is gone")

    monkeypatch.setattr(server.service, "_meant", fail)
    status, _, document = raw(
        server, "/v1/completions", b'{"model": "x", "prompt": "y"}', **JSON, **{"x-request-id": "this-one"}
    )
    assert (status, document["error"]["request_id"]) == (500, "this-one")
    assert "the disk is gone (request this-one)" in caplog.text
