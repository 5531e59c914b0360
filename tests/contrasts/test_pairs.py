"""Files of pairs: every form that is read gives the same pairs, and what is wrong is named with its place."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pasctl.contrasts import Example, load_contrast, pair_file
from pasctl.contrasts.contrast import Contrast
from pasctl.errors import InputError, MissingError, PasctlError

ROWS: list[dict[str, Any]] = [
    {"prompt": "Nice day?", "positive": "Great!", "negative": "No,\nsadly."},
    {"prompt": "Tea?", "positive": 'Yes, "please".', "negative": "Après vous …"},
    {"prompt": "Nice day?", "positive": "The best.", "negative": "The worst."},
]
TEXTS: list[dict[str, Any]] = [
    {"positive": "I win. ", "negative": "I lose. "},
    {"positive": "[INST] Act glad [/INST] I", "negative": "[INST] Act sad [/INST] I"},
]


def write(path: Path, content: object) -> Path:
    """A file in the form that its ending names."""
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif path.suffix == ".json":
        path.write_text(json.dumps(content), encoding="utf-8")
    elif path.suffix in (".csv", ".tsv"):
        assert isinstance(content, list)
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(content[0]), delimiter="\t" if path.suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(content)
    else:
        assert isinstance(content, list)
        path.write_text("".join(json.dumps(row) + "\n\n" for row in content), encoding="utf-8")
    return path


def read(path: Path) -> Contrast:
    return load_contrast(f"pairs:{path}")


@pytest.mark.parametrize("suffix", pair_file.SUFFIXES)
def test_replies_to_prompts(tmp_path: Path, suffix: str) -> None:
    contrast = read(write(tmp_path / f"My pairs{suffix}", ROWS))
    assert contrast.name == "my-pairs"
    assert contrast.poles == ("+", "-")
    assert [(pair.plus, pair.minus) for pair in contrast.pairs] == [
        tuple(Example(user=row["prompt"], text=row[side], read="mean") for side in ("positive", "negative"))
        for row in ROWS
    ]
    # The same prompt is in the same group, so that no prompt stands on both sides of a split.
    assert [pair.group for pair in contrast.pairs] == ["Nice day?", "Tea?", "Nice day?"]


@pytest.mark.parametrize("suffix", pair_file.SUFFIXES)
def test_texts_that_stand_alone_are_kept_to_the_letter(tmp_path: Path, suffix: str) -> None:
    contrast = read(write(tmp_path / f"texts{suffix}", [*TEXTS, {**TEXTS[0], "negative": "I lost."}]))
    assert [(pair.plus, pair.minus) for pair in contrast.pairs[:2]] == [
        tuple(Example(text=row[side], read="last") for side in ("positive", "negative")) for row in TEXTS
    ]
    first, second, again = (pair.group for pair in contrast.pairs)
    assert first == again != second


def test_forms_that_other_tools_write(tmp_path: Path) -> None:
    """The same pairs in repeng's, steering-vectors', CAA's and EasySteer's form."""
    alone = read(write(tmp_path / "repeng.json", TEXTS))
    for name, content in {
        "tuples.json": [[row["positive"], row["negative"]] for row in TEXTS],
        "tuples.jsonl": [[row["positive"], row["negative"]] for row in TEXTS],
        "samples.json": {
            "method": "diffmean",
            "positive_samples": [row["positive"] for row in TEXTS],
            "negative_samples": [row["negative"] for row in TEXTS],
        },
        "lists.json": {side: [row[side] for row in TEXTS] for side in ("positive", "negative")},
    }.items():
        same = read(write(tmp_path / name, content))
        assert [(pair.plus, pair.minus) for pair in same.pairs] == [(pair.plus, pair.minus) for pair in alone.pairs]
        assert len({pair.group for pair in same.pairs}) == 2
    replies = read(write(tmp_path / "prompts.jsonl", ROWS))
    behavior = [
        {
            "question": row["prompt"],
            "statement": "not looked at",
            "label_confidence": 0.97,
            "answer_matching_behavior": f" {row['positive']}",
            "answer_not_matching_behavior": f" {row['negative']}",
        }
        for row in ROWS
    ]
    for name in ("caa.json", "caa.jsonl"):
        assert read(write(tmp_path / name, behavior)).pairs == tuple(
            type(pair)(name.split(".")[0], pair.group, pair.plus, pair.minus) for pair in replies.pairs
        )


def test_system_texts_by_questions(tmp_path: Path) -> None:
    """The form of persona_vectors."""
    document: dict[str, Any] = {
        "instruction": [{"pos": "Be rude.", "neg": "Be polite."}, {"pos": "Insult.", "neg": "Praise."}],
        "questions": ["How are you?", "What is new?", "Why?"],
        "eval_prompt": "not looked at",
    }
    pairs = read(write(tmp_path / "rude.json", document)).pairs
    assert [(p.plus, p.minus) for p in pairs] == [
        (Example(entry["pos"], question), Example(entry["neg"], question))
        for entry in document["instruction"]
        for question in document["questions"]
    ]
    assert all(pair.group == pair.plus.user for pair in pairs)


def test_columns_for_axis_group_system_and_read(tmp_path: Path) -> None:
    rows = [
        {
            "Trait": "E",
            "group": "1",
            "system": "Be brief.",
            "PROMPT": "Tea?",
            "pos": "Yes",
            "neg": "No",
            "read": "last",
        },
        {"Trait": "E", "group": "1", "system": "", "PROMPT": "", "pos": "Yes", "neg": "No", "read": "mean"},
        {"Trait": "self-esteem", "group": "2", "system": "", "PROMPT": "Tea?", "pos": "A", "neg": "B", "read": ""},
    ]
    contrast = read(write(tmp_path / "axes.csv", rows))
    assert contrast.poles == ("E+", "E-", "self-esteem+", "self-esteem-")
    assert [pair.group for pair in contrast.pairs] == ["1", "1", "2"]
    assert [pair.plus for pair in contrast.pairs] == [
        Example("Be brief.", "Tea?", "Yes", "last"),
        Example(None, None, "Yes", "mean"),
        Example(None, "Tea?", "A", "mean"),
    ]
    numbers = [{**TEXTS[0], "group": 7}, {**TEXTS[1], "group": 7}]
    assert {pair.group for pair in read(write(tmp_path / "numbers.jsonl", numbers)).pairs} == {"7"}


def test_an_axis_named_like_the_file_has_its_name_in_its_poles(tmp_path: Path) -> None:
    assert read(write(tmp_path / "honesty.json", [{**TEXTS[0], "axis": "honesty"}])).poles == ("honesty+", "honesty-")


def test_a_byte_order_mark_and_crlf_change_nothing(tmp_path: Path) -> None:
    plain = read(write(tmp_path / "a.csv", "positive,negative\nyes,no\n"))
    for name, content in (
        ("a.csv", b"\xef\xbb\xbfpositive,negative\r\nyes,no\r\n"),
        ("a.tsv", b"positive\tnegative\r\nyes\tno"),
    ):
        assert read(write(tmp_path / name, content)) == plain


BAD: list[tuple[str, object, str]] = [
    ("a.txt", "yes no", "expected a file that ends in .jsonl, .ndjson, .json, .csv, .tsv, found .txt"),
    ("a.jsonl", '{"positive": "a", "negative": "b"}\n\n{"positive": ', "line 3: not readable as JSON"),
    ("a.jsonl", '"text"\n', "line 1: expected an object, found a text"),
    ("a.jsonl", '["a", "b", "c"]\n', "line 1: expected an object, found a list of 3"),
    ("a.jsonl", '{"positive": "a"}\n', "line 1: expected negative, found positive"),
    ("a.jsonl", "{}\n", "line 1: expected positive, found an empty row"),
    ("a.jsonl", '{"positive": 3, "negative": "b"}\n', "line 1: expected a text as positive, found a number"),
    ("a.jsonl", '{"positive": true, "negative": "b"}\n', "line 1: expected a text as positive, found true or false"),
    ("a.jsonl", '{"positive": "\\ud800", "negative": "b"}\n', "line 1: expected Unicode text as positive"),
    ("a.jsonl", '{"positive": "a", "negative": "a"}\n', "line 1: expected two sides that differ"),
    ("a.jsonl", '{"prompt": "p", "positive": " a", "negative": "a "}\n', "line 1: expected two sides that differ"),
    (
        "a.jsonl",
        '{"system": "s", "positive": "a", "negative": "b"}\n',
        "line 1: expected a prompt with the system text",
    ),
    (
        "a.jsonl",
        '{"read": "first", "positive": "a", "negative": "b"}\n',
        "expected last or mean as read, found 'first'",
    ),
    ("a.jsonl", '{"axis": "a b", "positive": "a", "negative": "b"}\n', "line 1: expected an axis named by letters"),
    (
        "a.jsonl",
        '{"axis": "E", "positive": "a", "negative": "b"}\n{"positive": "c", "negative": "d"}\n',
        "line 2: expected an axis in every row or in none, found none here and one before",
    ),
    ("a.jsonl", "\n \n", "expected pairs, found none"),
    ("a.jsonl", '{"positive": "a",\n"negative": "b"}', "line 1: not readable as JSON"),
    (
        "a.jsonl",
        b'{"positive": "a", "negative": "b"}\n{"positive": "\xe9t\xe9"}',
        "line 2: expected UTF-8, found byte 0xe9",
    ),
    ("a.jsonl", "\ufeff{}".encode("utf-16"), "line 1: expected UTF-8, found byte 0xff"),
    ("a.jsonl", b"\x00\x00", "line 1: not readable as JSON"),
    ("a.json", "[" * 100_000, "not readable as JSON"),
    ("a.json", '{"positive": "a", "negative": "b"}\n{"positive": "c"}', "not readable as JSON"),
    ("a.json", [], "expected pairs, found none"),
    ("a.json", "3", "expected a list of rows or an object, found a number"),
    ("a.json", {"positive": "a", "negative": "b"}, "found the keys positive, negative"),
    ("a.json", {}, "found the keys none"),
    ("a.json", [TEXTS[0], None], "entry 2: expected an object, found null"),
    ("a.json", {"positive": ["a"], "negative": []}, "expected as many negative as positive texts, found 1 and 0"),
    ("a.json", {"positive": ["a", 1], "negative": ["b", "c"]}, "entry 2: expected a text as positive, found a number"),
    ("a.json", {"instruction": [], "questions": ["q"]}, "not empty as instruction, found a list of 0"),
    ("a.json", {"instruction": "x", "questions": ["q"]}, "not empty as instruction, found a text"),
    ("a.json", {"instruction": [{"pos": "x"}], "questions": ["q"]}, "instruction 1: expected negative, found pos"),
    (
        "a.json",
        {"instruction": [{"pos": "x", "neg": "y"}], "questions": [1]},
        "question 1: expected a text as question",
    ),
    ("a.json", {"instruction": [{"pos": "x", "neg": "x"}], "questions": ["q"]}, "instruction 1: expected two sides"),
    ("a.csv", "", "expected pairs, found none"),
    ("a.csv", "positive,negative\n", "expected pairs, found none"),
    ("a.csv", "positive;negative\na;b\n", "line 2: expected positive, found positive;negative"),
    ("a.csv", "positive,negative\na,b,c\n", "line 2: expected 2 fields, as in the header, found 3"),
    ("a.csv", "positive,negative\na,b\nc\n", "line 3: expected 2 fields, as in the header, found 1"),
    ("a.csv", "positive,positive,negative\na,b,c\n", "line 1: expected columns with different names, found 'positive'"),
    ("a.csv", 'positive,negative\n"a,b\n', "line 2: not readable as CSV"),
    ("a.csv", "positive,negative\na, \n", "line 2: expected negative, found positive"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, name: str, content: object, message: str) -> None:
    path = write(tmp_path / name, content)
    refused_in_one_line(lambda: read(path), InputError, message)


def refused_in_one_line(action: Callable[[], object], kind: type[PasctlError], message: str) -> None:
    with pytest.raises(kind) as error:
        action()
    assert message in str(error.value)
    assert "\n" not in str(error.value) + (error.value.hint or "")


def test_files_that_are_not_there_or_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused_in_one_line(lambda: read(tmp_path / "no.jsonl"), MissingError, "no.jsonl does not exist")
    (tmp_path / "folder.jsonl").mkdir()
    refused_in_one_line(lambda: read(tmp_path / "folder.jsonl"), InputError, "folder.jsonl: cannot be read")
    path = write(tmp_path / "large.jsonl", TEXTS)
    monkeypatch.setattr(pair_file, "MOST_BYTES", path.stat().st_size)
    assert len(read(path).pairs) == 2
    monkeypatch.setattr(pair_file, "MOST_BYTES", path.stat().st_size - 1)
    refused_in_one_line(lambda: read(path), InputError, "expected at most")


def test_the_digest_does_not_follow_the_form_of_the_file(tmp_path: Path) -> None:
    digests = {read(write(tmp_path / f"pairs{suffix}", ROWS)).digest for suffix in pair_file.SUFFIXES}
    assert len(digests) == 1
