"""The neutral text is prose of two pages about nobody, and other texts are read or refused in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.evaluation.neutral import neutral_text, read_neutral
from pasctl.inventory import builtin_inventory

PERSONS = {
    "i",
    "me",
    "my",
    "we",
    "us",
    "our",
    "you",
    "your",
    "he",
    "him",
    "his",
    "she",
    "her",
    "who",
    "people",
    "person",
}
OPINIONS = {"think", "believe", "feel", "happy", "sad", "angry", "friendly", "should", "beautiful", "best", "worst"}


def test_the_text_is_about_two_pages_of_whole_paragraphs() -> None:
    paragraphs = neutral_text().strip().split("\n\n")
    assert 700 <= len(neutral_text().split()) <= 900
    assert len(paragraphs) > 3
    assert all(re.fullmatch(r"[A-Z][^\n]*\.", paragraph) for paragraph in paragraphs)


def test_the_text_has_no_persons_and_no_words_of_personality() -> None:
    words = set(re.findall(r"[a-z']+", neutral_text().lower()))
    assert words.isdisjoint(PERSONS | OPINIONS)
    assert not words & {item.facet for item in builtin_inventory().items}


def test_builtin_is_ours_and_a_file_is_named_without_its_folders(tmp_path: Path) -> None:
    assert read_neutral("builtin") == (neutral_text(), "builtin")
    path = tmp_path / "rivers.txt"
    path.write_bytes("\ufeffRivers flow downhill; the Rhône too.\n".encode())
    assert read_neutral(str(path)) == ("Rivers flow downhill; the Rhône too.\n", "rivers.txt")


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"none\.txt does not exist"):
        read_neutral(str(tmp_path / "none.txt"))
    (tmp_path / "empty.txt").write_text(" \n\n", encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Rhône".encode("latin-1"))
    for name, message in (("empty.txt", "is empty"), ("latin.txt", "byte 2 is 0xf4"), (".", "cannot be read")):
        with pytest.raises(InputError, match=message) as refusal:
            read_neutral(str(tmp_path / name))
        assert "\n" not in refusal.value.message
        assert refusal.value.hint
