"""Devices without an end are refused wherever a text is named, and pipes are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pasctl.errors import InputError
from pasctl.evaluation.neutral import read_neutral
from pasctl.inventory import builtin_inventory, read_answers
from pasctl.stages.text import Text
from pasctl.text_file import refuse_device

ENDLESS = Path("/dev/zero")


@pytest.mark.skipif(not ENDLESS.is_char_device(), reason="needs /dev/zero")
def test_a_device_is_refused() -> None:
    with pytest.raises(InputError, match="text /dev/zero is a device, expected a file"):
        Text.load(ENDLESS)
    with pytest.raises(InputError, match="neutral text /dev/zero is a device"):
        read_neutral(str(ENDLESS))
    with pytest.raises(InputError, match="answers file /dev/zero is a device"):
        read_answers(ENDLESS, builtin_inventory())


def test_a_file_passes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    refuse_device(path, "text")
    refuse_device(tmp_path / "none", "text")  # whose reader says that it does not exist
