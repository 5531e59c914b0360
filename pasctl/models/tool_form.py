"""Forms in which chat templates write calls of tools, and the calls that a text has in such a form."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pasctl.json_file import JsonError, parse_json
from pasctl.models.rendered import ToolCall

Tool = Mapping[str, Any]


@dataclass(frozen=True)
class HeldCall:
    """What a call must be.

    Attributes:
        kind: what `source` is.
        source: a JSON schema, or a grammar in Lark's syntax.
    """

    kind: Literal["json_schema", "grammar"]
    source: Any


@dataclass(frozen=True)
class ToolForm(ABC):
    r"""A call of a tool as a template writes it.

    Attributes:
        begin: what stands between the beginning of an answer and a call, such as "<tool_call>\n".
        mark: what a written text shows where a call begins, as special tokens are left out: "<tool_call>". It is "" if
            nothing is shown.
        end: what it shows where a call ends.
    """

    begin: str
    mark: str
    end: str

    @abstractmethod
    def read(self, text: str, start: int, tools: Sequence[Tool]) -> tuple[list[ToolCall], int] | None:
        """The calls that begin at a place of a text.

        Args:
            text: that a model has written so far.
            start: the place, behind the mark.
            tools: that may be called, as OpenAI's API describes them.

        Returns:
            The calls, none if there is something else, and the place behind them; None if more of the text is needed.
        """

    @abstractmethod
    def held(self, tools: Sequence[Tool], *, several: bool) -> HeldCall:
        """What a call of one of the tools must be, without what stands around it.

        Args:
            tools: as OpenAI's API describes them.
            several: whether there may be more calls than one.

        Raises:
            InputError: the form of a tool's arguments cannot be demanded.
        """


@dataclass(frozen=True)
class JsonForm(ToolForm):
    """A call is a JSON object, or an item of a list.

    Attributes:
        listed: whether the calls are one list.
        inside: the key that a call's name and arguments stand under, or "" where they are the object's own.
        name: the key of the tool's name.
        arguments: the key of the arguments.
    """

    listed: bool
    inside: str
    name: str
    arguments: str

    def read(self, text: str, start: int, tools: Sequence[Tool]) -> tuple[list[ToolCall], int] | None:
        """The calls that a JSON document at a place of a text is."""
        try:
            _, stop = json.JSONDecoder().raw_decode(text, start)
        except (ValueError, RecursionError) as error:
            wrong = error if isinstance(error, json.JSONDecodeError) else None
            inside = wrong is not None and wrong.msg.startswith("Unterminated string")
            closed = text.find(self.end, wrong.pos if wrong else start) if self.end and not inside else -1
            if closed < 0 and text[start] in "[{":
                return None
            return [], start if closed < 0 else closed + len(self.end)
        try:
            document = parse_json(text[start:stop])
        except JsonError:
            return [], stop
        return self._calls(document, [tool["function"]["name"] for tool in tools]), stop

    def _calls(self, document: Any, names: Sequence[str]) -> list[ToolCall]:
        given = document if self.listed else [document]
        calls = [self._call(each) for each in given] if isinstance(given, list) else []
        found = [call for call in calls if call is not None and call.name in names]
        return found if len(found) == len(calls) else []

    def _call(self, document: Any) -> ToolCall | None:
        call = document.get(self.inside) if self.inside and isinstance(document, dict) else document
        if not isinstance(call, dict):
            return None
        name, arguments = call.get(self.name), call.get(self.arguments, {})
        return ToolCall(name, arguments) if isinstance(name, str) and isinstance(arguments, dict) else None

    def held(self, tools: Sequence[Tool], *, several: bool) -> HeldCall:
        """A call, or a list of calls where the template writes one."""
        forms, definitions = list[dict[str, Any]](), dict[str, Any]()
        for place, function in enumerate(tool["function"] for tool in tools):
            root = f"tool{place}"
            definitions[root] = _moved(function.get("parameters") or {"type": "object"}, f"#/$defs/{root}")
            call = object_schema({self.name: {"const": function["name"]}, self.arguments: {"$ref": f"#/$defs/{root}"}})
            forms.append(object_schema({self.inside: call}) if self.inside else call)
        one = {"anyOf": forms}
        listed = {"type": "array", "items": one, "minItems": 1, **({} if several else {"maxItems": 1})}
        return HeldCall("json_schema", {"$defs": definitions, **(listed if self.listed else one)})


def object_schema(properties: dict[str, Any]) -> dict[str, Any]:
    """Schema of an object that has all of the properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:
    """A schema that stands at `place` of another, so that what it refers to is found there."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value[1:]
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }
