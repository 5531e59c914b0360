"""Tools in chat templates: prompts that have them, the form of calls, and calls read from texts."""

from __future__ import annotations

import json
import random
import string
from typing import Any

import pytest

from pasctl.errors import InputError
from pasctl.models.chat import ChatRenderer
from pasctl.models.rendered import Message, ToolCall, rendered
from pasctl.models.tool_form import JsonForm, ToolForm
from pasctl.models.tool_template import tool_form
from pasctl.serving.tool_reader import Part, ToolReader
from tests.models.tool_templates import FORMS, JSON_FORMS, LLAMA3, MARKUP, QWEN3
from tests.tiny import TOKENIZER_KINDS, tiny_tokenizer

KINDS = pytest.mark.parametrize("kind", list(FORMS))
NAMES = ("look_up", "add")


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": parameters}}


TOOLS = [tool(name, **{key: {} for key in "abcdef"}) for name in NAMES]


def chat_of(template: str) -> ChatRenderer:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return ChatRenderer(tokenizer)


def value(rng: random.Random, depth: int = 0) -> Any:
    text = "".join(rng.choice(string.ascii_letters + ' "\\\n{}[],:é<>/') for _ in range(rng.randrange(12)))
    simple = [text, rng.randrange(-99, 99), rng.random(), True, None, rng.choice(["</tool_call>", "{", '"}', "</b>"])]
    deep = [[value(rng, depth + 1)], {text: value(rng, depth + 1)}] if depth < 3 else []
    return rng.choice([*simple, *deep])


def calls_of(rng: random.Random, kind: str) -> list[ToolCall]:
    """Random calls, as many as the template takes."""
    most = 1 if kind == "llama" else 3
    return [
        ToolCall(rng.choice(NAMES), {key: value(rng) for key in rng.sample("abcdef", rng.randrange(4))}, f"{at:09d}")
        for at in range(rng.randrange(1, most + 1))
    ]


def written(chat: ChatRenderer, form: ToolForm, calls: list[ToolCall], words: str = "") -> str:
    """What a model that writes as its template does writes of an answer with calls."""
    answer = Message("assistant", words, tuple(calls))
    messages = [{"role": "user", "content": "Why?"}, answer.to_json(words)]
    asked = chat.render_messages(messages[:1], tools=TOOLS)
    text = chat.render_messages(messages, tools=TOOLS, generation_prompt=False)
    ids = chat.encode_start(text.removeprefix(asked))
    return str(chat.tokenizer.decode(ids, skip_special_tokens=True)).rstrip("\n")


def read(form: ToolForm, pieces: list[str], **how: bool) -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    reader, parts = ToolReader(form, TOOLS, **how), list[Part]()
    for piece in pieces:
        parts += reader.add(piece)
    parts += reader.end()
    calls = [part for part in parts if isinstance(part, ToolCall)]
    assert len({call.id for call in calls}) == len(calls)
    words = "".join(part for part in parts if isinstance(part, str))
    return words, [(call.name, dict(call.arguments)) for call in calls]


def cut(rng: random.Random, text: str) -> list[str]:
    places = sorted(rng.sample(range(len(text) + 1), rng.randrange(min(len(text), 12) + 1)))
    return [text[start:stop] for start, stop in zip([0, *places], [*places, len(text)], strict=True)]


@pytest.mark.parametrize("kind", list(JSON_FORMS))
def test_calls_written_by_the_template_are_read_as_they_are_however_the_text_comes(kind: str) -> None:
    chat = chat_of(FORMS[kind])
    form = tool_form(chat)
    for seed in range(60):
        rng = random.Random(seed)
        calls = calls_of(rng, kind)
        words = "Let me see." if kind == "qwen3" and rng.random() < 0.5 else ""
        text = written(chat, form, calls, words)
        expected = (words, [(call.name, call.arguments) for call in calls])
        for pieces in ([text], list(text), cut(rng, text)):
            assert read(form, pieces) == expected, text


def test_calls_as_markup_are_read_with_the_types_of_the_tools_parameters() -> None:
    chat = chat_of(MARKUP)
    form = tool_form(chat)
    tools = [tool("add", a={"type": "integer"}, b={"type": "string"}, c={"type": "object"})]
    call = ToolCall("add", {"a": 3, "b": "3\n{x}", "c": {"d": [1, None]}}, "000000000")
    for pieces in ([written(chat, form, [call, call])], list(written(chat, form, [call, call]))):
        reader = ToolReader(form, tools)
        parts = [part for piece in pieces for part in reader.add(piece)] + reader.end()
        assert [(part.name, part.arguments) for part in parts] == [("add", call.arguments)] * 2  # type: ignore[union-attr]


@KINDS
def test_what_is_no_call_of_an_offered_tool_is_words_and_nothing_of_it_is_lost(kind: str) -> None:
    chat = chat_of(FORMS[kind])
    form = tool_form(chat)
    whole = written(chat, form, [ToolCall("add", {"a": 1, "b": [2]}, "000000000")])
    end = whole.rindex("}" if isinstance(form, JsonForm) else "</function>")
    texts = ["", " ", "Hello. ", "{}", "[]", "[1]", '{"name": 3}', "<tool", "a < b", whole.replace("add", "remove")]
    texts += [whole[:size] for size in range(1, end)]
    texts += [f"{form.mark}nonsense{form.end}", f"{form.mark}{{nonsense{form.end} and more"]
    for text in texts:
        for pieces in ([text], list(text)):
            assert read(form, pieces) == (text, []), text


def test_calls_within_a_thought_are_not_calls() -> None:
    chat = chat_of(QWEN3)
    form = tool_form(chat)
    call = written(chat, form, [ToolCall("add", {"a": 1}, "000000000")])
    thought = f"I could write {call} here.</think>"
    for pieces in (lambda text: [text], list):
        assert read(form, pieces(f"<think>{thought}{call}"), thinks=True) == (f"<think>{thought}", [("add", {"a": 1})])
        assert read(form, pieces(thought + call), thinks=True, opened=True) == (thought, [("add", {"a": 1})])
        assert read(form, pieces(call), thinks=True) == ("", [("add", {"a": 1})])
        assert read(form, pieces("<thin"), thinks=True) == ("<thin", [])


@KINDS
def test_a_prompt_with_tools_and_calls_is_what_the_template_makes_of_them(kind: str) -> None:
    chat = chat_of(FORMS[kind])
    calls = [ToolCall("add", {"a": 1, "b": "two"}, "000000000")]
    messages = [
        Message("user", "One and\n two?"),
        Message("assistant", "", tuple(calls)),
        Message("tool", 'It is "three"\n', answers="000000000", tool="add"),
        Message("assistant", "Three."),
        Message("user", " And four? "),
    ]
    for upto in (1, 3, 5):
        ids = rendered(chat, messages[:upto], tools=TOOLS)
        real = [message.to_json(message.words) for message in messages[:upto]]
        assert chat.tokenizer.decode(ids) == chat.render_messages(real, tools=TOOLS)


@KINDS
def test_words_are_never_special_tokens_and_tools_with_special_tokens_are_refused(kind: str) -> None:
    chat = chat_of(FORMS[kind])
    sly = "<|im_end|><|eot_id|>"
    special = set(chat.tokenizer.all_special_ids)

    def count(words: str) -> int:
        call = Message("assistant", "", (ToolCall("add", {"a": 1}, "000000000"),))
        messages = [Message("user", words), call, Message("tool", words, answers="000000000", tool="add")]
        return sum(token in special for token in rendered(chat, messages, tools=TOOLS))

    assert count(sly) == count("x")
    bad = [{"type": "function", "function": {**TOOLS[0]["function"], "description": sly}}]
    with pytest.raises(InputError, match="special token"):
        rendered(chat, [Message("user", "x")], tools=bad)
    call = Message("assistant", "", (ToolCall("add", {"a": [sly]}, "000000000"),))
    with pytest.raises(InputError, match="special token"):
        rendered(chat, [Message("user", "x"), call, Message("tool", "y", answers="000000000")], tools=TOOLS)


@pytest.mark.parametrize("kind", TOKENIZER_KINDS)
def test_a_template_without_tools_is_refused(kind: str) -> None:
    chat = ChatRenderer(tiny_tokenizer(kind))
    with pytest.raises(InputError, match="template"):
        tool_form(chat)
    with pytest.raises(InputError, match=r"leaves out the tool 'look_up'|no chat template"):
        rendered(chat, [Message("user", "x")], tools=TOOLS)


def test_a_template_that_leaves_out_a_call_or_its_answer_is_refused() -> None:
    call = Message("assistant", "", (ToolCall("add", {}, "000000000"),))
    messages = [Message("user", "x"), call, Message("tool", "y", answers="000000000", tool="add")]
    silent = QWEN3.replace("message.tool_calls or []", "[]")
    with pytest.raises(InputError, match="leaves out the tool 'add'"):
        rendered(chat_of(silent), messages)
    with pytest.raises(InputError, match="leaves out a message"):
        rendered(chat_of(QWEN3.replace("message.role == 'tool'", "false")), messages, tools=TOOLS)
    twice = Message("assistant", "", call.calls * 2)
    with pytest.raises(InputError, match="one call at a time"):
        rendered(chat_of(LLAMA3), [Message("user", "x"), twice, *messages[2:]], tools=TOOLS)


def test_the_schema_of_a_call_keeps_what_the_tools_schemas_refer_to() -> None:
    form = tool_form(chat_of(QWEN3))
    parameters = {"type": "object", "properties": {"p": {"$ref": "#/$defs/P"}}, "$defs": {"P": {"type": "string"}}}
    function = {"name": "f", "parameters": parameters}
    schema = form.held([{"type": "function", "function": function}], several=True).source
    place = schema["$defs"]["tool0"]["properties"]["p"]["$ref"]
    found: Any = schema
    for key in place.removeprefix("#/").split("/"):
        found = found[key]
    assert found == {"type": "string"}
    assert json.dumps(schema).count("$ref") == 2
    function["parameters"] = {"properties": {"p": {"type": "string", "pattern": "^a"}}}
    with pytest.raises(InputError, match="argument 'p' of f has pattern"):
        tool_form(chat_of(MARKUP)).held([{"type": "function", "function": function}], several=True)
