"""A command is one dataclass: its options, its key and its share of a pipeline are read off the fields."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, make_dataclass
from typing import Any, Literal

import pytest

from pasctl.commands.union import split, union
from pasctl.declaration import Declaration, StageDeclaration
from pasctl.errors import InputError
from pasctl.option import group, option, parameters
from pasctl.stages.run import function_of


@dataclass(frozen=True)
class Size:
    """A group."""

    width: int = option(4, help="Width.", metavar="N")
    height: int | None = option(None, help="Height.", when_set=True)


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """An option that several commands have."""

    seed: int = option(0, help="Seed.", record="numerics")


@dataclass(frozen=True, kw_only=True)
class Paint(
    Drawn, StageDeclaration, command="paint", function="paint", action="x:y", makes="pictures", positional=("colour",)
):
    """Paint."""

    colour: Literal["red", "green"] = option(help="Colour.")
    layers: int = option(1, help="Layers.", minimum=1, key="coats")
    size: Size = group(Size, panel="Size", key="size")
    loose: dict[str, Any] = group(Size, panel="Loose", partial=True, without=("width",))


def names(cls: type) -> list[str]:
    return [each.name for each in parameters(cls)]


def test_groups_are_flattened_own_options_first() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Plain(Drawn, Declaration, command="plain"):
        size: Size = group(Size, panel="Size")
        last: bool = option(False, help="Last.")

    assert names(Plain) == ["width", "height", "last", "seed"]
    with pytest.raises(TypeError, match="two options of one name"):
        parameters(Paint)  # height is in both of its groups


@dataclass(frozen=True, kw_only=True)
class Draw(Drawn, StageDeclaration, command="draw", function="draw", action="x:y", positional=("colour",)):
    """Draw."""

    colour: Literal["red", "green"] = option(help="Colour.")
    layers: int = option(1, help="Layers.", minimum=1, key="coats")
    remark: str = option("", help="A remark.", when_set=True)
    bound: int = option(8, help="Changes no result.", record="nowhere")
    size: Size = group(Size, panel="Size", key="size")


def test_the_key_has_what_decides_the_result_under_its_name_there() -> None:
    drawn = Draw.of(colour="red", width=9)
    assert drawn.key() == {"colour": "red", "coats": 1, "size": {"width": 9}}
    assert Draw.of(colour="red", bound=1).key() == Draw.of(colour="red").key()
    assert Draw.of(colour="red", remark="x", height=2).key()["remark"] == "x"
    assert drawn.key(coats=7, more=1) == {"colour": "red", "coats": 7, "size": {"width": 9}, "more": 1}
    assert drawn.key(omit=("layers",), size="square") == {"colour": "red", "size": "square"}


def test_what_is_not_allowed_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="colour 'gren' is unknown, expected one of red, green") as error:
        Draw(colour="gren")  # type: ignore[arg-type]
    assert error.value.hint == "did you mean green?"
    with pytest.raises(InputError, match="layers: expected at least 1, found 0"):
        Draw(colour="red", layers=0)
    with pytest.raises(TypeError, match="draw has no parameter 'widht', did you mean 'width'"):
        Draw.of(colour="red", widht=3)


def test_a_group_is_given_whole_or_by_its_options() -> None:
    assert Draw.of(colour="red", size=Size(7), height=2).size == Size(7, 2)
    assert Draw.of(colour="red").size == Size()

    @dataclass(frozen=True, kw_only=True)
    class Loose(Declaration, command="loose"):
        size: Any = group(Size, panel="Size", partial=True)

    assert Loose.of().size == {}
    assert Loose.of(width=3, height=None).size == {"width": 3}
    assert Loose.of(size=Size(5), height=1).size == Size(5, 1)


def test_the_python_function_has_its_options_and_those_of_the_run() -> None:
    signature = inspect.signature(function_of(Draw))
    assert next(iter(signature.parameters)) == "colour"
    assert signature.parameters["colour"].default is inspect.Parameter.empty
    assert {"layers", "width", "size", "seed", "store", "dry_run", "reporter", "run"} <= set(signature.parameters)
    assert all(each.kind is each.KEYWORD_ONLY for name, each in signature.parameters.items() if name != "colour")
    assert "layers: Layers." in (function_of(Draw).__doc__ or "")


def test_a_union_has_each_option_once_and_splits_again() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Frame(Drawn, StageDeclaration, command="frame"):
        wood: str = option("oak", help="Wood.")
        size: Size = group(Size, panel="Size")

    both = make_dataclass(
        "Both", list(union((Draw, Frame), without=("colour",))), bases=(Declaration,), frozen=True, kw_only=True
    )
    assert names(both) == ["layers", "remark", "bound", "width", "height", "seed", "wood"]
    whole = both.of(width=3, seed=5, wood="ash")  # type: ignore[attr-defined]
    assert split(whole, Frame) == Frame(wood="ash", size=Size(3), seed=5)
    assert split(whole, Draw, colour="red") == Draw(colour="red", size=Size(3), seed=5)


def test_a_union_refuses_one_name_for_two_things() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Other(Declaration, command="other"):
        layers: int = option(2, help="Something else.")

    with pytest.raises(TypeError, match="another option 'layers'"):
        list(union((Draw, Other), without=("colour", "size")))
