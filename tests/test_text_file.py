"""Devices without an end are refused wherever a text is named, and pipes are not; an unknown `~` is no fault."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.evaluation.neutral import read_neutral
from pasctl.inventory import builtin_inventory, read_answers
from pasctl.models.identity import resolve_model
from pasctl.stages.text import Text
from pasctl.text_file import expand_home, refuse_device

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


def test_a_home_that_is_not_known_is_a_place_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expand_home("~/models/a") == Path("/somewhere/models/a")
    assert expand_home("a/~/b") == Path("a/~/b")
    with pytest.raises(MissingError, match="no such file or folder: ~no-such-user/model"):
        resolve_model("~no-such-user/model")
    monkeypatch.setattr(os.path, "expanduser", lambda name: name)  # without $HOME and an entry in passwd
    assert not expand_home("~/.cache").exists()
    with pytest.raises(NotADirectoryError):
        (expand_home("~/.cache") / "pasctl").mkdir(parents=True)
