"""Bodies that are refused, prompts that messages make, and what is kept and forgotten."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import InputError
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.params import MemoryParams
from pasctl.models.conversation import Conversation
from pasctl.serving.api_error import APIError
from pasctl.serving.app import make_app
from pasctl.serving.prompts import ChatPrompt, chat_prompt
from pasctl.serving.protocol import ChatRequest, CompletionRequest, Message, parse
from pasctl.serving.service import Service
from pasctl.serving.settings import Settings
from pasctl.stages.lru_cache import LRUCache
from pasctl.stages.model import ModelHandle
from tests.memory.test_exactness import SMALL
from tests.serving.conftest import service_of
from tests.tiny import tiny_loaded

MODEL = "tiny-a"
BODIES = 10_000
SETTINGS = Settings(max_body=20_000)
HI = {"role": "user", "content": "Hi"}
GOOD: dict[str, Any] = {"model": MODEL, "messages": [HI], "temperature": 0, "max_tokens": 1}
NO_MODEL = ("gpt-4", f"{MODEL}+", f"{MODEL}+nobody", f"{MODEL}+a/b/c@v9:case=1")


@pytest.fixture(scope="module")
def service(handle: ModelHandle, served_store: Path) -> Iterator[Service]:
    with service_of(handle, SETTINGS, served_store, "latest") as opened:
        yield opened


# Each makes a body that cannot be answered, whatever the numbers drawn are.
WRONG: dict[str, list[Any]] = {
    "model": [None, 3, "", [], {}, "x" * 2000, *NO_MODEL],
    "messages": [
        None,
        "Hi",
        [],
        {},
        [None],
        [[]],
        ["Hi"],
        [{"role": "user"}],
        [{"content": "Hi"}],
        [{"role": "tool", "content": "Hi"}],
        [{"role": "assistant", "content": "Hi"}],
        [{"role": "system", "content": "Hi"}],
        [{"role": "user", "content": None}],
        [{"role": "user", "content": 3}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"}],
        [{"role": "user", "content": "word " * 3000}] * 4,
    ],
    "max_tokens": [0, -1, 1.5, "3", True, []],
    "max_completion_tokens": [0, -1, "3", {}],
    "temperature": [-0.1, 2.1, "0", [], {}, 1e300],
    "top_p": [0, -1, 1.1, "1", []],
    "seed": [1.5, "1", 2**63, -(2**70), []],
    "stop": [3, "", [""], ["x"] * 17, "y" * 600, [3], {}],
    "stream": ["yes", 1, []],
    "stream_options": [3, [], {"include_usage": "yes"}],
    "pasctl": [
        3,
        [],
        {"person": "s01"},
        {"persona": ""},
        {"persona": 3},
        {"persona": "nobody"},
        {"persona": "directions/none/none@v3:case=1"},
        {"persona": "s01", "alpha": "2"},
        {"persona": "s01", "alpha": 1e9},
        {"alpha": 2},
        {"memory": "nothing"},
        {"memory": "../../etc/passwd"},
        {"memory": f"directions/{MODEL}/builtin@v1"},
        {"persona": f"memory/{MODEL}/text-0@v1:case=1"},
        {"think": "yes"},
        {"retrieve_every": 0},
        {"retrieve_every": 2},  # there is no memory
    ],
    "chat_template_kwargs": [3, {"thinking": True}, {"enable_thinking": 1}],
    "extra_body": [{"pasctl": {"persona": "s01"}}],
    "persona": ["s01", None],
    "guided_choice": [[], "a", [3], [""], {}],
    "guided_json": ["{", "[]", 3, [], {"type": "nonsense"}],
    "guided_regex": ["", "(", 3, []],
    "guided_grammar": ["", "nothing", 3],
    "structured_outputs": [3, [], {"choice": []}, {"json": 3}, {"json_object": 1}, {"structural_tag": "x"}],
    "json_schema": [3, "x", {"type": "nonsense"}],
    "min_tokens": [8, -1, "1"],
    "min_p": [-0.1, 1.1, "0"],
    "top_k": [-2, 1.5, "3"],
    "ignore_eos": [1, "yes"],
    "stop_token_ids": [[99999], [-1], ["1"], 3, [1] * 129],
    "repetition_penalty": [0, -1, 11, "1", 5e-324],
    "presence_penalty": [-2.1, 2.1, "0"],
    "prompt_logprobs": [-1, 21, True, "0"],
    "top_logprobs": [1, 21, -1, "0"],  # without logprobs, and beyond what is told
    "unheard_of": [1, None, {}],
    "n": [129, 0, "1", True],
    "tools": [[{"type": "function"}]],
    "logprobs": [1, "yes", {}],
    "response_format": [
        3,
        {},
        {"type": "grammar"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "a"}},
        {"type": "json_schema", "json_schema": {"schema": {"type": "nonsense"}}},
        {"type": "text", "json_schema": {"schema": {}}},
    ],
    "logit_bias": [{"x": 1}, {"-1": 1}, {"5": 101}, {"5": "1"}, {"5": None}, {"99999": 1}, [5]],
    "frequency_penalty": [2.5, -3, "0"],
}


def malformed(seed: int) -> bytes:
    """A body that must be refused."""
    rng = random.Random(seed)
    name = rng.choice(list(WRONG))
    broken = json.dumps({**GOOD, name: rng.choice(WRONG[name])}).encode()
    whole = json.dumps(GOOD).encode()
    return rng.choice(
        [
            lambda: broken,
            lambda: broken,
            lambda: broken,
            lambda: whole[: rng.randrange(len(whole))],
            lambda: rng.randbytes(rng.randrange(200)) + b"\x00",
            lambda: whole.replace(b"Hi", bytes([rng.randrange(128, 256), 0xFF])),
            lambda: whole.replace(b"Hi", b"\\ud800"),
            lambda: whole.replace(b"0,", rng.choice([b"NaN,", b"Infinity,", b"-,", b"00,", b"1e,"]), 1),
            lambda: (b"[" if rng.random() < 0.5 else b'{"a":') * rng.randrange(1, 3000),
            lambda: rng.choice([b"null", b"3", b'"x"', b"[]", b"{}", b"", b" "]),
            lambda: whole + rng.choice([b"}", b"x", b"[]"]),
            lambda: b" " * 20_001,
        ]
    )()


async def post(app: Any, body: bytes, path: str = "/v1/chat/completions") -> tuple[int, bytes]:
    """Status and body of an answer, from the application itself."""
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        message = next(received, None)
        if message is None:
            await asyncio.Event().wait()
        return message or {}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"host", b"127.0.0.1")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers}
    await app({**scope, "query_string": b"", "http_version": "1.1", "scheme": "http", "root_path": ""}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_ten_thousand_malformed_bodies_are_refused_and_leave_nothing_behind(
    service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(service, SETTINGS)
    before = service.engine.counts()

    async def flood(seeds: range) -> None:
        for seed in seeds:
            status, answer = await post(app, malformed(seed))
            assert 400 <= status < 500, (seed, status, answer)
            error = json.loads(answer)["error"]
            assert error.keys() == {"message", "type", "param", "code", "request_id"}
            assert error["type"] == "invalid_request_error"
            assert "Traceback" not in error["message"]

    async def run() -> tuple[int, int]:
        assert (await post(app, json.dumps(GOOD).encode()))[0] == 200
        await flood(range(1500))
        settled = resident()
        await flood(range(1500, BODIES))
        return settled, resident()

    settled, after = asyncio.run(run())
    # the bodies have 15 MB together
    assert after - settled < 1 << 20
    counts = service.engine.counts()
    assert counts.tokens_run - before.tokens_run < 50
    assert counts.waiting == counts.running == 0
    assert not [record for record in caplog.records if record.levelname == "ERROR" or record.exc_info]


def test_what_fails_unexpectedly_is_told_to_the_log_alone(
    service: Service, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(body: bytes) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(service, "chat", fail)
    status, answer = asyncio.run(post(make_app(service, SETTINGS), b"{}"))
    error = json.loads(answer)["error"]
    number = error.pop("request_id")
    assert (status, error) == (
        500,
        {"message": "the server failed; its log says why", "type": "server_error", "param": None, "code": "internal"},
    )
    [record] = [each for each in caplog.records if each.levelname == "ERROR"]
    assert record.getMessage() == f"ZeroDivisionError: a secret (request {number})"
    assert record.exc_info is None


def test_of_very_many_personas_the_first_are_listed(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pasctl.serving.service.LISTED", 2)
    found = service.models()
    assert [each["id"] for each in found["data"]] == [MODEL, f"{MODEL}+s01", f"{MODEL}+s02"]
    assert found["pasctl"] == {"personas": 4, "listed": 2, "memories": []}


@pytest.mark.parametrize("name", WRONG)
def test_each_wrong_value_is_told_by_its_name(service: Service, name: str) -> None:
    for value in WRONG[name]:
        with pytest.raises(APIError) as refused:
            service.chat(json.dumps({**GOOD, name: value}).encode())
        assert refused.value.status == (
            404 if name == "model" and value and isinstance(value, str) and len(value) < 999 else 400
        )
        assert (refused.value.param or "").split(".")[0] == name, (value, refused.value.param)


def test_what_means_nothing_is_left_alone() -> None:
    neutral = {
        "n": 1,
        "tools": [],
        "logprobs": False,
        "user": "me",
        "frequency_penalty": 0,
        "stop": None,
    }
    asked = parse(ChatRequest, json.dumps({**GOOD, **neutral}).encode())
    assert (asked.stops, asked.most_tokens) == ((), 1)
    both = {**GOOD, "max_tokens": 9, "max_completion_tokens": 7}
    assert parse(ChatRequest, json.dumps(both).encode()).most_tokens == 7
    assert parse(ChatRequest, json.dumps({**both, "max_tokens": 5}).encode()).most_tokens == 5


@pytest.mark.parametrize("prompt", ["", [], [[]], [""], ["a", ""], [[1], []]])
def test_a_prompt_has_tokens(prompt: Any) -> None:
    asked = parse(CompletionRequest, json.dumps({"model": MODEL, "prompt": prompt}).encode())
    with pytest.raises(APIError, match=r"prompt.* is empty, expected at least one token"):
        asked.prompts()


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("a", ["a"]), ([1, 2], [[1, 2]]), (["a"], ["a"]), (["a", "b"], ["a", "b"]), ([[1], [2, 3]], [[1], [2, 3]])],
)
def test_prompts_are_texts_or_token_ids_one_or_several(prompt: Any, prompts: list[Any]) -> None:
    assert parse(CompletionRequest, json.dumps({"model": MODEL, "prompt": prompt}).encode()).prompts() == prompts


def messages(*turns: tuple[str, str]) -> list[Message]:
    return [Message(role=role, content=content) for role, content in turns]  # type: ignore[arg-type]


def test_messages_become_a_conversation() -> None:
    chat = tiny_loaded().chat
    turns = messages(
        ("system", "Be"), ("developer", "kind."), ("user", "Hi"), ("assistant", "Ho"), ("user", "a"), ("user", "b")
    )
    conversation = Conversation(chat, "Be\n\nkind.")
    expected = [*conversation.opening(), *conversation.turn("Hi", "Ho"), *conversation.question("a\n\nb")]
    assert chat_prompt(chat, turns, None, think=False) == ChatPrompt(expected)
    # what a user writes is never the template's own
    ids = chat_prompt(chat, messages(("user", "<|im_end|>")), None, think=False).ids
    end = chat.tokenizer.eos_token_id
    assert ids.count(end) == chat_prompt(chat, messages(("user", "x")), None, think=False).ids.count(end)


def test_a_question_to_a_memory_stands_in_the_turn_of_its_text() -> None:
    model = tiny_loaded()
    memory = EpisodicMemory(model, params=MemoryParams(**SMALL))
    ids = chat_prompt(model.chat, messages(("user", "Who?")), memory, think=False).ids
    assert ids == memory.prompt.question("Who?")
    longer = messages(("system", "Be brief."), ("user", "Who?"), ("assistant", "I."), ("user", "Why?"))
    text = model.tokenizer.decode(chat_prompt(model.chat, longer, memory, think=False).ids)
    whole = model.chat.render_messages(
        [
            {"role": "user", "content": "TEXT\n\nBe brief.\n\nWho?"},
            {"role": "assistant", "content": "I."},
            {"role": "user", "content": "Why?"},
        ]
    )
    assert text == whole.partition("TEXT")[2]


def test_the_things_used_last_are_kept() -> None:
    kept: LRUCache[list[int]] = LRUCache(2)
    one = kept.get("one", lambda: [1])
    kept.get("two", lambda: [2])
    assert kept.get("one", lambda: [9]) is one
    kept.get("three", lambda: [3])
    assert kept.get("one", lambda: [9]) is one
    assert kept.get("two", lambda: [9]) == [9]
    assert len(kept) == 2
    with pytest.raises(ZeroDivisionError):
        kept.get("four", lambda: [1 // 0])
    assert len(kept) == 2


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"host": "0.0.0.0"}, "requests must bring an API key"),  # noqa: S104 - refused
        ({"host": "example.org"}, "requests must bring an API key"),
        ({"api_key": ""}, "API key is empty"),
        ({"api_key": "two words"}, "white space"),
        ({"port": 70000}, "port is 70000"),
        ({"max_batch": 0}, "max batch"),
        ({"queue": -1}, "queue"),
        ({"timeout": 0.0}, "timeout"),
        ({"grace": float("nan")}, "grace"),
        ({"receive_timeout": 0.0}, "receive_timeout"),
        ({"connections": 0}, "connections"),
        ({"allowed_host": ["http://gpu"]}, "no name or address"),
        ({"allowed_host": ["gpu:8000"]}, "without a port"),
        ({"allowed_host": ["*"]}, "no name or address"),
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Settings(**wrong)


def test_the_own_machine_needs_no_key_and_others_do() -> None:
    for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
        assert Settings(host=host).api_key is None
    assert Settings(host="0.0.0.0", api_key="k").host == "0.0.0.0"  # noqa: S104 - with a key


@pytest.mark.parametrize(
    ("stop", "param", "told"),
    [
        ([""], "stop.0", "at least 1 character"),
        (["x"] * 17, "stop", "at most 16 items"),
        ([3], "stop.0", "valid string"),
        (3, "stop", "valid string"),
        ("", "stop", "at least 1 character"),
    ],
)
def test_of_a_field_with_several_types_the_mistake_is_told_of_the_one_that_was_meant(
    stop: Any, param: str, told: str
) -> None:
    with pytest.raises(APIError, match=told) as caught:
        parse(ChatRequest, json.dumps({**GOOD, "stop": stop}).encode())
    assert caught.value.param == param
