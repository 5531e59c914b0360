"""What is wrong with a request's body, in one sentence that says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from pasctl.serving.api_error import APIError
from pasctl.serving.fields import is_neutral

_MANY = 200  # mistakes; a list of more of them takes longer than all else
_TYPES_OF_VALUES = ("list[", "dict[", "literal[")  # as pydantic names those of a value that may have several
_SHOWN = 64  # characters of a name that a client made up

_OF_CLIENTS = {
    name: f"{name} is an argument of OpenAI's Python client, {what}"
    for name, what in {
        "extra_body": "which sends the fields in it alongside the others: send them so",
        "extra_headers": "which sends what is in it as headers",
        "extra_query": "and this server takes no query",
    }.items()
}


def refusal_of(error: ValidationError, kind: type[BaseModel], elsewhere: Mapping[str, str]) -> APIError:
    """The answer to a body that is no request.

    Args:
        error: what pydantic found.
        kind: the class of request.
        elsewhere: names that mean something in another place -> what is said of them.
    """
    if error.error_count() > _MANY:
        message = f"the body has {error.error_count()} mistakes, expected the fields that /openapi.json describes"
        return APIError(400, message, code="invalid_value")
    first, *others = error.errors(include_url=False, include_context=False, include_input=False)
    # a value that may have several types has a mistake for each: in the one that was meant it is deeper, or is not that
    # it has another type
    place = _path(first["loc"])
    same_place = [other for other in others if _path(other["loc"])[: len(place)] == place]
    mistake = max([first, *same_place], key=lambda one: (len(one["loc"]), not one["type"].endswith("_type")))
    if mistake["type"] == "extra_forbidden":
        *inner, last = mistake["loc"]
        return _unknown(kind, _path(inner), str(last), elsewhere)
    path = _path(mistake["loc"])
    return _unsupported(kind, path) or APIError(
        400, f"{'.'.join(path) or 'the body'}: {mistake['msg']}", ".".join(path) or None, "invalid_value"
    )


def _unsupported(kind: type[BaseModel], path: Sequence[str]) -> APIError | None:
    """What is said of a field that is there to ask for nothing, and asks for something."""
    for depth, name in enumerate(path):
        model = _model_at(kind, path[:depth])
        if is_neutral(model, name):
            place, why = ".".join(path[: depth + 1]), model.model_fields[name].description
            message = f"{place} is not supported with this value: {why} (leave it out)"
            return APIError(400, message, place, "unsupported_parameter")
    return None


def _unknown(kind: type[BaseModel], path: Sequence[str], name: str, elsewhere: Mapping[str, str]) -> APIError:
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    place = ".".join([*path, shown])
    moved = {**elsewhere, **_OF_CLIENTS} if not path else {}
    if name in moved:
        return APIError(400, moved[name], place, "unknown_parameter")
    known = _model_at(kind, path).model_fields
    near = get_close_matches(name[:_SHOWN], [*known, *moved], 1)
    advice = f"did you mean {near[0]!r}?" if near else "expected one that /openapi.json describes"
    if near and near[0] not in known:
        advice += f" {moved[near[0]]}"
    return APIError(400, f"the field {place!r} is unknown, {advice}", place, "unknown_parameter")


def _path(loc: Sequence[int | str]) -> list[str]:
    """Where a mistake is, without the names that pydantic gives to the types a value may have."""
    return [
        str(part)
        for part in loc
        if isinstance(part, int) or (part not in ("str", "constrained-str") and not part.startswith(_TYPES_OF_VALUES))
    ]


def _model_at(kind: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The class of the object at a path of a request."""
    for part in path:
        if part in kind.model_fields:
            kind = next(_models(kind.model_fields[part].annotation), kind)
    return kind


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)
