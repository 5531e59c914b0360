"""What a model answers an item with, where a user says so: a letter, a number, or the option's own text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from pasctl.errors import InputError
from pasctl.inventory.items import OPTION_LABELS, Inventory, OptionLabels
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.options import option_names
from pasctl.inventory.spec import load_inventory

_RANGES = {"letters": re.compile("[A-Z]-[A-Z]", re.IGNORECASE), "numbers": re.compile(r"-?\d+-\d+")}
"""Option labels -> how their first and last are written, as in A-E."""


def parse_option_labels(words: str) -> OptionLabels:
    """The option labels that a user's words name: letters or A-E, numbers or 1-7, text.

    Raises:
        InputError: anything else.
    """
    said = words.strip().lower()
    labels = next((name for name, form in _RANGES.items() if form.fullmatch(said)), said)
    if labels not in OPTION_LABELS:
        raise InputError(
            f"option labels {words!r} are unknown, expected letters (or A-E), numbers (or 1-7) or text",
            hint="text: the model answers with the option's own words, such as Very accurate",
        )
    return cast("OptionLabels", labels)


def chosen_inventory(asked: str | Inventory, option_labels: str | None = None, note: Note = silent) -> Inventory:
    """The inventory that a user names or hands over, its options named as they wish.

    Args:
        asked: see `load_inventory`.
        option_labels: see `parse_option_labels`; None leaves them as the inventory has them.
        note: is told what a file leaves open, and what of its instruction does not fit these labels.

    Raises:
        InputError: as `load_inventory`; unknown labels; or a range such as 1-7 that is not the inventory's.
    """
    inventory = load_inventory(asked, note) if isinstance(asked, str) else asked
    if option_labels is None:
        return inventory
    labels = parse_option_labels(option_labels)
    labelled = replace(inventory, option_labels=labels)
    names = option_names(labelled)
    if option_labels.strip().lower() not in (labels, f"{names[0]}-{names[-1]}".lower()):
        raise InputError(
            f"option labels {option_labels}: the {labels} of inventory {inventory.name} are {names[0]}-{names[-1]}",
            hint=f"write {labels}",
        )
    if labels != inventory.option_labels:
        _note_fixed_instructions(labelled, note)
    return labelled


def _note_fixed_instructions(inventory: Inventory, note: Note) -> None:
    """Tell of instructions that do not follow the labels, such as one in German that asks for a letter."""
    wording = inventory.wording
    used = {
        item.scenario: wording.scenario_instruction if item.scenario else wording.instruction
        for item in inventory.items
    }
    for instruction in used.values():
        if "{answer}" not in instruction:
            note(
                f"inventory {inventory.name}: its instruction has no {{answer}}, so it says the same with option "
                f"labels {inventory.option_labels}: {instruction!r}"
            )
