"""Tools in requests: a tiny model that has learned to call one is asked through OpenAI's client and Ollama's path."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
import torch

import pasctl
from pasctl.commands.serve import Serve
from pasctl.models.chat import ChatRenderer
from pasctl.models.load import LoadedModel
from pasctl.models.rendered import Message, ToolCall, rendered
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.models.tool_templates import QWEN3
from tests.serving.conftest import Running, running
from tests.tiny import tiny_model, tiny_tokenizer

ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}
DIGITS = {"type": "integer", "enum": [7, 8]}
HIGH = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds.",
        "parameters": {"type": "object", "properties": {"a": DIGITS, "b": DIGITS}, "required": ["a", "b"]},
    },
}
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n</tool_call>'
ASKED = [{"role": "user", "content": "2 and 3?"}]
LONG = [{"role": "user", "content": "2 and 3, and 4?"}]
FIRST = ToolCall("add", {"a": 2, "b": 3}, "000000000")


def answered(content: str = "5") -> list[dict[str, Any]]:
    """The conversation after the tool has answered."""
    call = {"id": "call_x", "type": "function", "function": {"name": "add", "arguments": '{"a": 2, "b": 3}'}}
    called = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [*ASKED, called, {"role": "tool", "tool_call_id": "call_x", "content": content}]


def taught(folder: Path) -> Path:
    """A model that calls a tool twice over or once, then tells what the tool said; and talks where it has no tools."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = QWEN3
    chat = ChatRenderer(tokenizer)
    user, long = Message("user", ASKED[0]["content"]), Message("user", LONG[0]["content"])
    called = Message("assistant", "", (FIRST,))
    tool = Message("tool", "5", answers="000000000", tool="add")
    lessons = [
        (rendered(chat, [user], tools=[ADD]), CALL),
        (rendered(chat, [user, called, tool], tools=[ADD]), "It is 5."),
        (rendered(chat, [user]), "I do not know."),
        (rendered(chat, [long], tools=[ADD]), f"Well.\n{CALL}\n{CALL}"),
        (rendered(chat, [long], tools=[HIGH]), f"Well.\n{CALL}\n{CALL}"),  # against the schema
    ]
    model = tiny_model("qwen3").requires_grad_(True).train()
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    rows = [(prompt, [*chat.encode_words(text), end]) for prompt, text in lessons]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = torch.zeros(())
        for prompt, answer in rows:
            logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(answer))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < 0.05:
            break
    assert loss.item() < 0.2
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> ModelHandle:
    return ModelHandle(str(taught(tmp_path_factory.mktemp("taught"))), pasctl.ModelOptions(dtype="float32"))


@pytest.fixture(scope="module")
def server(caller: ModelHandle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    settings = Settings(port=0, max_new_tokens=200)
    run = Run(tmp_path_factory.mktemp("store") / "artifacts")
    with open_service(Serve(model=caller, settings=settings), run) as service, running(service, settings) as started:
        yield started


def ask(client: openai.OpenAI, server: Running, messages: list[dict[str, Any]], **more: Any) -> Any:
    body: dict[str, Any] = {"model": server.service.base, "messages": messages, "temperature": 0, **more}
    return client.chat.completions.create(**body)


def gathered(chunks: Any) -> tuple[str, list[tuple[str, str]], str | None]:
    """Words, calls and the reason of a streamed answer."""
    words, calls, reason = "", dict[int, tuple[str, str]](), None
    for chunk in chunks:
        for choice in chunk.choices:
            words += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                assert call.id.startswith("call_")
                calls[call.index] = (call.function.name, call.function.arguments)
            reason = choice.finish_reason or reason
    return words, [calls[index] for index in sorted(calls)], reason


def test_the_model_calls_a_tool_and_goes_on_with_its_answer(server: Running) -> None:
    with server.client() as client:
        answer = ask(client, server, ASKED, tools=[ADD]).choices[0]
        [call] = answer.message.tool_calls
        assert (answer.finish_reason, answer.message.content) == ("tool_calls", None)
        assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 2, "b": 3})
        result = {"role": "tool", "tool_call_id": call.id, "content": "5"}
        after = ask(client, server, [*ASKED, answer.message.model_dump(), result], tools=[ADD]).choices[0]
        assert (after.message.content, after.finish_reason, after.message.tool_calls) == ("It is 5.", "stop", None)


@pytest.mark.parametrize(
    ("messages", "words", "calls"), [(ASKED, "", 1), (LONG, "Well.", 2), (answered(), "It is 5.", 0)]
)
def test_a_streamed_answer_has_the_same_words_and_calls(
    server: Running, messages: list[dict[str, Any]], words: str, calls: int
) -> None:
    with server.client() as client:
        whole = ask(client, server, messages, tools=[ADD], logprobs=True).choices[0]
        chunks = list(ask(client, server, messages, tools=[ADD], stream=True, logprobs=True))
    said, found, reason = gathered(chunks)
    expected = [(call.function.name, call.function.arguments) for call in whole.message.tool_calls or []]
    assert (said, found, reason) == (whole.message.content or "", expected, whole.finish_reason)
    assert (said, len(found)) == (words, calls)
    streamed = [token for chunk in chunks for c in chunk.choices if c.logprobs for token in c.logprobs.content]
    assert [token.token for token in streamed] == [token.token for token in whole.logprobs.content]


def test_without_tools_or_with_the_choice_none_the_prompt_has_none(server: Running) -> None:
    with server.client() as client:
        for more in ({}, {"tools": []}, {"tools": [ADD], "tool_choice": "none"}):
            answer = ask(client, server, ASKED, **more)
            assert answer.choices[0].message.content == "I do not know."
            assert answer.usage.prompt_tokens < ask(client, server, ASKED, tools=[ADD]).usage.prompt_tokens


def test_one_call_at_a_time_ends_the_answer_after_one(server: Running) -> None:
    with server.client() as client:
        answer = ask(client, server, LONG, tools=[ADD], parallel_tool_calls=False).choices[0]
    assert (answer.finish_reason, answer.message.content, len(answer.message.tool_calls)) == ("tool_calls", "Well.", 1)


def test_a_call_that_is_cut_off_is_words(server: Running) -> None:
    with server.client() as client:
        answer = ask(client, server, ASKED, tools=[ADD], max_tokens=20).choices[0]
        assert (answer.finish_reason, answer.message.tool_calls) == ("length", None)
        assert answer.message.content.startswith("<tool_call>")
        assert CALL.startswith(answer.message.content)
        assert gathered(ask(client, server, ASKED, tools=[ADD], max_tokens=20, stream=True)) == (
            answer.message.content,
            [],
            "length",
        )


def test_several_answers_have_calls_of_their_own(server: Running) -> None:
    with server.client() as client:
        answers = ask(client, server, ASKED, tools=[ADD], n=3).choices
        assert [len(answer.message.tool_calls) for answer in answers] == [1, 1, 1]
        assert len({answer.message.tool_calls[0].id for answer in answers}) == 3


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"tools": [ADD, ADD]}, "tools", "two with the name 'add'"),
        ({"tool_choice": "required"}, "tool_choice", "there are no tools"),
        (
            {"tools": [ADD], "tool_choice": {"type": "function", "function": {"name": "sub"}}},
            "tool_choice",
            "expected one of the tools: add",
        ),
        ({"tools": [{"type": "function"}]}, "tools.0.function", "required"),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type", "function"),
        ({"tools": [{**ADD, "function": {"name": "a b"}}]}, "tools.0.function.name", "pattern"),
        ({"messages": answered()[:2]}, "messages", "end with a message of the user"),
        ({"messages": [answered()[0], answered()[2]]}, "messages.1.tool_call_id", "answers no call"),
        ({"messages": [{"role": "user", "content": None}]}, "messages.0.content", "expected a text"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "expected a text"),
        ({"messages": [{**ASKED[0], "tool_call_id": "x"}]}, "messages.0", "goes with the role tool"),
        ({"messages": [{**answered()[1], "role": "user"}, ASKED[0]]}, "messages.0", "of the assistant"),
        ({"functions": [{"name": "add"}]}, "functions", "send tools"),
    ],
)
def test_tools_that_cannot_be_are_refused(server: Running, more: dict[str, Any], param: str, words: str) -> None:
    with server.client() as client, pytest.raises(openai.BadRequestError) as refused:
        ask(client, server, more.pop("messages", ASKED), **more)
    body: Any = refused.value.body
    assert body["param"] == param
    assert words in body["message"]
    assert "\n" not in body["message"]


def test_arguments_that_are_no_object_are_refused(server: Running) -> None:
    for arguments in ("", "{}", "[1]", "x", "3"):
        messages = answered()
        messages[1]["tool_calls"][0]["function"]["arguments"] = arguments
        with server.client() as client:
            if arguments in ("", "{}"):
                assert ask(client, server, messages, tools=[ADD]).choices
                continue
            with pytest.raises(openai.BadRequestError, match="JSON object"):
                ask(client, server, messages, tools=[ADD])


def test_a_model_whose_template_has_no_tools_refuses_them(tmp_path: Path) -> None:
    settings = Settings(port=0)
    model = LoadedModel.wrap(tiny_model(), tiny_tokenizer())
    with (
        open_service(Serve(model=model, settings=settings), Run(tmp_path / "artifacts")) as service,
        running(service, settings) as server,
        server.client() as client,
        pytest.raises(openai.BadRequestError, match="no tools"),
    ):
        ask(client, server, ASKED, tools=[ADD])


def test_ollamas_chat_calls_tools(server: Running) -> None:
    url = server.url.removesuffix("/v1") + "/api/chat"
    body: dict[str, Any] = {"model": server.service.base, "options": {"temperature": 0}, "tools": [ADD]}

    def chat(messages: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        answer = httpx2.post(url, json={**body, "messages": messages, **more})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]

    [whole] = chat(ASKED, stream=False)
    calls = [{"function": {"name": "add", "arguments": {"a": 2, "b": 3}}}]
    assert whole["message"] == {"role": "assistant", "content": "", "tool_calls": calls}
    streamed = chat(ASKED)
    assert [line["message"].get("tool_calls") for line in streamed if "tool_calls" in line["message"]] == [calls]
    for name in ({"tool_name": "add"}, {}):
        [after] = chat([*ASKED, whole["message"], {"role": "tool", "content": "5", **name}], stream=False)
        assert after["message"] == {"role": "assistant", "content": "It is 5."}
    refused = httpx2.post(url, json={**body, "messages": [*ASKED, {"role": "tool", "content": "5"}]})
    assert (refused.status_code, "answers no call" in refused.text) == (400, True)
