"""Renders a chat template for the first time, in a process of its own.

It is run as a file and imports the standard library and jinja2 alone, so it starts quickly. A task comes in as JSON on
stdin; the characters of the longest text go out.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any


def main() -> None:
    """Do the task."""
    print(max(_lengths(json.load(sys.stdin))))


def _lengths(task: dict[str, Any]) -> list[int]:
    """Characters of each conversation's text, 0 where the template refuses it; jinja2's settings are transformers'."""
    from jinja2.exceptions import TemplateError

    try:
        template = environment().from_string(task["template"])
    except (TemplateError, RecursionError):
        return [0]
    lengths = []
    for messages, prompt in task["conversations"]:
        try:
            text = template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=prompt, **task["variables"]
            )
        except MemoryError:
            raise
        except Exception:  # the template fails on these messages: the parent will see it
            text = ""
        lengths.append(len(text))
    return lengths


def environment() -> Any:
    """The environment in which transformers compiles chat templates."""
    from jinja2 import nodes
    from jinja2.exceptions import TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.parser import Parser
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The `generation` block, of which the text counts alone."""

        tags = {"generation"}  # noqa: RUF012 - jinja2's own interface

        def parse(self, parser: Parser) -> list[nodes.Node]:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **how: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)  # noqa: DTZ005 - as transformers
    return environment


if __name__ == "__main__":
    main()
