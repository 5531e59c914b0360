"""YAML and JSON as nodes. YAML is read from its events: nothing is constructed, and every scalar keeps its own text.

So "no", "on" and 1e3 are texts until a field asks for a number, no tag can name a class, and an alias, which could
expand to any size, is refused where it stands.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.inventory.files.node import Node
from pasctl.json_file import JsonError, parse_json

if TYPE_CHECKING:
    from yaml import Event

_MOST_DEPTH = 16
_MOST_VALUES = 300_000  # each takes a thousand times the memory that its text does
_NOTHING = ("", "~", "null")  # of a plain scalar
_HINT = "indent with spaces, and put a text that holds ': ' or ' #' in quotes"


def yaml_document(text: str, name: str) -> Node:
    """The one document of a YAML text.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        InputError: no YAML, several documents, an anchor or alias, a field that occurs twice, too deep.
    """
    import yaml

    try:
        parsed = yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        events = list(islice(parsed, _MOST_VALUES + 1))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "a character that it cannot hold"
        raise InputError(f"{place}: not readable as YAML: {problem}", hint=_HINT) from error
    if len(events) > _MOST_VALUES:
        raise _too_many(name)
    documents = sum(isinstance(event, yaml.DocumentStartEvent) for event in events)
    if documents != 1:
        raise InputError(f"{name}: expected one YAML document, found {documents or 'nothing'}")
    contents = (event for event in events if isinstance(event, yaml.NodeEvent | yaml.CollectionEndEvent))
    return _Builder(name, contents).node(0)


class _Builder:
    """Makes nodes of events, in their order."""

    def __init__(self, name: str, events: Iterator[Event]) -> None:
        self._name = name
        self._events = events

    def node(self, depth: int) -> Node:
        """The next node."""
        return self._of(next(self._events), depth)

    def _of(self, event: Any, depth: int) -> Node:
        import yaml

        where = f"{self._name}, line {event.start_mark.line + 1}, column {event.start_mark.column + 1}"
        if depth > _MOST_DEPTH:
            raise InputError(f"{where}: nested more than {_MOST_DEPTH} deep")
        if event.anchor is not None:
            raise InputError(f"{where}: anchors and aliases (&, *) are not read", hint="write the value out")
        if isinstance(event, yaml.ScalarEvent):
            plain = event.style in (None, "")
            return Node(where, None if plain and event.value in _NOTHING else event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return Node(where, list(self._members(depth)))
        return Node(where, self._mapping(depth))

    def _members(self, depth: int) -> Iterator[Node]:
        import yaml

        while not isinstance(event := next(self._events), yaml.CollectionEndEvent):
            yield self._of(event, depth + 1)

    def _mapping(self, depth: int) -> dict[str, Node]:
        fields: dict[str, Node] = {}
        members = self._members(depth)
        for key in members:
            if not isinstance(key.value, str):
                raise key.refusal("the name of a field")
            if key.value in fields:
                raise InputError(f"{key.where}: field {key.value!r} occurs twice")
            value = next(members)
            # What is wrong with a field is shown at its name, even where its value begins on another line.
            fields[key.value] = Node(key.where, value.value)
        return fields


def json_document(text: str, name: str) -> Node:
    """The value of a JSON text; places are its lines and columns.

    Args:
        text: of the file.
        name: of the file, for messages.

    Raises:
        InputError: no JSON, or a name twice in an object.
    """
    try:
        value = parse_json(text, unique=True)
    except JsonError as error:
        raise InputError(f"{name}: not readable as JSON: {error}") from error
    if text.count(",") > _MOST_VALUES:
        raise _too_many(name)
    try:  # JSON is YAML where tabs, which strings of JSON cannot hold, are blanks
        places: Node | None = yaml_document(text.replace("\t", " "), name)
    except InputError:
        places = None
    return _json_node(value, places, name)


def _too_many(name: str) -> InputError:
    return InputError(f"{name}: expected at most {_MOST_VALUES:,} values, found more")


def _json_node(value: Any, place: Node | None, path: str) -> Node:
    where = place.where if place is not None else path
    inner = place.value if place is not None else None
    if isinstance(value, dict):
        at = inner if isinstance(inner, dict) else {}
        return Node(where, {key: _json_node(each, at.get(key), f"{path}: {key}") for key, each in value.items()})
    if isinstance(value, list):
        rows = inner if isinstance(inner, list) and len(inner) == len(value) else [None] * len(value)
        members = [_json_node(each, rows[row], f"{path}[{row}]") for row, each in enumerate(value)]
        return Node(where, members)
    if value is None:
        return Node(where, None)
    return Node(where, str(value).lower() if isinstance(value, bool) else str(value))
