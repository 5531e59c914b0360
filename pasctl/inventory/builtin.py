"""The built-in inventory, read from the file beside this module as any inventory file is."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from pasctl.inventory.inventory_file import read_inventory_file
from pasctl.inventory.items import Inventory

FILE = Path(__file__).with_name("builtin.yaml")


@cache
def builtin_inventory() -> Inventory:
    """The inventory "builtin": 60 items, ids such as `E01`, six fit and six report items a trait."""
    return read_inventory_file(FILE)
