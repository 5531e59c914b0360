"""Answers that must be calls, and calls whose arguments must be as their schema says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest

from pasctl.commands.serve import Serve
from pasctl.generation.structure import Structure
from pasctl.models.load import LoadedModel
from pasctl.models.rendered import Message, ToolCall
from pasctl.models.tool_template import tool_form
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.serving.tool_reader import ToolReader
from pasctl.stages.run import Run
from tests.models.tool_templates import FORMS, JSON_FORMS, MARKUP
from tests.serving.conftest import Running, running
from tests.serving.test_tools import ADD, ASKED, HIGH, LONG, answered, ask, caller, gathered, server
from tests.tiny import tiny_model, tiny_tokenizer

pytest.importorskip("llguidance")

from pasctl.generation.grammars import grammars_of

__all__ = ["caller", "server"]

DIGIT = {"digit": {"type": "integer", "minimum": 0, "maximum": 9}}
SUBTRACT: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "subtract",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"$ref": "#/$defs/digit"},
                "why": {"enum": ["fun", "need"]},
                "rest": {"type": "array", "items": {"$ref": "#/$defs/digit"}, "maxItems": 2},
            },
            "required": ["a", "why", "rest"],
            "additionalProperties": False,
            "$defs": DIGIT,
        },
    },
}
NAMED = {"type": "function", "function": {"name": "subtract"}}


def check_subtract(text: str) -> None:
    arguments = json.loads(text)
    assert arguments.keys() == {"a", "why", "rest"}
    assert arguments["why"] in ("fun", "need")
    digits = [arguments["a"], *arguments["rest"]]
    assert len(digits) <= 3
    assert all(isinstance(digit, int) and 0 <= digit <= 9 for digit in digits)


def test_a_model_that_would_talk_calls_the_tool_that_it_must(server: Running) -> None:
    with server.client() as client:
        for messages in (ASKED, LONG, answered()):
            for how in ({"temperature": 0}, {"temperature": 1.5, "seed": 3}):
                answer = ask(client, server, messages, tools=[ADD, SUBTRACT], tool_choice=NAMED, **how).choices[0]
                [call] = answer.message.tool_calls
                assert (call.function.name, answer.finish_reason) == ("subtract", "tool_calls")
                assert answer.message.content is None
                check_subtract(call.function.arguments)
                chunks = ask(client, server, messages, tools=[ADD, SUBTRACT], tool_choice=NAMED, stream=True, **how)
                assert gathered(chunks) == ("", [("subtract", call.function.arguments)], "tool_calls")
        [call] = ask(client, server, answered(), tools=[ADD], tool_choice="required").choices[0].message.tool_calls
        assert call.function.name == "add"


def test_a_strict_tool_is_called_as_its_schema_says_and_words_stay_free(server: Running) -> None:
    strict = {**HIGH, "function": {**HIGH["function"], "strict": True}}  # type: ignore[dict-item]
    with server.client() as client:
        loose = ask(client, server, LONG, tools=[HIGH]).choices[0].message
        assert [json.loads(call.function.arguments) for call in loose.tool_calls] == [{"a": 2, "b": 3}] * 2
        held = ask(client, server, LONG, tools=[strict]).choices[0].message
        assert loose.content == "Well."
        assert held.content.startswith("Well.")
        assert held.tool_calls
        for call in held.tool_calls:
            arguments = json.loads(call.function.arguments)
            assert {arguments["a"], arguments["b"]} <= {7, 8}


@contextmanager
def served(template: str, folder: Path) -> Iterator[Running]:
    """A server of a model that has learned nothing, with a template."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    model, settings = LoadedModel.wrap(tiny_model(), tokenizer), Settings(port=0, max_new_tokens=300)
    serve = Serve(model=model, settings=settings)
    with open_service(serve, Run(folder / "artifacts")) as service, running(service, settings) as started:
        yield started


@pytest.fixture(scope="module", params=list(FORMS))
def stranger(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A model that has learned nothing, with each form of calls."""
    with served(FORMS[request.param], tmp_path_factory.mktemp("stranger")) as started:
        yield started


def test_a_model_that_has_learned_nothing_calls_as_it_must(stranger: Running) -> None:
    tools, ended = [SUBTRACT], 0
    with stranger.client() as client:
        for seed in range(12):
            answer = ask(client, stranger, ASKED, tools=tools, tool_choice="required", temperature=1, seed=seed)
            choice = answer.choices[0]
            if choice.finish_reason == "length":
                assert choice.message.tool_calls is None
                continue
            ended += 1
            for call in choice.message.tool_calls:
                assert call.function.name == "subtract"
                check_subtract(call.function.arguments)
    assert ended >= 3


WORD = {
    "word": {"type": "string"},
    "kind": {"type": "string", "enum": ["a b", "</p>"]},
    "n": {"type": "integer"},
    "rest": {"type": "array", "items": {"$ref": "#/$defs/digit"}},
}
SPELL = {
    "type": "function",
    "function": {
        "name": "spell",
        "parameters": {"type": "object", "properties": WORD, "required": ["word", "kind"], "$defs": DIGIT},
    },
}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        ({"word": 'x\n<b> é"', "kind": "a b"}, True),
        ({"word": "", "kind": "</p>", "n": -3}, True),
        ({"word": "x", "kind": "a b", "n": 3, "rest": [1, 9]}, True),
        ({"word": "x", "kind": "a"}, False),
        ({"word": "x"}, False),
        ({"kind": "a b", "word": "x"}, False),  # in the order of the schema
        ({"word": "x", "kind": "a b", "n": "three"}, False),
        ({"word": "x", "kind": "a b", "rest": [10]}, False),
        ({"word": "x", "kind": "a b", "more": 1}, False),
    ],
)
def test_calls_as_markup_are_held_to_their_schema(arguments: dict[str, Any], allowed: bool) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = MARKUP
    model = LoadedModel.wrap(tiny_model(), tokenizer)
    form = tool_form(model.chat)
    call = form.held([ADD, SPELL], several=True)
    answer = Message("assistant", "", (ToolCall("spell", arguments, "000000000"),)).to_json("")
    text = model.chat.render_messages([*ASKED, answer], tools=[SPELL], generation_prompt=False)
    text = text.partition(form.begin)[2].partition("<|im_end|>")[0]
    matcher = grammars_of(model).matcher(Structure(call.kind, call.source))
    followed = all(matcher.consume_token(token) for token in model.chat.encode_words(text))
    assert (followed and matcher.is_accepting()) is allowed
    reader = ToolReader(form, [SPELL], begun=True)
    [part] = [*reader.add(text), *reader.end()]
    assert isinstance(part, ToolCall)
    assert part.arguments == arguments


def refusal(server: Running, messages: list[dict[str, Any]], **more: Any) -> str:
    with server.client() as client, pytest.raises(openai.BadRequestError) as refused:
        ask(client, server, messages, **more)
    message = str(refused.value.body["message"])  # type: ignore[index]
    assert "\n" not in message
    return message


def test_what_cannot_be_held_to_a_schema_is_refused(tmp_path: Path, server: Running) -> None:
    strict = {**ADD, "function": {**ADD["function"], "strict": True}}  # type: ignore[dict-item]
    with served(MARKUP, tmp_path / "markup") as started:
        text = {"type": "object", "properties": {"word": {"type": "string", "minLength": 3}}}
        spell = {"type": "function", "function": {"name": "spell", "parameters": text, "strict": True}}
        for how in ({"tool_choice": "required"}, {}):
            assert "argument 'word' of spell has minLength" in refusal(started, ASKED, tools=[spell], **how)
    with served(JSON_FORMS["llama"], tmp_path / "llama") as started:
        assert "does not mark where a call begins" in refusal(started, ASKED, tools=[strict])
    broken = {"type": "function", "function": {"name": "add", "parameters": {"type": "objekt"}}}
    assert "objekt" in refusal(server, ASKED, tools=[broken], tool_choice="required")
    begun = [*ASKED, {"role": "assistant", "content": "I"}]
    on = {"continue_final_message": True, "add_generation_prompt": False}
    assert "begin with words" in refusal(server, begun, tools=[ADD], tool_choice="required", extra_body=on)
