"""Fields that say which form an answer has, with the names of OpenAI, of vLLM and of llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import Field

from pasctl.errors import PasctlError
from pasctl.generation.structure import Structure
from pasctl.serving.api_error import APIError, api_error_of
from pasctl.serving.fields import NeutralFields, Strict

_MOST_CHOICES = 10_000

Schema = dict[str, Any]
Choices = Annotated[list[str], Field(min_length=1, max_length=_MOST_CHOICES, fail_fast=True)]


class NamedSchema(Strict):
    """A JSON schema as OpenAI's clients send it."""

    name: str | None = Field(default=None, max_length=64)
    description: str | None = None
    schema_: Schema = Field(alias="schema")
    strict: bool | None = Field(default=None, description="the schema holds in any case")


class ResponseFormat(Strict):
    """The form of an answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = Field(default=None, description="with the type json_schema")


class StructuredOutputs(Strict):
    """The form of an answer: one of these."""

    json_: Schema | str | None = Field(default=None, alias="json", description="a JSON schema, or its text")
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = Field(default=None, description="in Lark's syntax or llama.cpp's")
    json_object: bool | None = Field(default=None, description="any JSON object")


class StructureFields(NeutralFields):
    """Those of both kinds of requests; one of them may be given."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: Schema | str | None = Field(default=None, description="a JSON schema, or its text")
    guided_regex: str | None = Field(default=None, description="what matches the whole answer")
    guided_choice: Choices | None = Field(default=None, description="the answers to choose from")
    guided_grammar: str | None = Field(default=None, description="in Lark's syntax or llama.cpp's")
    json_schema: Schema | None = None
    grammar: str | None = Field(default=None, description="in Lark's syntax or llama.cpp's")

    def structure(self, thought_end: str = "") -> tuple[str, Structure] | None:
        """The form that the answer must have, and the field that says it; None for free text.

        Args:
            thought_end: what ends the thought that the answer begins with; "" is none.

        Raises:
            APIError: there are several, or it is none.
        """
        found = self._asked()
        if not found:
            return None
        (field, make, value), *others = found
        if others:
            raise APIError(400, f"{field} and {others[0][0]} are given, expected one form of the answer", others[0][0])
        begins = {"after": thought_end, "spaced": True} if thought_end else {}
        try:
            return field, make(value, **begins)
        except PasctlError as error:
            raise api_error_of(error, field) from error

    def _asked(self) -> list[tuple[str, Callable[..., Structure], Any]]:
        """Fields that ask for a form, what makes it, and of what."""
        wanted = self.structured_outputs
        given: list[tuple[str, Callable[..., Structure], Any]] = [
            ("guided_json", Structure.json_schema, self.guided_json),
            ("guided_regex", Structure.regex, self.guided_regex),
            ("guided_choice", Structure.choice, self.guided_choice),
            ("guided_grammar", Structure.grammar, self.guided_grammar),
            ("json_schema", Structure.json_schema, self.json_schema),
            ("grammar", Structure.grammar, self.grammar),
            ("response_format", Structure.json_schema, _schema_of(self.response_format)),
        ]
        if wanted is not None:
            given += [
                ("structured_outputs.json", Structure.json_schema, wanted.json_),
                ("structured_outputs.regex", Structure.regex, wanted.regex),
                ("structured_outputs.choice", Structure.choice, wanted.choice),
                ("structured_outputs.grammar", Structure.grammar, wanted.grammar),
                ("structured_outputs.json_object", Structure.json_schema, _ANY if wanted.json_object else None),
            ]
        return [each for each in given if each[2] is not None]


_ANY: Schema = {"type": "object"}


def _schema_of(form: ResponseFormat | None) -> Schema | None:
    """The schema that a response_format asks for."""
    if form is None:
        return None
    if (form.type == "json_schema") is (form.json_schema is None):
        wrong = "has the type json_schema without" if form.json_schema is None else f"has the type {form.type} and"
        raise APIError(
            400,
            f"response_format {wrong} the field json_schema, expected both or neither",
            "response_format.json_schema",
            "invalid_value",
        )
    if form.json_schema is not None:
        return form.json_schema.schema_
    return _ANY if form.type == "json_object" else None
