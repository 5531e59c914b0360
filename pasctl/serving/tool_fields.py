"""Tools in requests: what may be called, whether it must be, and calls and their answers in earlier messages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from pasctl.json_file import JsonError, parse_json
from pasctl.models.rendered import ToolCall
from pasctl.serving.fields import Strict

_MOST_TOOLS = 128

Name = Annotated[str, Field(pattern="^[a-zA-Z0-9_.-]{1,64}$")]


class Function(Strict):
    """What can be called."""

    name: Name
    description: str | None = None
    parameters: dict[str, Any] | None = Field(default=None, description="JSON schema of the arguments")
    strict: bool | None = Field(
        default=None, description="hold the arguments of its calls to the schema; needs pasctl[structured]"
    )


class Tool(Strict):
    """A tool."""

    type: Literal["function"]
    function: Function

    def to_json(self) -> dict[str, Any]:
        """The tool as chat templates take it."""
        function = self.function
        described = {"description": function.description or "", "parameters": function.parameters or {}}
        return {"type": "function", "function": {"name": function.name, **described}}


class Named(Strict):
    """A tool's name."""

    name: Name


class NamedTool(Strict):
    """The tool that must be called."""

    type: Literal["function"]
    function: Named


def _arguments(text: str) -> str:
    try:
        document = parse_json(text or "{}")
    except JsonError:
        document = None
    if not isinstance(document, dict):
        raise ValueError("expected the text of a JSON object")
    return text


class CalledFunction(Strict):
    """What was called, and with what."""

    name: Name
    arguments: Annotated[str, AfterValidator(_arguments)] = Field(description="JSON object as text")


class EarlierCall(Strict):
    """A call in an earlier answer."""

    id: str = Field(min_length=1, max_length=128)
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = Field(default=None, description="its place, which is that in the list")

    def to_call(self) -> ToolCall:
        """The call."""
        return ToolCall(self.function.name, parse_json(self.function.arguments or "{}"), self.id)


Tools = Annotated[list[Tool], Field(max_length=_MOST_TOOLS, fail_fast=True)]
ToolChoice = Literal["none", "auto", "required"] | NamedTool
EarlierCalls = Annotated[list[EarlierCall], Field(max_length=_MOST_TOOLS, fail_fast=True)]
