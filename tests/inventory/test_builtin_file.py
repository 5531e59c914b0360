"""The built-in inventory is a file of the package, and its digest, which is in every key, is what it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pasctl.inventory import Inventory, builtin_inventory, load_inventory
from pasctl.inventory.builtin import FILE
from pasctl.inventory.usual import USUAL_TRAITS

DIGEST = "05b2e49373969d5f501e4a40efcb59e6fcf1d7f5aced0a7011cba03954c72578"


def test_the_digest_holds() -> None:
    assert builtin_inventory().digest == DIGEST
    assert Inventory.from_json(builtin_inventory().to_json()).digest == DIGEST


def test_it_is_read_as_any_file_is(tmp_path: Path) -> None:
    copy = tmp_path / "mine.yaml"
    copy.write_bytes(FILE.read_bytes())
    assert load_inventory(str(copy)) == builtin_inventory() == load_inventory("builtin")
    assert builtin_inventory().known_traits == USUAL_TRAITS


def test_help_reads_no_inventory() -> None:
    code = "import sys; from pasctl.cli.app import app; print({'yaml', 'numpy', 'pasctl.inventory'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
