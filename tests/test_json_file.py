"""JSON of others is read within bounds, and refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pasctl.json_file import MOST_DEPTH, JsonError, parse_json, read_json


def nested(depth: int, begin: str = "[", end: str = "]") -> str:
    return begin * depth + "1" + end * depth


@pytest.mark.parametrize(("begin", "end"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_is_bounded_however_deep(begin: str, end: str) -> None:
    levels = begin.count("[") + begin.count("{")
    assert parse_json(nested(MOST_DEPTH // levels, begin, end)) is not None
    for depth in (MOST_DEPTH // levels + 1, 500, 100_000):
        with pytest.raises(JsonError, match=f"more than {MOST_DEPTH} deep"):
            parse_json(nested(depth, begin, end))


def test_brackets_in_texts_and_many_flat_lists_are_no_depth() -> None:
    document = ["[" * 1000, {"{" * 500: ["]"] * 500}, *([[]] * 500)]
    assert parse_json(json.dumps(document)) == document


@pytest.mark.parametrize(
    "text", ["", "nul", "{", '{"a": 1,}', "1" * 5000, "[NaN]", "[Infinity]", "-Infinity", b"\xff", '"\\ud8', "\ufeff1"]
)
def test_what_is_no_json_is_refused_in_one_line(text: str | bytes) -> None:
    with pytest.raises(JsonError) as refused:
        parse_json(text)
    assert "\n" not in str(refused.value)


def test_the_configs_of_models_may_have_infinity() -> None:
    assert parse_json('{"limit": [0, Infinity]}', constants=True)["limit"][1] == float("inf")


def test_a_name_twice_is_refused_where_it_matters() -> None:
    assert parse_json('{"a": 1, "a": 2}') == {"a": 2}
    with pytest.raises(JsonError, match="'a' occurs twice"):
        parse_json('[{"b": {"a": 1, "a": 2}}]', unique=True)


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'\xef\xbb\xbf"' + "ä".encode() * 8 + b'"')
    assert read_json(path, most_bytes=21) == "ä" * 8
    with pytest.raises(JsonError, match="more than 20 bytes"):
        read_json(path, most_bytes=20)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json")
