"""What files of answers are called as artifacts, and the error for an item that an inventory does not have."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory


def label_of(path: Path) -> str:
    """A file's stem as an artifact label: lower case, other characters than letters, digits and ._+- become -."""
    return re.sub(r"[^a-z0-9._+-]+", "-", path.stem.lower()).strip("-._+") or "answers"


def unknown_item(where: str, item: str, inventory: Inventory) -> InputError:
    """The error for an item that the inventory does not have; it names the nearest."""
    spelled = {name.lower(): name for name in inventory.position}
    near = difflib.get_close_matches(item.lower(), spelled, n=1)
    hint = f"did you mean {spelled[near[0]]}?" if near else f"ids are like {inventory.items[0].id}"
    return InputError(f"{where}: inventory {inventory.name} has no item {item!r}", hint=hint)
