import subprocess
import sys

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
