"""Structured answers over HTTP: whichever field asks for one, the answer has the form and is the engine's.

They need llguidance, which `make test-structured` installs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.structure import Structure
from pasctl.generation.token_rules import TokenRules
from pasctl.models.answer_form import USER, thought_end
from pasctl.models.conversation import Conversation
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from tests.serving.conftest import Running, running, service_of
from tests.serving.test_ollama import lines, request, whole
from tests.serving.test_server import JSON, MODEL, WORDS, chat, raw, streamed
from tests.tiny import save_tiny, tiny_loaded, tiny_tokenizer

pytest.importorskip("llguidance")

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"mood": {"enum": ["calm", "tense"]}, "sure": {"type": "boolean"}},
    "required": ["mood", "sure"],
    "additionalProperties": False,
}
GRAMMAR = 'start: ("ab" | "c")~2..3'
FIELDS: dict[str, tuple[dict[str, Any], Structure]] = {
    "json_schema of OpenAI": (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "m", "strict": True, "schema": SCHEMA}}},
        Structure.json_schema(SCHEMA),
    ),
    "json_object of OpenAI": ({"response_format": {"type": "json_object"}}, Structure.json_object()),
    "guided_json": ({"guided_json": SCHEMA}, Structure.json_schema(SCHEMA)),
    "guided_json as text": ({"guided_json": json.dumps(SCHEMA)}, Structure.json_schema(SCHEMA)),
    "guided_choice": ({"guided_choice": ["yes", "no", "perhaps"]}, Structure.choice(["yes", "no", "perhaps"])),
    "guided_regex": ({"guided_regex": "[a-d]{3}-[0-9]"}, Structure.regex("[a-d]{3}-[0-9]")),
    "guided_grammar": ({"guided_grammar": GRAMMAR}, Structure.grammar(GRAMMAR)),
    "structured_outputs.json": ({"structured_outputs": {"json": SCHEMA}}, Structure.json_schema(SCHEMA)),
    "structured_outputs.regex": ({"structured_outputs": {"regex": "[a-d]{3}"}}, Structure.regex("[a-d]{3}")),
    "structured_outputs.choice": ({"structured_outputs": {"choice": ["a", "b"]}}, Structure.choice(["a", "b"])),
    "structured_outputs.grammar": ({"structured_outputs": {"grammar": GRAMMAR}}, Structure.grammar(GRAMMAR)),
    "structured_outputs.json_object": ({"structured_outputs": {"json_object": True}}, Structure.json_object()),
    "json_schema of llama.cpp": ({"json_schema": SCHEMA}, Structure.json_schema(SCHEMA)),
    "grammar of llama.cpp": ({"grammar": 'root ::= "a" | "b"'}, Structure.grammar('root ::= "a" | "b"')),
    "text": ({"response_format": {"type": "text"}}, Structure.regex("(?s:.)*")),
}
TOKENS = 60


def by_engine(server: Running, structure: Structure | None) -> tuple[str, str | None]:
    """What the library writes for the same conversation, and why it ended."""
    model = server.service.engine.model
    conversation = Conversation(model.chat)
    prompt = [*conversation.opening(), *conversation.question(WORDS)]
    how = SamplingParams(max_new_tokens=TOKENS)
    [stream] = generate(model, [Request(prompt, how, rules=TokenRules(structure=structure))])
    return stream.written, stream.finish_reason


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_gives_what_the_engine_writes(server: Running, name: str) -> None:
    fields, structure = FIELDS[name]
    expected = by_engine(server, None if name == "text" else structure)
    with server.client() as client:
        answer = client.chat.completions.create(**chat(max_tokens=TOKENS, extra_body=fields))
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == expected
        assert streamed(client, **chat(max_tokens=TOKENS, extra_body=fields)) == expected[0]
        prompt = {"model": MODEL, "prompt": "Hi", "temperature": 0, "max_tokens": TOKENS}
        text = client.completions.create(**prompt, extra_body=fields).choices[0]
    if text.finish_reason == "stop" and structure == Structure.json_schema(SCHEMA):
        assert json.loads(text.text).keys() == {"mood", "sure"}


class Mood(BaseModel):
    model_config = ConfigDict(extra="forbid")

    mood: Literal["calm", "tense"]
    sure: bool


@pytest.mark.parametrize("persona", [None, "s01", "s02"])
def test_openais_client_parses_an_answer_into_a_class(server: Running, persona: str | None) -> None:
    with server.client() as client:
        for seed in range(4):
            wanted = chat(
                persona=persona, alpha=None if persona is None else 3, temperature=1, seed=seed, max_tokens=80
            )
            answer = client.chat.completions.parse(**wanted, response_format=Mood)
            assert isinstance(answer.choices[0].message.parsed, Mood)


def test_a_persona_says_what_it_prefers(server: Running) -> None:
    choices = [f"{a}{b}" for a in ("I", "You", "Nobody") for b in (" worry", " imagine", " party", " answer")]
    with server.client() as client:
        said = {
            alpha: client.chat.completions.create(
                **chat(extra_body={"guided_choice": choices, "pasctl": {"persona": "s01", "alpha": alpha}})
            )
            .choices[0]
            .message.content
            for alpha in (-40, 0, 40)
        }
    assert set(said.values()) <= set(choices)
    assert len(set(said.values())) > 1


def test_many_requests_of_all_kinds_share_a_batch(server: Running) -> None:
    wanted = [pair for name, pair in FIELDS.items() if name != "text"]
    expected = [by_engine(server, structure)[0] for _, structure in wanted]  # while the model is the test's alone
    without = by_engine(server, None)[0]
    with server.client() as client, ThreadPoolExecutor(8) as pool:
        free = [pool.submit(streamed, client, **chat(max_tokens=TOKENS)) for _ in range(8)]
        formed = [pool.submit(streamed, client, **chat(max_tokens=TOKENS, extra_body=fields)) for fields, _ in wanted]
        assert {each.result() for each in free} == {without}
        assert [each.result() for each in formed] == expected


def test_several_texts_of_a_prompt_have_the_form_each(server: Running) -> None:
    with server.client() as client:
        answer = client.completions.create(
            model=MODEL,
            prompt=["Hi", "You"],
            n=3,
            temperature=1.2,
            seed=1,
            extra_body={"guided_regex": "[a-m]{2}[0-9]"},
        )
    texts = [choice.text for choice in answer.choices]
    assert all(re.fullmatch("[a-m]{2}[0-9]", text) for text in texts)
    assert len(set(texts)) > 2


@pytest.mark.parametrize("form", ["json", SCHEMA, ""])
def test_ollamas_format_is_the_same(server: Running, form: Any) -> None:
    structure = Structure.json_object() if form == "json" else Structure.json_schema(SCHEMA) if form else None
    options = {"temperature": 0, "num_predict": TOKENS}
    expected, reason = by_engine(server, structure)
    _, document = whole(server, request(format=form, options=options))
    *parts, last = lines(server, request(format=form, options=options))
    assert document["message"]["content"] == expected == "".join(part["message"]["content"] for part in parts)
    assert document["done_reason"] == last["done_reason"] == reason


@pytest.mark.parametrize(
    ("more", "param", "told"),
    [
        ({"guided_regex": "(", "temperature": 1}, "guided_regex", "unclosed group"),
        ({"guided_json": {"type": "nonsense"}}, "guided_json", "Invalid type: nonsense"),
        ({"guided_json": "{"}, "guided_json", "the JSON schema is no JSON"),
        ({"guided_json": 3}, "guided_json", "guided_json"),
        ({"guided_grammar": "start: nothing"}, "guided_grammar", "unknown name"),
        ({"structured_outputs": {"regex": "("}}, "structured_outputs.regex", "unclosed group"),
        ({"structured_outputs": {"regexp": "a"}}, "structured_outputs.regexp", "did you mean 'regex'"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice", "expected one form"),
        ({"structured_outputs": {"regex": "a", "json_object": True}}, "structured_outputs.json_object", "one form"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "without the field json_schema"),
        ({"guided_regex": "a", "stop": ["x"]}, "stop", "ends where it is complete"),
        ({"guided_regex": "a", "min_tokens": 2}, "min_tokens", "ends where it is complete"),
        ({"response_format": {"type": "json_object"}, "stop": "}"}, "stop", "given with response_format"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_followed_is_refused_before_the_answer(
    server: Running, more: dict[str, Any], param: str, told: str, stream: bool
) -> None:
    body = json.dumps(chat(stream=stream, **more)).encode()
    status, _, document = raw(server, "/v1/chat/completions", body, **JSON)
    error = document["error"]
    assert (status, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert told in error["message"]
    assert "\n" not in error["message"]


def test_nothing_is_asked_for_by_what_is_empty(server: Running) -> None:
    empty = {"stop": [], "min_tokens": 0, "structured_outputs": {"json_object": False}, "response_format": None}
    with server.client() as client:
        answer = client.chat.completions.create(**chat(max_tokens=TOKENS, extra_body=empty))
    assert answer.choices[0].message.content == by_engine(server, None)[0]


@pytest.fixture(scope="module")
def thinking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server of a model to which the ends of a thought are single tokens, as to those that think."""
    folder = save_tiny(tmp_path_factory.mktemp("thinking") / "thinker")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.save_pretrained(folder)
    settings = Settings(port=0, max_new_tokens=200)
    with (
        service_of(ModelHandle(str(folder)), settings, tmp_path_factory.mktemp("store")) as service,
        running(service, settings) as started,
    ):
        yield started


def test_a_thought_is_free_and_the_answer_after_it_is_not(thinking: Running) -> None:
    tokenizer = thinking.service.engine.model.tokenizer
    bias = {str(tokenizer.convert_tokens_to_ids("</think>")): 2.0}
    free = {"logit_bias": bias, "pasctl": {"think": True}}
    texts = []
    with thinking.client() as client:
        for seed in range(6):
            wanted = {**chat(max_tokens=200, temperature=1, seed=seed), "model": thinking.service.base}
            answer = client.chat.completions.create(**wanted, extra_body={**free, "guided_choice": ["yes", "no"]})
            texts.append(answer.choices[0].message.content or "")
            assert answer.choices[0].finish_reason == "stop"
    for text in texts:
        _, end, rest = text.partition("</think>")
        assert (end, rest.strip(" \n")) in [("</think>", "yes"), ("</think>", "no")]
        assert len(rest) < 12
    assert sum(len(text.partition("</think>")[0]) > 10 for text in texts) > 2


def test_an_answer_without_a_thought_has_its_form_at_once(thinking: Running) -> None:
    with thinking.client() as client:
        wanted = {**chat(max_tokens=20), "model": thinking.service.base}
        answer = client.chat.completions.create(**wanted, extra_body={"guided_choice": ["yes", "no"]})
    assert answer.choices[0].message.content in ("yes", "no")


def test_what_ends_a_thought_is_found_in_templates() -> None:
    chat_of = tiny_loaded().chat
    assert thought_end(chat_of.render(USER).rpartition(USER)[2], "") == "</think>"
    assert thought_end("", "{{ '<think>' }} ... </think>") == "</think>"
    assert thought_end("[THINK][/THINK]", "") == "[/THINK]"
    assert thought_end("", "no such thing") is None
