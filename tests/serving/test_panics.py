"""A panic of a library in Rust, which is no `Exception`, ends one request and neither the engine nor the server."""

from __future__ import annotations

import openai
import pytest

from pasctl.generation.detokenizer import IncrementalDetokenizer
from pasctl.serving.service import Service
from tests.serving.conftest import Running, Start

ASKED = {"model": "tiny", "max_tokens": 4, "temperature": 0}
HELLO = [{"role": "user", "content": "hello"}]
Panic = type("PanicException", (BaseException,), {})


def panicking(*_: object, **__: object) -> None:
    raise Panic("index out of bounds: the len is 3 but the index is 7")


class Tokenizer:
    """One that panics where it is called, and is another's in all else."""

    def __init__(self, tokenizer: object) -> None:
        self._tokenizer = tokenizer

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)

    def __call__(self, *_: object, **__: object) -> None:
        panicking()


def answers(server: Running) -> bool:
    with server.client() as client:
        model = client.models.list().data[0].id
        return bool(client.completions.create(**ASKED | {"model": model}, prompt="hello").usage.completion_tokens)


def test_a_text_that_the_tokenizer_panics_on_is_refused(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server, server.client() as client:
        asked = ASKED | {"model": client.models.list().data[0].id}
        chat = server.service.engine.model.chat
        with monkeypatch.context() as patch:
            patch.setattr(server.service.engine.model, "tokenizer", Tokenizer(chat.tokenizer))
            patch.setattr(chat, "tokenizer", Tokenizer(chat.tokenizer))
            with pytest.raises(openai.BadRequestError, match="the tokenizer gives up a text of 5 characters") as caught:
                client.completions.create(**asked, prompt="hello")
            assert caught.value.param == "prompt"
            with pytest.raises(openai.BadRequestError, match="the tokenizer gives up a text") as caught:
                client.chat.completions.create(**asked, messages=HELLO)
            assert caught.value.param == "messages"
        assert answers(server)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_panic_where_a_text_is_written_ends_that_text(
    serve: Start, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    with serve() as server, server.client() as client:
        asked = ASKED | {"model": client.models.list().data[0].id}
        with monkeypatch.context() as patch:
            patch.setattr(IncrementalDetokenizer, "_decode", panicking)
            with pytest.raises(openai.APIError, match="the server failed"):
                list(client.completions.create(**asked, prompt="hello", stream=streamed))
        assert answers(server)


def test_a_panic_anywhere_else_is_a_500_in_json(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as server, server.client() as client:
        asked = ASKED | {"model": client.models.list().data[0].id}
        with monkeypatch.context() as patch:
            patch.setattr(Service, "_meant", panicking)
            with pytest.raises(openai.InternalServerError) as caught:
                client.completions.create(**asked, prompt="hello")
        error = dict(caught.value.body)  # type: ignore[call-overload]
        assert error.pop("request_id") == caught.value.request_id
        assert error == {
            "message": "the server failed; its log says why",
            "type": "server_error",
            "param": None,
            "code": "internal",
        }
        assert answers(server)
