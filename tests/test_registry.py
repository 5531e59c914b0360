import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

import pytest

from pasctl.directions import DIRECTIONS
from pasctl.errors import InputError, PasctlError
from pasctl.probes import PROBES
from pasctl.registry import Registry


@pytest.mark.parametrize("registry", [PROBES, DIRECTIONS], ids=lambda registry: registry.noun)
def test_every_entry_resolves_to_a_class_that_builds_without_arguments(registry: Registry) -> None:
    for name in registry.names():
        cls = registry.get(name)
        assert cls() == cls()


def test_a_name_is_given_away_once() -> None:
    registry = Registry("probe", {"logistic": "pasctl.probes.logistic:LogisticProbe"})
    with pytest.raises(PasctlError, match=r"'logistic' is already registered"):
        registry.register("logistic", "elsewhere:Other")
    assert registry.names() == ("logistic",)


@pytest.mark.parametrize("target", ["module", "module:", ":attribute"])
def test_a_target_without_module_or_attribute_is_refused(target: str) -> None:
    with pytest.raises(PasctlError, match="module:attribute"):
        Registry("probe").register("x", target)


def test_an_unknown_name_says_what_is_near_and_what_is_known() -> None:
    with pytest.raises(InputError, match="unknown direction method 'mass-meen'") as caught:
        DIRECTIONS.get("mass-meen")
    assert "did you mean mass-mean?" in (caught.value.hint or "")
    assert "probe-weight" in (caught.value.hint or "")


def test_a_missing_attribute_names_the_entry() -> None:
    registry = Registry("probe", {"ghost": "pasctl.errors:Ghost"})
    with pytest.raises(PasctlError, match=r"probe 'ghost'.*no attribute 'Ghost'"):
        registry.get("ghost")


def test_listing_and_checking_names_loads_no_torch() -> None:
    code = (
        "import sys\n"
        "from pasctl.directions import DIRECTIONS\n"
        "from pasctl.probes import PROBES\n"
        "DIRECTIONS.check('mass-mean'); PROBES.names()\n"
        "print(sorted({'torch', 'numpy', 'sklearn'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


SMALL = Registry("method", {"one": "tests.test_registry:One", "two:more": "tests.test_registry:two"})


@dataclass(frozen=True)
class One:
    count: int = 1
    share: float = 0.5
    kind: Literal["a", "b"] = "a"
    kept: bool = False
    limit: int | None = None


def two(length: int, *, step: int = 1) -> int:
    return length * step


def test_parameters_stand_behind_the_name_in_any_order() -> None:
    assert SMALL.build("one") == One()
    assert SMALL.build("one:kind=b, count=3,share=1e-1,kept=true,limit=none") == One(3, 0.1, "b", True, None)
    assert SMALL.build("one:limit=4") == One(limit=4)
    assert SMALL.build("two:more")(3) == 3
    assert SMALL.build("two:more:step=2")(3) == 6


def test_other_parameters_reach_the_methods_that_have_them() -> None:
    assert SMALL.build("one:share=0.1", count=7, unknown=1) == One(7, 0.1)
    assert SMALL.build("one:count=2", count=7) == One(2)


def test_one_spelling_for_keys() -> None:
    assert SMALL.canonical("one") == SMALL.canonical("one:count=1,share=0.5") == "one"
    assert (
        SMALL.canonical("one:share=0.10,count=2")
        == SMALL.canonical("one:count=2, share=1e-1")
        == "one:count=2,share=0.1"
    )
    assert SMALL.build(SMALL.canonical("one:share=0.1")) == SMALL.build("one:share=0.1")


@pytest.mark.parametrize(
    ("spec", "message", "hint"),
    [
        ("one:cuont=2", "no parameter 'cuont=2'", "did you mean count?"),
        ("one:count", "no parameter 'count', expected name=value", "count=1"),
        ("one:count=x", "parameter count: expected int, found 'x'", ""),
        ("one:kind=c", "parameter kind: expected a or b, found 'c'", ""),
        ("one:kept=1", "parameter kept: expected true or false, found '1'", ""),
        ("oen", "unknown method 'oen'", "did you mean one"),
        ("two", "unknown method 'two'", "two:more"),
    ],
)
def test_what_cannot_be_read_is_named(spec: str, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        SMALL.build(spec)
    assert message in str(caught.value)
    assert hint in (caught.value.hint or "")
