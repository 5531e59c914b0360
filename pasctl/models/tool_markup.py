"""Calls of tools as elements, as Qwen3-Coder writes them.

<function=NAME><parameter=KEY>VALUE</parameter></function>, with line breaks around values.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.errors import InputError
from pasctl.json_file import JsonError, parse_json
from pasctl.models.rendered import ToolCall
from pasctl.models.tool_form import HeldCall, Tool, ToolForm

_OF_TEXT = {"type", "enum", "const", "title", "description", "default", "examples"}
"""Keywords of a string's schema that its text can be held to, or that demand nothing."""


@dataclass(frozen=True)
class MarkupForm(ToolForm):
    r"""A call is an element with the tool's name, which has an element for each argument.

    Attributes:
        before_name: "<function=", and `after_name`, ">".
        gap: what stands before the first argument, "\n".
        before_key: "<parameter=", and `after_key`, ">\n".
        after_value: "\n</parameter>".
        close: what stands behind the last argument, up to where the call ends: "\n</function>\n</tool_call>".
    """

    before_name: str
    after_name: str
    gap: str
    before_key: str
    after_key: str
    after_value: str
    close: str

    def read(self, text: str, start: int, tools: Sequence[Tool]) -> tuple[list[ToolCall], int] | None:
        """The call that the elements at a place of a text are."""
        expected = text[start : start + len(self.before_name)]
        if not self.before_name.startswith(expected):
            return [], start
        stop = text.find(self.end, start)
        if stop < 0:
            return None
        name, behind, rest = text[start + len(self.before_name) : stop].partition(self.after_name)
        function = next((tool["function"] for tool in tools if tool["function"]["name"] == name), None)
        if function is None or not behind:
            return [], stop + len(self.end)
        properties, arguments = dict(_properties(function)), dict[str, Any]()
        for element in rest.split(self.before_key)[1:]:
            key, _, value = element.partition(self.after_key.strip())
            value = value.removeprefix(self.after_key[len(self.after_key.rstrip()) :])
            value, closed, _ = value.rpartition(self.after_value.strip())
            if not closed:
                return [], stop + len(self.end)
            space = self.after_value[: -len(self.after_value.lstrip())]
            arguments[key] = _value(value.removesuffix(space), properties.get(key, {}))
        return [ToolCall(name, arguments)], stop

    def held(self, tools: Sequence[Tool], *, several: bool) -> HeldCall:
        """A call whose arguments stand in the order of their schema: texts free up to their end, all else JSON.

        A tool without a schema has any.

        Raises:
            InputError: a text must match more than a list of texts.
        """
        functions = [tool["function"] for tool in tools]
        rules = [f"start: {' | '.join(f't{place}' for place in range(len(functions)))}"]
        for place, function in enumerate(functions):
            required = (function.get("parameters") or {}).get("required") or []
            parts = [_quoted(self.before_name + function["name"] + self.after_name)]
            if not function.get("parameters"):  # whatever arguments there are
                rules += [f"b{place}[suffix={_quoted(self.close)}]: /(?s:.*)/", f"t{place}: {parts[0]} b{place}"]
                continue
            for number, (key, schema) in enumerate(_properties(function)):
                own = f"{place}_{number}"
                begin = _quoted(self.gap + self.before_key + key + self.after_key)
                rules += [f"p{own}: {begin} v{own}", self._value_rule(f"v{own}", key, schema, function)]
                parts.append(f"p{own}" if key in required else f"p{own}?")
            rules.append(f"t{place}: {' '.join([*parts, _quoted(self.close)])}")
        return HeldCall("grammar", "\n".join(rules) + "\n")

    def _value_rule(self, name: str, key: str, schema: Mapping[str, Any], function: Mapping[str, Any]) -> str:
        """The rule of an argument's value, with what stands behind it."""
        behind = _quoted(self.after_value)
        if schema and schema.get("type") != "string":
            root = function.get("parameters") or {}
            places = {place: root[place] for place in ("$defs", "definitions") if place in root}
            return f"{name}: %json {json.dumps({**places, **schema})} {behind}"
        if demands := sorted(schema.keys() - _OF_TEXT):
            raise InputError(
                f"argument {key!r} of {function['name']} has {demands[0]}, to which a text cannot be held in the "
                "markup of the model's template",
                hint="leave it out of the schema, or send tool_choice auto",
            )
        allowed = [schema["const"]] if "const" in schema else schema.get("enum")
        if allowed:
            return f"{name}: ({' | '.join(_quoted(str(each)) for each in allowed)}) {behind}"
        return f"{name}[suffix={behind}]: /(?s:.*)/"


def _properties(function: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and schema of each argument; of one without a schema, an empty one."""
    properties = (function.get("parameters") or {}).get("properties")
    for name, schema in properties.items() if isinstance(properties, Mapping) else ():
        yield name, schema if isinstance(schema, Mapping) else {}


def _value(text: str, schema: Mapping[str, Any]) -> Any:
    """The value that markup gives as text: of a string, the text; of anything else, JSON if it is that."""
    if schema.get("type") == "string":
        return text
    try:
        return parse_json(text)
    except JsonError:
        return text


def _quoted(text: str) -> str:
    """A text as Lark's syntax has it."""
    return json.dumps(text, ensure_ascii=False)
