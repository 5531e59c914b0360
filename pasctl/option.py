"""Options as fields of dataclasses: what is said about one, groups of them, and those of a whole command.

Nothing here imports anything heavy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from inspect import get_annotations
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pasctl.errors import InputError

MISSING = dataclasses.MISSING
Record = Literal["params", "numerics", "inputs", "provenance", "nowhere"]
"""Where an artifact's manifest has an option: three parts of its key, the facts beside the key, or nowhere."""
FromFile = bool | Literal["inside"]
"""Whether `pasctl.toml` may set an option."""


@dataclass(frozen=True)
class Option:
    """What is said about one option, beside its type and default.

    Attributes:
        help: one sentence for users.
        name: in Python calls and in `pasctl.toml`, where it is not the field's.
        flag: the spelling on the command line; by default the name's.
        short: a one-letter spelling such as "-m".
        metavar: what stands for the value in help texts.
        env: the variable that gives a default.
        minimum: the smallest number allowed.
        record: where the manifest has the value.
        key: the name it has there; a dot leads into a mapping.
        digest: parameters of keys that stand for the value, where the manifest has the value beside the key.
        off: the word that stands for a parameter of None there.
        joint: between the values of a sequence on the command line.
        when_set: left out of the key while it has its default, so that keys from before the option existed hold.
        panel: heading in the help text; options without one are the command's own.
        argument: given by position on the command line.
        python_only: no option of the command line, such as a callback.
        cli_only: no parameter of the Python function, such as what else a command prints; never in a key.
        required: must be given on the command line, though it has a default in Python.
        parse: makes the value of the words on the command line, where its type is none that can be written there.
        pipeline: the name in `run`, where two stages have an option of this name that means different things.
        from_file: whether `pasctl.toml` may set it, as that file may come with a folder that others made. False: what
            runs code, opens a port, or sends something away. "inside": a path that is written to, which must stay in
            the folder of the file.
    """

    help: str
    name: str = ""
    flag: str = ""
    short: str = ""
    metavar: str | None = None
    env: str | None = None
    minimum: int | None = None
    record: Record = "params"
    key: str = ""
    digest: tuple[str, ...] = ()
    off: str = ""
    joint: str = ","
    when_set: bool = False
    panel: str = ""
    argument: bool = False
    python_only: bool = False
    cli_only: bool = False
    required: bool = False
    parse: Callable[[str], Any] | None = None
    pipeline: str = ""
    from_file: FromFile = True


@dataclass(frozen=True)
class Group:
    """A field that is a dataclass of options itself.

    Attributes:
        kind: the dataclass.
        panel: heading of its options in help texts.
        partial: the field holds a mapping of the options that were given; the rest is decided when the stage runs.
        without: options that this command does not have.
        defaults: option -> a default of this command's own.
        key: the mapping of the key document that has its options; "" where they stand among the others.
        cli_only: its options are no parameters of the Python function, and in no key.
    """

    kind: type
    panel: str
    key: str
    partial: bool
    without: frozenset[str]
    defaults: Mapping[str, Any]
    cli_only: bool


@dataclass(frozen=True)
class Parameter:
    """An option where a command has it, groups flattened.

    Attributes:
        name: in Python calls and in `pasctl.toml`.
        place: the field that holds it, or the group's field and the field in the group.
        type: its type; what is wider in Python is `str` here.
        default: MISSING where one must be given.
        recorded: where the manifest has it, a dot leading into a mapping.
        usual: what it is when nobody decides; the default, which is None in a partial group.
    """

    name: str
    place: tuple[str, ...]
    type: Any
    default: Any
    option: Option
    recorded: str
    usual: Any

    @property
    def flag(self) -> str:
        """The spelling on the command line."""
        return self.option.flag or "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values allowed, if only some are."""
        return literal_values(self.type)

    @property
    def repeats(self) -> bool:
        """Whether it is given once per value."""
        return self.option.parse is None and any(
            get_origin(part) in (list, tuple, Sequence) for part in _alternatives(self.type)
        )


def option(default: Any = MISSING, *, help: str, **about: Any) -> Any:
    """A dataclass field with what is said about it; see `Option`."""
    return field(default=default, metadata={"option": Option(help, **about)})


def same(kind: type, name: str, default: Any = MISSING) -> Any:
    """A dataclass field that is the option of another dataclass, with a default of its own."""
    [inner] = [each for each in fields(kind) if each.name == name]
    return field(default=default, metadata=inner.metadata)


def group(
    kind: type,
    *,
    panel: str,
    key: str = "",
    partial: bool = False,
    without: Sequence[str] = (),
    defaults: Mapping[str, Any] | None = None,
    cli_only: bool = False,
) -> Any:
    """A dataclass field that is a dataclass of options; see `Group`."""
    about = Group(kind, panel, key, partial, frozenset(without), defaults or {}, cli_only)
    make = dict if partial else lambda: kind(**about.defaults)
    return field(default_factory=make, metadata={"group": about})


def parameters(cls: type) -> tuple[Parameter, ...]:
    """The options of a dataclass, its own first, then those of the classes it builds on, in the order it names them."""
    if cls not in _PARAMETERS:
        hints = get_type_hints(cls)
        classes: list[Any] = [base for base in cls.__mro__ if is_dataclass(base)]
        places = {name: place for place, base in reversed(list(enumerate(classes))) for name in get_annotations(base)}
        ordered: list[dataclasses.Field[Any]] = sorted(fields(cls), key=lambda each: places[each.name])
        found = tuple(parameter for each in ordered for parameter in _of_field(each, hints[each.name]))
        names = [parameter.name for parameter in found]
        if len(set(names)) < len(names):
            raise TypeError(f"{cls.__name__} has two options of one name among {', '.join(sorted(names))}")
        _PARAMETERS[cls] = found
    return _PARAMETERS[cls]


_PARAMETERS: dict[type, tuple[Parameter, ...]] = {}


def _of_field(each: dataclasses.Field[Any], hint: Any) -> Iterator[Parameter]:
    if "option" in each.metadata:
        said: Option = each.metadata["option"]
        yield Parameter(
            said.name or each.name, (each.name,), hint, each.default, said, said.key or each.name, each.default
        )
    about: Group | None = each.metadata.get("group")
    if about is None:
        return
    for inner in parameters(about.kind):
        if inner.place[0] in about.without:
            continue
        default = None if about.partial else about.defaults.get(inner.place[0], inner.default)
        kind = inner.type | None if about.partial else inner.type
        said = replace(
            inner.option,
            panel=inner.option.panel or about.panel,
            cli_only=inner.option.cli_only or about.cli_only,
        )
        recorded = f"{about.key}.{inner.recorded}" if about.key else inner.recorded
        usual = inner.usual if about.partial else default
        yield Parameter(inner.name, (each.name, *inner.place), kind, default, said, recorded, usual)


def check(declared: Any) -> None:
    """Refuse values that are none of an option's choices, or numbers below its minimum.

    Raises:
        InputError: there is one.
    """
    for each in parameters(type(declared)):
        if len(each.place) > 1:
            continue  # a group checks its own
        value, choices = getattr(declared, each.place[0]), each.choices
        words = each.name.replace("_", " ")
        if choices and value not in choices and not (value is None and _optional(each.type)):
            near = get_close_matches(str(value), choices, 1)
            known = ", ".join(map(str, choices))
            raise InputError(
                f"{words} {value!r} is unknown, expected one of {known}",
                hint=f"did you mean {near[0]}?" if near else None,
            )
        least = each.option.minimum
        if least is not None and value is not None and not value >= least:
            raise InputError(f"{words}: expected at least {least}, found {value}")


def literal_values(kind: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, or of one that may be None."""
    return tuple(value for part in _alternatives(kind) if get_origin(part) is Literal for value in get_args(part))


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _optional(kind: Any) -> bool:
    return NoneType in _alternatives(kind)
