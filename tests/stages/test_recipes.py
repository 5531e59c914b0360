"""What `run` fits directions on and how it asks, where the user does not say, and what the results are called."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from pasctl.commands.evaluate import Evaluate
from pasctl.contrasts.questionnaire import items_contrast
from pasctl.inventory import builtin_inventory, load_inventory
from pasctl.models.identity import resolve_model
from pasctl.models.layout import BUNDLED
from pasctl.stages.contrast_personas import contrast_personas
from pasctl.stages.progress import Silent
from pasctl.stages.reading_choice import chosen_readings
from pasctl.stages.recipes import default_contrast, limits
from tests.inventory.instruments import write_instrument


def test_traits_without_descriptions_are_fitted_on_their_own_items(tmp_path: Path) -> None:
    other = cast(Any, SimpleNamespace(identity={"kind": "another"}))
    demo = cast(Any, SimpleNamespace(identity=resolve_model("demo").identity))
    usual = load_inventory(str(write_instrument(tmp_path, "facets-of-five-points")))
    own = load_inventory(str(write_instrument(tmp_path, "six-traits-of-seven-ends")))
    situations = load_inventory(str(write_instrument(tmp_path, "scenarios")))
    asked = (None, builtin_inventory(), usual, own, situations)
    assert [default_contrast(other, inventory) for inventory in asked] == [
        *("big5", "big5", "big5", "statements", "items")
    ]
    assert [default_contrast(demo, inventory) for inventory in (None, builtin_inventory(), own)] == ["items"] * 3


def test_each_bundled_model_says_that_it_cannot_write_and_no_other_does() -> None:
    told = {name: limits(cast(Any, SimpleNamespace(identity=resolve_model(name).identity))) for name in BUNDLED}
    assert set(told) == {"demo", "demo-reader"}
    assert all(text is not None and text.endswith("it cannot write text") for text in told.values())
    assert "questionnaire" in str(told["demo"])
    assert "memory tasks" in str(told["demo-reader"])
    assert limits(cast(Any, SimpleNamespace(identity={"kind": "another"}))) is None


def test_situations_are_read_by_letters(tmp_path: Path) -> None:
    inventory = load_inventory(str(write_instrument(tmp_path, "mixed-scales")))
    source = cast(Any, SimpleNamespace(read_json=lambda name: {"inventory": inventory.to_json()}))
    notes: list[str] = []
    run = cast(Any, SimpleNamespace(reporter=SimpleNamespace(note=notes.append)))
    assert chosen_readings(Evaluate(reading="auto"), run, source, cast(Any, None)) == (("letters",), None)
    assert ["situations" in note for note in notes] == [True]


def test_poles_in_another_script_have_a_name_that_a_store_can_hold(tmp_path: Path) -> None:
    inventory = load_inventory(str(write_instrument(tmp_path, "chinese")))
    contrast = items_contrast(inventory)
    labels = [
        contrast_personas(spec, contrast, inventory, "auto", Silent()).personas.label
        for spec in ("园+", "歌+", "园+,歌-")
    ]
    assert len(set(labels)) == 3
    assert all(label.isascii() and label.startswith("chinese-items-") for label in labels)
