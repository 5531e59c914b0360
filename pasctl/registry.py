"""Names of methods, each with the place its class is defined at, imported on first use.

Other packages add to a registry by an entry point of its group, `name = "module:attribute"`. A name may be followed by
parameters, `mass-mean:shrink=0.1`: the fields of the method's dataclass, or the keyword-only parameters of a function.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from importlib import import_module
from importlib.metadata import entry_points
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pasctl.errors import InputError, PasctlError


@dataclass(frozen=True)
class Entry:
    """Where a method is.

    Attributes:
        target: "module:attribute".
        origin: "distribution==version" of another package; "" for pasctl's own.
    """

    target: str
    origin: str = ""


class Registry:
    """A table from a method's name to the place it is defined at.

    Other packages' names are read when one is looked up or listed, and their modules imported when one is used, so that
    the command line can list options without either.
    """

    def __init__(self, noun: str, entries: Mapping[str, str] | None = None, *, group: str = "") -> None:
        """Begin with pasctl's own methods.

        Args:
            noun: what one entry is called in an error message, e.g. "direction method".
            entries: name -> "module:attribute".
            group: of the entry points by which other packages add methods; "" takes none.
        """
        self.noun, self._group = noun, group
        self._entries: dict[str, Entry] = {}
        self._scanned = not group
        for name, target in (entries or {}).items():
            self.register(name, target)

    def register(self, name: str, target: str, origin: str = "") -> None:
        """Add a method; a name can be given away once only.

        Raises:
            PasctlError: the target is no "module:attribute", or the name is taken.
        """
        module, colon, attribute = target.partition(":")
        if not (module and colon and attribute):
            raise PasctlError(f"{self.noun} '{name}': expected 'module:attribute', found '{target}'")
        if name in self._entries:
            first = self._entries[name]
            raise PasctlError(
                f"{self.noun} '{name}' is already registered as {_place(first)}, cannot be "
                f"{_place(Entry(target, origin))} too",
                hint="choose another name" if not origin else f"uninstall one of them, or rename it in {origin}",
            )
        self._entries[name] = Entry(target, origin)

    def names(self) -> tuple[str, ...]:
        """All names, pasctl's own first."""
        return tuple(self._all())

    def origin(self, spec: str) -> str:
        """The "distribution==version" of another package that a method is from; "" for pasctl's own."""
        return self._all()[self._split(spec)[0]].origin

    def check(self, spec: str) -> None:
        """Raise InputError, with the nearest names, if a method is not registered; nothing is imported."""
        self._split(spec)

    def get(self, spec: str) -> Any:
        """The class, function or object behind a name, imported now; parameters after it are left alone.

        Raises:
            InputError: there is no such name.
            PasctlError: its module cannot be imported, or lacks it.
        """
        name, _ = self._split(spec)
        entry = self._all()[name]
        module, _, attribute = entry.target.partition(":")
        try:
            return getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PasctlError(f"{self.noun} '{name}' ({_place(entry)}) cannot be used: {error}") from error

    def build(self, spec: str, **more: Any) -> Any:
        """The method with its parameters set: an instance of its dataclass, or its function with them filled in.

        Args:
            spec: "name", or "name:parameter=value,parameter=value".
            **more: other parameters, which reach the method if it has them.

        Raises:
            InputError: there is no such name or parameter, or a value is not of the parameter's type.
        """
        method, given = self.get(spec), self._parameters(spec)
        known = _parameters_of(method)
        values = {**{name: value for name, value in more.items() if name in known}, **given}
        return method(**values) if isinstance(method, type) else partial(method, **values) if values else method

    def canonical(self, spec: str) -> str:
        """The one spelling of a method and its parameters, for keys.

        Parameters that have their default are left out. Another package's method is followed by its distribution and
        version, since its results depend on them. A method without parameters is not imported.
        """
        name, parameters = self._split(spec)
        known = _parameters_of(self.get(spec)) if parameters else {}
        given = sorted((key, value) for key, value in self._parameters(spec).items() if known[key].default != value)
        origin = self._all()[name].origin
        words = ",".join(f"{key}={value}" for key, value in given)
        return name + (f"@{origin}" if origin else "") + (f":{words}" if words else "")

    def _all(self) -> dict[str, Entry]:
        if not self._scanned:
            for point in entry_points(group=self._group):
                origin = f"{point.dist.name}=={point.dist.version}" if point.dist else "an unknown package"
                self.register(point.name, point.value, origin)
            self._scanned = True
        return self._entries

    def _split(self, spec: str) -> tuple[str, str]:
        """Name and parameters; a name may have a colon itself."""
        known = self._all()
        for name in sorted(known, key=len, reverse=True):
            rest = spec.removeprefix(name)
            if rest == spec or (rest and rest[0] not in ":@"):
                continue
            return name, rest.removeprefix(f"@{known[name].origin}").removeprefix(":")
        asked = spec.partition(":")[0]
        near = get_close_matches(spec, known, n=3) or get_close_matches(asked, known, n=3)
        names = ", ".join(known) or "none"
        hint = f"did you mean {' or '.join(near)}? known: {names}" if near else f"known: {names}"
        raise InputError(f"unknown {self.noun} '{spec}'", hint=hint)

    def _parameters(self, spec: str) -> dict[str, Any]:
        name, words = self._split(spec)
        if not words:
            return {}
        known = _parameters_of(self.get(spec))
        values: dict[str, Any] = {}
        for part in words.split(","):
            key, sign, text = (piece.strip() for piece in part.partition("="))
            if key not in known or not sign:
                near = get_close_matches(key, known, n=1)
                told = ", ".join(f"{each}={one.default}" for each, one in known.items()) or "none"
                raise InputError(
                    f"{self.noun} '{name}' has no parameter {part!r}, expected name=value",
                    hint=(f"did you mean {near[0]}? " if near else "") + f"its parameters: {told}",
                )
            values[key] = _value(text, known[key].kind, f"{self.noun} '{name}': parameter {key}")
        return values


@dataclass(frozen=True)
class _Parameter:
    kind: Any
    default: Any


def _parameters_of(method: Any) -> dict[str, _Parameter]:
    """Fields of a dataclass, or keyword-only parameters of a function."""
    if isinstance(method, type) and dataclasses.is_dataclass(method):
        hints = get_type_hints(method)
        return {
            each.name: _Parameter(hints[each.name], each.default) for each in dataclasses.fields(method) if each.init
        }
    if inspect.isfunction(method):
        hints, signature = get_type_hints(method), inspect.signature(method)
        return {
            name: _Parameter(hints.get(name, str), each.default)
            for name, each in signature.parameters.items()
            if each.kind is each.KEYWORD_ONLY
        }
    return {}


_READERS: dict[Any, Callable[[str], Any]] = {int: int, float: float, str: str}


def _value(text: str, kind: Any, what: str) -> Any:
    """A parameter's value from its words."""
    alternatives = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if text.lower() == "none" and NoneType in alternatives:
        return None
    expected: list[str] = []
    for part in alternatives:
        if get_origin(part) is Literal:
            if text in get_args(part):
                return text
            expected.append(" or ".join(map(str, get_args(part))))
        elif part is bool:
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            expected.append("true or false")
        elif part in _READERS:
            try:
                return _READERS[part](text)
            except ValueError:
                expected.append(part.__name__)
    raise InputError(f"{what}: expected {' or '.join(expected)}, found {text!r}")


def _place(entry: Entry) -> str:
    return f"{entry.target} of {entry.origin}" if entry.origin else entry.target
