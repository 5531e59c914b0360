"""The form that an answer must have: a JSON schema, a regular expression, choices, or a grammar; needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pasctl.errors import InputError
from pasctl.json_file import JsonError, parse_json

Kind = Literal["json_schema", "regex", "choice", "grammar"]

MOST_BYTES: dict[str, int] = {"json_schema": 1 << 18, "regex": 1 << 14, "choice": 1 << 18, "grammar": 1 << 14}
"""Length of a source: compiling a longer one may take minutes."""
_LONGEST_TRIGGER = 256


@dataclass(frozen=True)
class Structure:
    """What an answer must be, from its first character to its last, or from a text on that it has.

    It is compiled, and refused if that fails, before the answer begins (see `pasctl.generation.matcher`).

    Attributes:
        kind: what `source` is.
        source: the JSON of a schema, a regular expression, the JSON of a list of choices, or a grammar in Lark's or
            llama.cpp's syntax.
        after: the structure begins after this text of the answer; what stands before it is free. "" is at once.
        required: with `after`, the answer may not end before the structure was written.
        spaced: with `after`, white space may stand between the two.
        again: with `after`, text is free again when the structure is complete, until `after` comes once more. Without
            it the answer ends there.
    """

    kind: Kind
    source: str
    after: str = ""
    required: bool = True
    spaced: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        if self.kind not in MOST_BYTES:
            raise InputError(f"a structure of kind {self.kind!r}, expected one of {', '.join(MOST_BYTES)}")
        try:
            length = len(self.source.encode())
        except UnicodeEncodeError:
            raise InputError(f"{self.title} has half of a character, expected text") from None
        if length > MOST_BYTES[self.kind]:
            raise InputError(f"{self.title} has {length} bytes, expected at most {MOST_BYTES[self.kind]}")
        if not self.source:
            raise InputError(f"{self.title} is empty")
        if len(self.after) > _LONGEST_TRIGGER:
            raise InputError(
                f"the text before a structure has {len(self.after)} characters, expected at most {_LONGEST_TRIGGER}"
            )
        if not self.after and (self.again or self.spaced or not self.required):
            raise InputError("a structure that begins at once is required, comes once, and has no space before it")

    @property
    def title(self) -> str:
        """What the source is called."""
        names = {"json_schema": "JSON schema", "regex": "regular expression", "choice": "list of choices"}
        return f"the {names.get(self.kind, self.kind)}"

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | bool | str, **begins: Any) -> Structure:
        """A JSON value of a schema, which may be given as JSON text.

        Args:
            schema: the schema; properties come in its order.
            begins: `after`, `required`, `spaced` and `again`.

        Raises:
            InputError: it is no schema.
        """
        given = _parsed(schema) if isinstance(schema, str) else schema
        if not isinstance(given, Mapping | bool):
            raise InputError(f"the JSON schema is a {type(given).__name__}, expected an object")
        return cls("json_schema", _json(given, "the JSON schema"), **begins)

    @classmethod
    def json_object(cls, **begins: Any) -> Structure:
        """Any JSON object."""
        return cls.json_schema({"type": "object"}, **begins)

    @classmethod
    def regex(cls, pattern: str, **begins: Any) -> Structure:
        """A text that a regular expression matches as a whole, in the syntax of Rust's `regex`."""
        return cls("regex", pattern, **begins)

    @classmethod
    def choice(cls, choices: Sequence[str], **begins: Any) -> Structure:
        """One of some texts.

        Raises:
            InputError: there is none, or one is empty.
        """
        if isinstance(choices, str) or not choices or not all(isinstance(each, str) and each for each in choices):
            raise InputError("expected a list of one or more choices, each a text that is not empty")
        return cls("choice", _json(list(choices), "the list of choices"), **begins)

    @classmethod
    def grammar(cls, text: str, **begins: Any) -> Structure:
        """A text of a context-free grammar: Lark's syntax with a rule `start`, or llama.cpp's GBNF with `root`."""
        return cls("grammar", text, **begins)


def _parsed(text: str) -> Any:
    try:
        return parse_json(text)
    except JsonError as error:
        raise InputError(f"the JSON schema is no JSON: {error}") from None


def _json(value: Any, title: str) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{title} cannot be written as JSON: {error}") from None
