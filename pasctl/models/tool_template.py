"""The form in which a model's chat template writes calls of tools, found by rendering one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from pasctl.errors import InputError
from pasctl.models.answer_form import RENDERING_ERRORS
from pasctl.models.chat import ChatRenderer
from pasctl.models.rendered import ToolCall
from pasctl.models.tool_form import JsonForm, ToolForm, object_schema
from pasctl.models.tool_markup import MarkupForm
from pasctl.models.transformers_compat import first_line

_QUESTION, _ANSWER = "pasctl-question-sentinel", "pasctl-answer-sentinel"
_NAME, _KEY, _VALUE, _ID = "pasctl_tool", "pasctl_key", "pasctl-value", "pasctl123"  # Mistral's ids have 9 characters
_HINT = "take a model whose template has tools, such as Qwen3, or send none"


def tool_form(chat: ChatRenderer) -> ToolForm:
    """How the template of a model writes calls.

    Raises:
        InputError: it has no tools, or writes calls in a form that is not known.
    """
    if chat.kind == "base":
        raise InputError("the model has no chat template, so there is no form for tools", hint=_HINT)
    answer = _written_call(chat)
    found = _first_json(answer, _NAME)
    if found is None:
        return _markup_form(chat, answer)
    start, end, document = found
    listed = isinstance(document, list)
    inside, call = _call_in(document[0] if listed else document)
    keys = {json.dumps(value, sort_keys=True): key for key, value in call.items()}
    name, arguments = keys.get(json.dumps(_NAME)), keys.get(json.dumps({_KEY: _VALUE}))
    if name is None or arguments is None:
        raise InputError("the chat template writes the arguments of tools in a form that is not known", hint=_HINT)
    begin, behind = answer[:start], answer[end:]
    return JsonForm(begin, _shown(chat, begin), _shown(chat, behind), listed, inside, name, arguments)


def _markup_form(chat: ChatRenderer, answer: str) -> MarkupForm:
    """The form of a call that is no JSON: tags around the name and around each argument."""
    parts = re.fullmatch(
        rf"(?P<begin>.*?)(?P<before_name><[^<>]*){_NAME}(?P<after_name>[^<]*>)(?P<gap>\s*)(?P<before_key><[^<>]*){_KEY}"
        rf"(?P<after_key>[^<]*>\s*){_VALUE}(?P<after_value>\s*</[^<>]*>)(?P<end>.*)",
        answer,
        re.DOTALL,
    )
    end = _shown(chat, parts["end"]) if parts else ""
    if not parts or not (mark := _shown(chat, parts["begin"])) or not end or end not in parts["end"]:
        raise InputError("the chat template writes calls of tools in a form that is not known", hint=_HINT)
    before, _, _ = parts["end"].partition(end)
    names = ("before_name", "after_name", "gap", "before_key", "after_key", "after_value")
    return MarkupForm(parts["begin"], mark, end, **{name: parts[name] for name in names}, close=before + end)


def _written_call(chat: ChatRenderer) -> str:
    """What the template writes of an answer that is one call, from where the answer begins to its end."""
    tool = {
        "type": "function",
        "function": {
            "name": _NAME,
            "description": "pasctl",
            "parameters": object_schema({_KEY: {"type": "string", "description": "pasctl"}}),
        },
    }
    question = {"role": "user", "content": _QUESTION}
    call = ToolCall(_NAME, {_KEY: _VALUE}, _ID).to_json()

    def after_question(*answer: Mapping[str, Any]) -> str:
        text = chat.render_messages([question, *answer], tools=[tool], generation_prompt=not answer)
        return text.rpartition(_QUESTION)[2]

    try:
        said = after_question({"role": "assistant", "content": _ANSWER}).partition(_ANSWER)[0]
        called = after_question({"role": "assistant", "content": "", "tool_calls": [call]})
        asked = after_question()
    except RENDERING_ERRORS as error:
        raise InputError(f"the chat template cannot render tools: {first_line(error)}", hint=_HINT) from error
    if _NAME not in called:
        raise InputError("the chat template has no tools", hint=_HINT)
    for header in (said, said.rstrip(" "), asked, asked.rstrip(" ")):
        if called.startswith(header):
            return called.removeprefix(header)
    raise InputError("the chat template begins a call of a tool unlike any other answer", hint=_HINT)


def _first_json(text: str, word: str) -> tuple[int, int, Any] | None:
    """Start, end and value of the first JSON object or list in a text that has `word` in it."""
    decoder = json.JSONDecoder()
    for start, character in enumerate(text):
        if character in "[{":
            try:
                document, end = decoder.raw_decode(text, start)
            except ValueError:
                continue
            if document and word in text[start:end]:
                return start, end, document
    return None


def _call_in(document: Any) -> tuple[str, dict[str, Any]]:
    """The object that has a call's name and arguments, and the key that it stands under."""
    for key, value in document.items() if isinstance(document, dict) else ():
        if isinstance(value, dict) and _NAME in value.values():
            return key, value
    return "", document if isinstance(document, dict) else {}


def _shown(chat: ChatRenderer, markup: str) -> str:
    """What a written text shows of markup: no special tokens, and no space around it."""
    return str(chat.tokenizer.decode(chat.encode_start(markup), skip_special_tokens=True)).strip()
