"""What others wrote has no power over a terminal, and words in any language stay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import unicodedata

import pytest

from pasctl.errors import MOST_CHARACTERS, InputError
from pasctl.json_file import json_line
from pasctl.printable import clean, clean_lines, is_hidden, shell_words, without_controls

EVERY = [chr(point) for point in range(0x110000)]


def test_no_character_that_a_terminal_obeys_comes_through() -> None:
    for text in (clean("".join(EVERY)), clean_lines("".join(EVERY)), without_controls("".join(EVERY))):
        left = {sign for sign in set(text) - set("\n\t") if unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp")}
        assert left == set()
        assert set(text).isdisjoint("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c")


def test_one_line_stays_one_and_lines_stay_lines() -> None:
    assert clean("a\nb\tc\x1b[2J\u2028d\ud800") == r"a\nb\tc\x1b[2J\u2028d\ud800"
    assert clean_lines("a\nb\tc\x1b[2J\r\n") == "a\nb\tc\\x1b[2J\\r\n"


@pytest.mark.parametrize(
    "words", ["naïve café", "日本語のテキスト", "شکر می‌کنم", "नमस्ते", "👩‍👩‍👧 family", "Ωμέγα", "a\u00a0b"]
)
def test_words_in_any_language_stay(words: str) -> None:
    assert clean(words) == clean_lines(words) == without_controls(words) == words


@pytest.mark.parametrize(
    "sequence",
    [
        "\x1b[31m",
        "\x1b[2J",
        "\x1b]0;title\x07",
        "\x1b]8;;http://x\x1b\\",
        "\x1bP1$r\x1b\\",
        "\x1bc",
        "\x9b31m",
        "\x1b(B",
    ],
)
def test_terminal_sequences_of_a_model_go_as_a_whole(sequence: str) -> None:
    assert without_controls(f"red{sequence} text\n\tnext") == "red text\n\tnext"


def test_an_unfinished_sequence_takes_no_text_with_it() -> None:
    assert without_controls("a\x1b]0;b\nc\x1b") == "a0;b\nc"


@pytest.mark.parametrize("most", [20, 100])
def test_a_long_text_loses_its_middle_whatever_its_escapes_take(most: int) -> None:
    for text in ("a" * 5000, "\x1b" * 5000, "a" * (most - 1) + "\x1b" * 9):
        short = clean(text, most)
        assert len(short) == most
        assert short[0] == clean(text)[0]
    assert clean("a" * most, most) == "a" * most


def test_every_error_is_one_clean_line_of_bounded_length() -> None:
    error = InputError("file \x1b[31m\nx" + "y" * 10_000, hint="a\nb\u202e")
    assert len(error.message) == MOST_CHARACTERS
    assert str(error) == error.message
    assert not any(map(is_hidden, error.message + (error.hint or "")))


def test_json_is_exact_and_its_line_holds_nothing_that_a_terminal_obeys() -> None:
    document = {"a\x1b\x7f\x9b31m": "line\nbreak \u202e \ud800 \u2028 👍🏽 \U000e0041", "n": [1, 0.5, None]}
    line = json_line(document)
    assert json.loads(line) == document
    assert not any(map(is_hidden, line))
    assert "👍🏽" in line


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_command_can_be_pasted_whatever_its_words_are() -> None:
    words = [
        "plain",
        "two words",
        "it's",
        "",
        "a\nb \x1b[31m.json",
        "\x1b9'\\n",
        "\u202eabc",
        "\udcff",
        "日本 語",
        "-x=$HOME",
    ]
    line = shell_words(words)
    assert clean(line) == line
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    assert done.stdout == b"".join(os.fsencode(word) + b"\0" for word in words)
