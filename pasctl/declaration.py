"""What a command is declared by: one frozen dataclass whose fields carry all that is said about its options.

From it are made the command line, the Python function, the key document, the pipeline's options, the command that makes
an artifact again, the names in `pasctl.toml`, and the reference page. Nothing here imports anything heavy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from inspect import get_annotations
from typing import Any, ClassVar, Self

from pasctl.option import Group, Parameter, check, parameters


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """A command. A subclass says what it is called and what does it, and its fields are its options.

    Attributes:
        command: name on the command line; a name in a group of commands has a blank in it.
        function: name in Python; "" where there is none.
        action: "module:function" that does it, called with the declaration and a `Run`.
        panel: heading in the list of commands.
        place: order below that heading.
        positional: parameters, or groups, that may be given by position in Python.
        examples: command lines that stand at the foot of its help text.
        takes: options of the run that it has, names in `pasctl.commands.running.RunOptions`.
    """

    command: ClassVar[str] = ""
    function: ClassVar[str] = ""
    action: ClassVar[str] = ""
    panel: ClassVar[str] = ""
    place: ClassVar[int] = 99
    positional: ClassVar[tuple[str, ...]] = ()
    examples: ClassVar[tuple[str, ...]] = ()
    takes: ClassVar[tuple[str, ...]] = ("store", "json")

    def __init_subclass__(cls, **about: Any) -> None:
        """Take what the class statement says about the command."""
        super().__init_subclass__()
        known = {name for base in cls.__mro__[1:] for name in get_annotations(base)}
        for name, value in about.items():
            if name not in known:
                raise TypeError(f"{cls.__name__}: a declaration has no {name!r}")
            setattr(cls, name, value)

    def __post_init__(self) -> None:
        check(self)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """Make one of options by name, those of groups among them, or of whole groups.

        Raises:
            TypeError: there is no such option, or one is missing.
            InputError: a value that is not allowed.
        """
        own: dict[str, Any] = {}
        for each in fields(cls):
            inner = {
                p.place[1]: values.pop(p.name)
                for p in parameters(cls)
                if p.place[:-1] == (each.name,) and p.name in values
            }
            about: Group | None = each.metadata.get("group")
            if about is None:
                if each.name in values:
                    own[each.name] = values.pop(each.name)
                continue
            whole = values.pop(each.name, None)
            if about.partial:
                given = {name: value for name, value in inner.items() if value is not None}
                own[each.name] = _updated(whole, given) if whole is not None else given
            elif whole is not None or inner:
                own[each.name] = replace(whole or about.kind(**about.defaults), **inner)
        if values:
            name = next(iter(values))
            near = get_close_matches(name, [p.name for p in parameters(cls)], 1)
            told = f", did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{cls.function or cls.__name__} has no parameter {name!r}{told}")
        return cls(**own)

    def value(self, parameter: Parameter) -> Any:
        """What one of its options is set to; None for one of a partial group that was not given."""
        value: Any = self
        for name in parameter.place:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name)
        return value


@dataclass(frozen=True, kw_only=True)
class StageDeclaration(Declaration):
    """A command whose result is an artifact.

    Attributes:
        makes: kind of the artifact.
        then: the command that usually comes next; a terminal is told it.
        version: raised by hand when the stage's results change for the same parameters; enters keys.
        derived: roles of inputs that the stage finds by itself, through another input.
        implied: parameters of the key that follow from an input.
        unrecorded: options that the key does not have: they act through an input.
        sometimes: options that the key has only beside others.
        against: option -> another one, and the value of that with which it cannot be given.
    """

    makes: ClassVar[str] = ""
    then: ClassVar[str] = ""
    version: ClassVar[int] = 0
    derived: ClassVar[frozenset[str]] = frozenset()
    implied: ClassVar[frozenset[str]] = frozenset()
    unrecorded: ClassVar[frozenset[str]] = frozenset()
    sometimes: ClassVar[frozenset[str]] = frozenset()
    against: ClassVar[Mapping[str, tuple[str, Any]]] = {}
    takes: ClassVar[tuple[str, ...]] = ("store", "batch_tokens", "max_memory", "wait", "dry_run", "json")

    def key(self, omit: Sequence[str] = (), **resolved: Any) -> dict[str, Any]:
        """The parameters that enter the key, under their names there.

        Args:
            omit: options that decide nothing beside what the others are set to.
            **resolved: values that the stage has worked out, in place of those given, and others that enter the key.
        """
        known: dict[str, Any] = {}
        for each in parameters(type(self)):
            root, *inner = each.recorded.split(".")
            named = root in resolved or each.name in self.unrecorded.union(omit)
            if named or each.option.cli_only or each.option.record != "params":
                continue
            value = self.value(each)
            if each.option.when_set and value == each.default:
                continue
            place = known
            for name in (root, *inner)[:-1]:
                place = place.setdefault(name, {})
            place[(root, *inner)[-1]] = value
        return known | resolved


def _updated(whole: Any, given: Mapping[str, Any]) -> Any:
    """A group with some options changed; it may be the dataclass, or a mapping of what was given before."""
    return {**whole, **given} if isinstance(whole, Mapping) else replace(whole, **given)
