"""What the tools of a request mean: what the prompt shows, how an answer is held to them, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.errors import PasctlError
from pasctl.generation.structure import Structure
from pasctl.models.tool_form import ToolForm
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.protocol import ChatRequest
from pasctl.serving.tool_fields import NamedTool, Tool
from pasctl.serving.tool_reader import ToolReader


@dataclass(frozen=True)
class ToolUse:
    """How an answer may call tools.

    Attributes:
        form: of calls in the model's template.
        tools: that the prompt shows.
        callable: those of them that may be called.
        strict: names of those whose arguments are held to their schema.
        forced: whether the answer is a call and nothing else.
        several: whether an answer may have more calls than one.
        thinks: whether the answer may begin with a thought.
        opened: whether the prompt has opened it.
    """

    form: ToolForm
    tools: Sequence[Mapping[str, Any]]
    callable: Sequence[Mapping[str, Any]]
    strict: frozenset[str]
    forced: bool
    several: bool
    thinks: bool
    opened: bool

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end the answer because of the tools: the end of the one call."""
        return () if self.several or self.forced or not self.form.end else (self.form.end,)

    def structure(self) -> Structure | None:
        """What an answer is held to: a call if one is forced, and the schemas of strict tools; None if to nothing.

        Raises:
            APIError: the model's template does not write calls so that they can be held to a schema.
        """
        strict = any(tool["function"]["name"] in self.strict for tool in self.callable)
        if not self.forced and not strict:
            return None
        if not self.forced and not self.form.mark:
            raise APIError(
                400,
                "a tool is strict, and the model's template does not mark where a call begins (leave strict out, or "
                "send tool_choice required)",
                "tools",
                "unsupported_parameter",
            )
        loose = [tool for tool in self.callable if not self.forced and tool["function"]["name"] not in self.strict]
        held = [
            {**tool, "function": {**tool["function"], "parameters": {}}} if tool in loose else tool
            for tool in self.callable
        ]
        try:
            call = self.form.held(held, several=self.several)
        except PasctlError as error:
            raise api_error_of(error, "tool_choice" if self.forced else "tools") from error
        where: dict[str, Any] = {"after": self.form.mark, "required": False, "spaced": True, "again": True}
        source = json.dumps(call.source) if call.kind == "json_schema" else call.source
        return Structure(call.kind, source, **({} if self.forced else where))

    def reader(self) -> ToolReader:
        """Reads one answer."""
        return ToolReader(self.form, self.callable, begun=self.forced, thinks=self.thinks, opened=self.opened)


def tool_use(asked: ChatRequest, form_of: Callable[[], ToolForm], *, opens_thought: bool) -> ToolUse | None:
    """What the tools of a request mean; None if it has none, or none may be called.

    Args:
        asked: the request.
        form_of: gives the form of calls in the model's template.
        opens_thought: whether the template always opens a thought.

    Raises:
        APIError: the tools contradict each other or the request, or the model's template has none.
    """
    tools, choice = asked.tools or [], asked.tool_choice or "auto"
    forced = choice == "required" or isinstance(choice, NamedTool)
    if not tools and forced:
        raise APIError(400, "tool_choice asks for a call and there are no tools", "tool_choice", "invalid_value")
    if not tools or choice == "none":
        return None
    _check(asked, tools, forced=forced)
    try:
        form = form_of()
    except PasctlError as error:
        raise api_error_of(error, "tools") from error
    several = asked.parallel_tool_calls is not False
    if not several and not forced and not form.end:
        raise APIError(
            400,
            "parallel_tool_calls is false, and the model's template does not mark where a call ends (leave it out, or "
            "send tool_choice required)",
            "parallel_tool_calls",
            "unsupported_parameter",
        )
    shown = [tool.to_json() for tool in tools]
    named = choice.function.name if isinstance(choice, NamedTool) else None
    callable_ = [tool for tool in shown if named in (None, tool["function"]["name"])]
    strict = frozenset(tool.function.name for tool in tools if tool.function.strict)
    return ToolUse(form, shown, callable_, strict, forced, several, asked.think, opens_thought and asked.think)


def _check(asked: ChatRequest, tools: Sequence[Tool], *, forced: bool) -> None:
    names = [tool.function.name for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise APIError(400, f"tools has two with the name {twice!r}", "tools", "invalid_value")
    choice = asked.tool_choice
    if isinstance(choice, NamedTool) and choice.function.name not in names:
        raise APIError(
            400,
            f"tool_choice names {choice.function.name!r}, expected one of the tools: {', '.join(names)}",
            "tool_choice",
            "invalid_value",
        )
    if forced and (asked.think or asked.prefill):
        what = "pasctl.think" if asked.think else "continue_final_message"
        raise APIError(400, f"{what} lets the answer begin with words, and tool_choice asks for a call", "tool_choice")
