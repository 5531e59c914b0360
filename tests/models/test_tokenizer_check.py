"""Tokenizers that hang or grow are refused; ordinary ones cost no process."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, pre_tokenizers

from pasctl.errors import InputError
from pasctl.models import tokenizer_check
from pasctl.models.load import load_chat
from pasctl.models.tokenizer_check import KNOWN_PATTERNS, check_tokenizer
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def folder(saved, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PASCTL_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(saved, tmp_path / "model"))


def change(folder: Path, **values: Any) -> None:
    file = folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def doubling(times: int) -> dict[str, Any]:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
    return {"type": "Sequence", "normalizers": [step] * times}


HOSTILE: dict[str, dict[str, Any]] = {
    "backtracking": {"pre_tokenizer": split(r"(a+)+$|(.*)*b(.*)*c(.*)*d")},
    "backtracking, nested": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(r"(\s|\w|.)*?=(.*)*#")]}},
    "backtracking while normalizing": {
        "normalizer": {"type": "Replace", "pattern": {"Regex": r"(x?a*)*(a*)*b$"}, "content": ""}
    },
    "doubling": {"normalizer": doubling(40)},
    "padding": {
        "padding": {
            "strategy": {"Fixed": 20_000_000_000},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "x",
        }
    },
    "no pattern": {"pre_tokenizer": split("((((")},
    "no type": {"normalizer": {"type": "Nope", "pattern": {"Regex": "a"}}},
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_tokenizer_that_hangs_or_grows_is_one_line(folder, monkeypatch, kind):
    monkeypatch.setattr(tokenizer_check, "_BOUNDS", tokenizer_check.Bounds(memory=2 << 30, seconds=1))
    change(folder, **HOSTILE[kind])
    started = time.monotonic()
    with pytest.raises(InputError, match="does not get through a few short texts") as caught:
        check_tokenizer(folder)
    assert time.monotonic() - started < 30
    assert "\n" not in caught.value.message


def test_a_model_with_such_a_tokenizer_is_not_read(folder):
    change(folder, **HOSTILE["padding"])
    with pytest.raises(InputError, match="does not get through"):
        load_chat(str(folder))


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"pre_tokenizer": split(r"\s+|\w+|[^\w\s]+")},
        {"normalizer": {"type": "Replace", "pattern": {"String": "..."}, "content": "an ellipsis"}},
        {"normalizer": doubling(2)},
    ],
)
def test_an_unusual_tokenizer_that_computes_is_taken(folder, parts):
    change(folder, **parts)
    check_tokenizer(folder)


@pytest.mark.parametrize("pattern", sorted(KNOWN_PATTERNS))
def test_ordinary_tokenizers_are_not_tried(folder, monkeypatch, pattern):
    """Each known pattern is one that the library takes, and takes time in proportion to the text."""
    monkeypatch.setattr(tokenizer_check, "run_bounded", lambda *_, **__: pytest.fail("a process is started"))
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    change(folder, pre_tokenizer={"type": "Sequence", "pretokenizers": [split(pattern), byte_level]})
    check_tokenizer(folder)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for sign in "a1 \n-":
        assert tokenizer.encode(sign * 20_000 + "!").ids
    assert pre_tokenizers.Split(Regex(pattern), "isolated").pre_tokenize_str("It is 3 o'clock.")


def test_the_pattern_of_a_tekken_file_is_tried(folder):
    (folder / "tekken.json").write_text(json.dumps({"config": {"pattern": r"(a+)+$|(.*)*b(.*)*c(.*)*d"}}))
    with pytest.raises(InputError, match=r"tekken\.json"):
        check_tokenizer(folder)
