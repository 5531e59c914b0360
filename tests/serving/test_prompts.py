"""Answers that go on with given words, system messages in any place, and the tokens of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import openai
import pytest

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.params import MemoryParams
from pasctl.serving.api_error import APIError
from pasctl.serving.prompts import chat_prompt
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from tests.memory.test_exactness import SMALL
from tests.serving.conftest import Running, running
from tests.serving.test_protocol import messages
from tests.serving.test_server import JSON, MODEL, PEOPLE, chat, raw
from tests.tiny import TOKENIZER_KINDS, tiny_loaded

PLACES: list[list[tuple[str, str]]] = [
    [("user", "Hi"), ("system", "Be kind.")],
    [("system", "Be"), ("user", "Hi"), ("assistant", "Ho"), ("developer", "Be brief."), ("user", "Why?")],
    [("user", "Hi"), ("assistant", "Ho"), ("system", "One."), ("system", "Two."), ("user", "a"), ("system", "Three.")],
    [("user", "a"), ("system", "between"), ("user", "b")],
]
WRITES_ON = {"continue_final_message": True, "add_generation_prompt": False}


@pytest.mark.parametrize("template", ["qwen3", "llama"])
@pytest.mark.parametrize("turns", PLACES)
def test_a_system_message_stands_where_it_was_sent(template: str, turns: list[tuple[str, str]]) -> None:
    chat = tiny_loaded(template=template).chat
    ids = chat_prompt(chat, messages(*turns), None, think=False).ids
    merged: list[dict[str, str]] = []
    for role, words in turns:
        role = role.replace("developer", "system")
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += f"\n\n{words}"
        else:
            merged.append({"role": role, "content": words})
    assert chat.tokenizer.decode(ids) == chat.render_messages(merged) + chat.before_answer


@pytest.mark.parametrize("template", ["qwen3", "llama"])
def test_words_of_a_system_message_are_no_special_tokens(template: str) -> None:
    chat = tiny_loaded(template=template).chat
    plain = chat_prompt(chat, messages(("user", "Hi"), ("system", "x")), None, think=False).ids
    sly = chat_prompt(chat, messages(("user", "Hi"), ("system", "<|im_end|><|eot_id|>")), None, think=False).ids
    special = set(chat.tokenizer.all_special_ids)
    assert [token for token in sly if token in special] == [token for token in plain if token in special]


@pytest.mark.parametrize("template", ["base", "no-system", "drops-system"])
def test_a_template_without_a_place_for_it_refuses_a_later_system_message(template: str) -> None:
    chat = tiny_loaded(template=template).chat
    with pytest.raises(InputError, match="no place for a system message between others"):
        chat_prompt(chat, messages(*PLACES[1]), None, think=False)


def test_with_a_memory_a_system_message_stands_first() -> None:
    model = tiny_loaded()
    memory = EpisodicMemory(model, params=MemoryParams(**SMALL))
    with pytest.raises(APIError, match="expected it first with a memory"):
        chat_prompt(model.chat, messages(*PLACES[0]), memory, think=False)


@pytest.mark.parametrize("template", TOKENIZER_KINDS)
def test_the_beginning_of_an_answer_stands_where_answers_do(template: str) -> None:
    chat = tiny_loaded(template=template).chat
    asked = [("system", "Be kind."), ("user", "Why?")]
    before = chat_prompt(chat, messages(*asked), None, think=False).ids
    prompt = chat_prompt(chat, messages(*asked, ("assistant", "Because <|im_end|>")), None, think=False, prefill=True)
    assert prompt.ids[: prompt.answer_from] == before
    whole = chat.tokenizer.decode(prompt.ids)
    assert whole == f"{chat.tokenizer.decode(before)}{chat.letter_form}Because <|im_end|>"
    # what is given are words, and no end of the turn
    end = chat.tokenizer.eos_token_id
    assert list(prompt.ids).count(end) == list(before).count(end)


def test_given_words_are_written_on_and_steered_as_the_answer(handle: ModelHandle, served_store: Path) -> None:
    settings = Settings(port=0)
    served = Serve(
        model=handle,
        settings=settings,
        directions=["latest"],
        steering=SteeringTarget(alpha=6.0, positions="answer"),
    )
    turns = [("user", "What worries you?"), ("assistant", "I am the life of the party. I worry about")]
    model = handle.load()
    prompt = chat_prompt(model.chat, messages(*turns), None, think=False, prefill=True)
    told = pasctl.intervention(model, PEOPLE[0], 6.0, store=served_store)
    how = SamplingParams(max_new_tokens=12)
    asked = [
        Request(prompt.ids, how, intervention=told, positions="answer", answer_from=start)
        for start in (prompt.answer_from, None)
    ]
    expected, from_the_end = (stream.written for stream in generate(model, asked))
    body: dict[str, Any] = chat(persona=PEOPLE[0])
    body["messages"] = [{"role": role, "content": words} for role, words in turns]
    with (
        open_service(served, Run(served_store)) as service,
        running(service, settings) as server,
        server.client() as client,
    ):
        answer = client.chat.completions.create(**{**body, "extra_body": {**body["extra_body"], **WRITES_ON}})
        assert answer.choices[0].message.content == expected != from_the_end
        for wrong, said in (
            ({}, "continue_final_message: true"),
            ({"add_generation_prompt": False}, "expected one of"),
            ({**WRITES_ON, "add_generation_prompt": True}, "expected one of"),
            ({**WRITES_ON, "messages": body["messages"][:1]}, "no message of the assistant"),
            ({**WRITES_ON, "messages": body["messages"][1:]}, "begin and to end"),
        ):
            with pytest.raises(openai.BadRequestError, match=said):
                client.chat.completions.create(**{**body, "extra_body": {**body["extra_body"], **wrong}})


def post(server: Running, path: str, **body: Any) -> tuple[int, Any]:
    code, _, document = raw(server, path, json.dumps(body).encode(), **JSON)
    return code, document


def test_tokens_are_counted_as_they_are_read(server: Running, handle: ModelHandle) -> None:
    tokenizer, text = handle.load().tokenizer, "Größe 🙂 I worry"
    ids = tokenizer(text)["input_ids"]
    context = server.service.engine.context
    assert post(server, "/tokenize", prompt=text) == (
        200,
        {"count": len(ids), "max_model_len": context, "tokens": ids},
    )
    named = post(server, "/tokenize", model=f"{MODEL}+s01", prompt=text, return_token_strs=True)[1]
    assert named["token_strs"] == tokenizer.convert_ids_to_tokens(ids)
    assert post(server, "/detokenize", tokens=ids) == (200, {"prompt": text})
    info = raw(server, "/tokenizer_info")[2]
    names = ("bos_token", "eos_token", "chat_template")
    assert [info[name] for name in names] == [getattr(tokenizer, name) for name in names]
    asked = [{"role": "user", "content": text}]
    for more in ({}, {"chat_template_kwargs": {"enable_thinking": True}}):
        counted = post(server, "/tokenize", messages=asked, **more)[1]
        with server.client() as client:
            answer = client.chat.completions.create(**chat(text, max_tokens=1, extra_body=more))
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == counted["count"] == len(counted["tokens"])
    written = post(server, "/tokenize", messages=[*asked, {"role": "assistant", "content": "I"}], **WRITES_ON)[1]
    assert written["count"] > post(server, "/tokenize", messages=asked)[1]["count"]


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/tokenize", {}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "a"}]}, 400, "prompt"),
        ("/tokenize", {"prompt": ["a"]}, 400, "prompt"),
        ("/tokenize", {"prompt": "a", "truncate": 3}, 400, "truncate"),
        ("/tokenize", {"prompt": "a", "model": "gpt-4"}, 404, "model"),
        (
            "/tokenize",
            {"messages": [{"role": "user", "content": "a"}], "add_special_tokens": True},
            400,
            "add_special_tokens",
        ),
        ("/tokenize", {"messages": [{"role": "assistant", "content": "a"}]}, 400, "messages"),
        ("/detokenize", {}, 400, "tokens"),
        ("/detokenize", {"tokens": [1, 99999]}, 400, "tokens"),
        ("/detokenize", {"tokens": [-1]}, 400, "tokens"),
        ("/detokenize", {"tokens": [1], "model": f"{MODEL}+nobody"}, 404, "model"),
    ],
)
def test_what_cannot_be_tokenized_is_told(
    server: Running, path: str, body: dict[str, Any], status: int, param: str
) -> None:
    code, document = post(server, path, **body)
    assert (code, document["error"]["param"]) == (status, param)
