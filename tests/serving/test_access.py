"""Who may ask a server: by which name, with which key, and how slowly."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from pasctl.cli.serve import present
from pasctl.commands.serve import Serve
from pasctl.errors import MissingError
from pasctl.serving.hosts import AllowedHosts
from pasctl.serving.settings import Settings
from pasctl.stages.progress import Silent
from pasctl.stages.run import Run
from tests.serving.conftest import Running, Start
from tests.serving.test_server import chat, until

HOME = ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.8.7", "[::1]", "localhost:1", "127.0.0.1:8000", "[::1]:8000"]
AWAY = [
    "example.org",
    "localhost.example.org",
    "127.0.0.1.example.org",
    "0.0.0.0",  # noqa: S104 - a name that a page may ask by
    "10.0.0.1",
    "",
    ":8000",
    "a b",
    "::1",
]


def permits(hosts: AllowedHosts, *names: str) -> bool:
    return hosts.permits([(b"accept", b"*/*"), *((b"host", name.encode()) for name in names)])


def test_a_server_goes_by_the_names_of_this_machine_and_by_those_allowed() -> None:
    own, more = AllowedHosts("127.0.0.1", []), AllowedHosts("192.0.2.7", ["GPU.example.org", "2001:DB8::7"])
    assert all(permits(own, name) and permits(more, name) for name in HOME)
    assert not any(permits(own, name) or permits(more, name) for name in AWAY)
    allowed = ["gpu.example.org", "gpu.example.org.:8000", "192.0.2.7:8000", "[2001:db8::7]:80", "[2001:DB8:0::7]"]
    assert all(permits(more, name) and not permits(own, name) for name in allowed)
    assert not permits(more, "agpu.example.org")
    # none, or two that a proxy and the server may read differently
    assert not permits(own)
    assert not permits(own, "localhost", "localhost")


def status(server: Running, path: str, host: str | None, **headers: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.putrequest("GET", path, skip_host=True)
    for name, value in {**({} if host is None else {"host": host}), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    error = json.loads(answer.read()) if answer.status >= 400 else {}
    connection.close()
    assert not error or error["error"].keys() == {"message", "type", "param", "code", "request_id"}
    return answer.status


PATHS = ("/v1/models", "/health", "/openapi.json", "/nothing")


def test_without_a_key_other_names_get_403(serve: Start) -> None:
    with serve() as server:
        assert [status(server, path, "localhost") for path in PATHS] == [200, 200, 200, 404]
        assert {status(server, path, "example.org:8000") for path in PATHS} == {403}
    with serve(allowed_host=["example.org"]) as server:
        assert status(server, "/v1/models", "example.org") == 200
        assert status(server, "/v1/models", "example.com") == 403


def test_with_a_key_any_name_will_do_unless_some_are_given(serve: Start) -> None:
    key = {"authorization": "Bearer k"}
    with serve(api_key="k") as server:
        assert status(server, "/v1/models", "example.org", **key) == 200
        assert status(server, "/v1/models", "example.org") == 401
    with serve(api_key="k", allowed_host=["example.org"]) as server:
        assert status(server, "/v1/models", "example.org", **key) == 200
        assert status(server, "/v1/models", "example.com", **key) == 403


class Notes(Silent):
    """What is said while a command runs."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def test_a_key_in_the_command_is_seen_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def notes(key: str | None) -> list[str]:
        reporter = Notes()
        # the file is looked for before the model
        settings = Settings(api_key=key, api_key_file=str(tmp_path / "none"))
        with pytest.raises(MissingError, match="the file of API keys"):
            present(Serve(model="demo", settings=settings), Run(tmp_path, reporter=reporter), json=False)
        return reporter.lines

    monkeypatch.delenv("PASCTL_API_KEY", raising=False)
    [note] = notes("secret")
    assert "list of processes" in note
    assert "secret" not in note
    assert notes(None) == []
    monkeypatch.setenv("PASCTL_API_KEY", "secret")
    assert notes("secret") == []


@contextmanager
def connected(server: Running, *parts: bytes) -> Iterator[socket.socket]:
    """A connection that has sent something."""
    place = urlsplit(server.url)
    with socket.create_connection((place.hostname, place.port), timeout=20) as connection:
        for part in parts:
            connection.sendall(part)
        yield connection


def rest(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and error of what comes until the server closes."""
    content = b""
    while chunk := connection.recv(65536):
        content += chunk
    head, _, body = content.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]


HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("parts", [[], [b"GET"], [HEAD]], ids=["nothing", "a word", "half"])
def test_headers_that_do_not_come_are_not_waited_for(serve: Start, parts: list[bytes]) -> None:
    with serve(receive_timeout=0.3) as server, connected(server, *parts) as connection:
        began = time.monotonic()
        code, error = rest(connection)
        assert (code, error["code"]) == (408, "timeout")
        assert 0.2 < time.monotonic() - began < 5


def test_headers_drop_by_drop_are_not_waited_for(serve: Start) -> None:
    with serve(receive_timeout=0.5) as server, connected(server) as connection:
        began = time.monotonic()
        with suppress(OSError):
            while time.monotonic() - began < 10:
                connection.sendall(b"x")
                time.sleep(0.02)
        assert time.monotonic() - began < 5


def test_one_connection_may_ask_again_and_again(serve: Start) -> None:
    with serve(receive_timeout=1.0) as server:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
        for _ in range(4):
            connection.request("GET", "/v1/models")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            time.sleep(0.4)  # together longer than headers may take
        connection.close()


def test_a_slow_answer_is_not_cut_off(serve: Start) -> None:
    with serve(receive_timeout=0.5) as server, server.client() as client:
        chunks = list(client.chat.completions.create(**chat(max_tokens=400), stream=True))
        assert chunks[-1].choices[0].finish_reason in ("stop", "length")


def test_so_many_connections_and_no_more(serve: Start) -> None:
    with serve(connections=3, receive_timeout=30) as server, ExitStack() as stack:
        silent = [stack.enter_context(connected(server)) for _ in range(3)]
        time.sleep(0.1)
        with connected(server) as connection:
            code, error = rest(connection)
            assert (code, error["code"]) == (503, "too_many_connections")
        silent[0].close()

        def answers() -> bool:
            with connected(server, b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n") as connection:
                return connection.recv(65536).startswith(b"HTTP/1.1 200")

        until(answers)


def test_bodies_that_come_slowly_take_nobodys_place(serve: Start) -> None:
    slow = HEAD + b"content-length: 1000\r\n\r\n{"
    with serve(max_batch=1, queue=0, receive_timeout=3) as server, ExitStack() as stack, server.client() as client:
        waiting = [stack.enter_context(connected(server, slow)) for _ in range(6)]
        time.sleep(0.1)
        assert client.chat.completions.create(**chat()).choices[0].message.content
        for connection in waiting:
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            assert (answer.status, json.loads(answer.read())["error"]["code"]) == (408, "timeout")


def test_what_is_no_http_is_refused_in_the_form_of_all_errors(serve: Start) -> None:
    with serve() as server, connected(server, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n") as connection:
        code, error = rest(connection)
        assert (code, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_request")


def test_a_query_is_refused(serve: Start) -> None:
    with serve() as server:
        with server.client(default_query={"persona": "s01"}) as client, pytest.raises(openai.BadRequestError) as error:
            client.chat.completions.create(**chat())
        assert error.value.param == "query"
