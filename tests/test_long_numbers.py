"""A number of thousands of digits, which Python refuses to convert, is a wrong word like any other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.inventory import builtin_inventory, resolve_personas
from pasctl.inventory.tables.item_names import counted_series
from pasctl.memory.params import parse_layers
from pasctl.memory.trial_plan import parse_tokens
from pasctl.models.footprint import parse_size
from pasctl.stages.persona_slice import PersonaSlice

NINES = "9" * 5000


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (PersonaSlice.parse, f"1/{NINES}"),
        (parse_layers, f"0-{NINES}"),
        (parse_layers, "0-999999999"),  # a range that long would take all memory
        (parse_tokens, f"{NINES}k"),
        (parse_size, f"{NINES}GB"),
        (lambda spec: resolve_personas(spec, builtin_inventory()), f"builtin:{NINES}"),
        (lambda spec: resolve_personas(spec, builtin_inventory()), f"builtin:0-{NINES}"),
        (lambda spec: resolve_personas(spec, builtin_inventory()), f"sample:{NINES}"),
        (lambda spec: resolve_personas(spec, builtin_inventory()), f"sample:5:seed={NINES}"),
    ],
)
def test_a_number_of_thousands_of_digits_is_one_line(read: Callable[[str], object], text: str) -> None:
    with pytest.raises((InputError, MissingError)) as caught:
        read(text)
    assert len(caught.value.message) <= 1000


def test_columns_that_count_with_thousands_of_digits_count_nothing() -> None:
    assert counted_series(["q1", "q2", "q3", f"q{NINES}"]) == "q1, q2, .. q3"
