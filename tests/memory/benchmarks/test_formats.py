"""Benchmarks' files as items: invented records of every format, and records that lack something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.memory.benchmarks.formats import FORMATS, UNKNOWN, split_question
from pasctl.memory.benchmarks.item import Item, Shape
from pasctl.memory.benchmarks.metrics import BINARY, METRICS
from pasctl.memory.benchmarks.read import read_items
from pasctl.memory.benchmarks.shapes import DEFAULTS, SHAPES

TURNS = [{"role": "user", "content": "My dog is Rex."}, {"role": "assistant", "content": "Good dog."}]
RECORDS: dict[str, dict[str, Any]] = {
    "longbench": {
        "input": "Who rang?",
        "context": "Anna rang.",
        "answers": ["Anna"],
        "dataset": "hotpotqa_e",
        "all_classes": None,
        "length": 2,
    },
    "infinitebench": {"id": 1, "context": "Red.", "input": "Colour?", "answer": ["red"], "options": ["blue", "red"]},
    "ruler": {"index": 0, "input": "A list. 1. pear\nQuestion: What is on the list?", "outputs": ["pear"], "length": 9},
    "babilong": {"input": "Mary went to the garden.", "question": "Where is Mary? ", "target": "garden"},
    "longmemeval": {
        "question_id": "q1",
        "question_type": "multi-session",
        "question": "What is my dog called?",
        "question_date": "2023/05/30",
        "answer": "Rex",
        "haystack_dates": ["2023/05/20"],
        "haystack_sessions": [TURNS],
    },
    "mrcr": {
        "prompt": json.dumps([*TURNS, {"role": "user", "content": "Prepend x9 to the first reply."}]),
        "answer": "x9Good dog.",
        "random_string_to_prepend": "x9",
        "n_needles": 2,
    },
    "beam": {
        "chat": [TURNS],
        "probing_questions": str(
            {
                "abstention": [{"question": "My cat?", "ideal_response": "It is not said."}],
                "information_extraction": [{"question": "My dog?", "answer": "Rex"}],
            }
        ),
    },
}


def items_of(folder: Path, form: str, *records: Any, name: str = "data.jsonl", **how: Any) -> list[Item]:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return read_items([str(path)], form, **how)


@pytest.mark.parametrize("form", FORMATS)
def test_a_record_of_every_format_is_an_item_that_its_own_answer_solves(form: str, tmp_path: Path) -> None:
    for item in items_of(tmp_path, form, RECORDS[form]):
        assert item.question
        assert item.text
        reply = item.answers[0]
        assert METRICS[item.shape.metric](reply, item.answers, item.choices) == 1.0
        assert METRICS[item.shape.metric]("...", item.answers, item.choices) == 0.0


def test_lines_and_an_array_say_the_same(tmp_path: Path) -> None:
    records = [RECORDS["longbench"], {**RECORDS["longbench"], "input": "北京? \u2028 \U0001f600"}]
    lines = items_of(tmp_path, "longbench", *records)
    array = tmp_path / "array.json"
    array.write_text("\n " + json.dumps(records, indent=1), encoding="utf-8-sig")
    assert [item.digest for item in read_items([str(array)], "longbench")] == [item.digest for item in lines]
    assert "北京? \u2028 \U0001f600" in lines[1].question
    assert len({item.digest for item in lines}) == 2


def test_longbench(tmp_path: Path) -> None:
    [item] = items_of(tmp_path, "longbench", RECORDS["longbench"])
    assert (item.task, item.context, item.shape.metric, item.shape.max_new_tokens) == (
        "hotpotqa_e",
        "Anna rang.",
        "f1",
        32,
    )
    trec = {**RECORDS["longbench"], "dataset": "trec", "all_classes": ["Anna", "Bert"]}
    [item] = items_of(tmp_path, "longbench", trec)
    assert (item.shape.metric, item.choices, item.shape.first_line) == ("classification", ("Anna", "Bert"), True)
    second = {"context": "c", "question": "q", "answer": "B", "domain": "Novels"} | {
        f"choice_{n}": n * 3 for n in "ABCD"
    }
    [item] = items_of(tmp_path, "longbench", second)
    assert (item.task, item.answers, item.shape.metric) == ("Novels", ("BBB",), "choice")
    assert "B. BBB" in item.question


def test_empty_contexts_and_single_answers_are_taken(tmp_path: Path) -> None:
    [item] = items_of(tmp_path, "longbench", {**RECORDS["longbench"], "context": "", "answers": "Anna"})
    assert (item.text, item.answers) == ("", ("Anna",))
    [item] = items_of(tmp_path, "infinitebench", {"context": "1", "input": "", "answer": 7}, name="kv_retrieval.jsonl")
    assert (item.task, item.answers) == ("kv_retrieval", ("7",))
    [item] = items_of(tmp_path, "infinitebench", {**RECORDS["infinitebench"], "answer": "B"}, name="code_debug.jsonl")
    assert (item.answers, item.shape.metric) == (("red",), "choice")


RULER_TEXT = (
    "A special magic number is hidden within the following text. One of the special magic numbers for quick-oak is: "
    "8231745."
)


@pytest.mark.parametrize(
    ("text", "question", "prefix"),
    [
        ("\nWhat is the special magic number for quick-oak?", "What is the special magic number for quick-oak?", ""),
        (" What is the special magic number for quick-oak?", "What is the special magic number for quick-oak?", ""),
        (
            "\nWhat are all the special magic numbers for a, and b? The special magic numbers are",
            "What are all the special magic numbers for a, and b?",
            "The special magic numbers are",
        ),
        (
            "\nQuestion: Find all variables with 12. Answer: According to the text, they are: ",
            "Question: Find all variables with 12.",
            "Answer: According to the text, they are:",
        ),
        ("\nWho was it? Tell me.", "Who was it? Tell me.", ""),
        (" Who was it?", "Who was it?", ""),
    ],
)
def test_rulers_question_is_cut_off(text: str, question: str, prefix: str, tmp_path: Path) -> None:
    record = {"input": RULER_TEXT + text, "outputs": ["8231745"], "length": 60}
    [item] = items_of(tmp_path, "ruler", record, name="niah_single_1/validation.jsonl")
    assert (item.task, item.context, item.question, item.answer_prefix) == (
        "niah_single_1",
        RULER_TEXT,
        question,
        prefix,
    )
    assert (item.shape.metric, item.shape.max_new_tokens) == ("match-all", 128)
    [item] = items_of(tmp_path, "ruler", {**record, "answer_prefix": " It is"}, name="qa_2.jsonl")
    assert (item.task, item.answer_prefix, item.shape.metric) == ("qa_2", "It is", "match-part")


def test_nothing_of_a_text_is_lost_when_its_question_is_cut_off() -> None:
    for text in ("", "One line", "One. Two?", "a\nQuestion: b\n\nQuestion: c?", "x\n"):
        context, question = split_question(text)
        assert "".join((context + question).split()) == "".join(text.split())


def test_babilong_knows_the_labels_of_a_task(tmp_path: Path) -> None:
    record = {**RECORDS["babilong"], "question": "Is Mary in the kitchen or where?"}
    [item] = items_of(tmp_path, "babilong", record, name="qa1/4k.jsonl")
    assert item.task == "qa1"
    assert set(item.choices) == {"bathroom", "bedroom", "garden", "hallway", "office"}
    [item] = items_of(tmp_path, "babilong", {**record, "target": "apple,milk"}, name="qa8.jsonl")
    assert item.answers == ("apple", "milk")


def test_conversations_are_texts_with_dates_and_roles(tmp_path: Path) -> None:
    [item] = items_of(tmp_path, "longmemeval", RECORDS["longmemeval"])
    assert item.text == "Conversation of 2023/05/20:\nuser: My dog is Rex.\nassistant: Good dog."
    assert item.question.startswith("Today is 2023/05/30. What is my dog called?")
    [item] = items_of(tmp_path, "longmemeval", {**RECORDS["longmemeval"], "question_id": "q1_abs"})
    assert (item.task, item.answers) == ("abstention", UNKNOWN)
    [item] = items_of(tmp_path, "mrcr", RECORDS["mrcr"])
    assert (item.task, item.choices) == ("2-needle", ("x9",))
    assert item.text == "user: My dog is Rex.\nassistant: Good dog."
    nested = {**RECORDS["beam"], "chat": [{"batch_number": 1, "turns": [TURNS]}]}
    assert [item.text for item in items_of(tmp_path, "beam", nested)] == [item.text] * 2


def test_the_limit_is_per_task(tmp_path: Path) -> None:
    records = [{**RECORDS["longbench"], "dataset": task, "input": str(n)} for n in range(3) for task in ("a", "b")]
    items = items_of(tmp_path, "longbench", *records, limit=2)
    assert [(item.task, item.query) for item in items] == [("a", "0"), ("b", "0"), ("a", "1"), ("b", "1")]


@pytest.mark.parametrize("form", FORMATS)
def test_a_missing_field_is_one_line_with_file_line_and_field(form: str, tmp_path: Path) -> None:
    needed = {
        "longbench": ("context", "answers"),
        "infinitebench": ("context", "answer"),
        "ruler": ("input", "outputs"),
        "babilong": ("input", "question", "target"),
        "longmemeval": ("haystack_sessions", "question", "answer"),
        "mrcr": ("prompt", "answer"),
        "beam": ("chat", "probing_questions"),
    }[form]
    for field in needed:
        for broken in ({k: v for k, v in RECORDS[form].items() if k != field}, {**RECORDS[form], field: True}):
            with pytest.raises(InputError, match="expected") as caught:
                items_of(tmp_path, form, RECORDS[form], broken)
            said = str(caught.value)
            assert str(tmp_path / "data.jsonl") in said
            assert "line 2" in said
            assert repr(field) in said
            assert "\n" not in said


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "no record"),
        ("\n\n", "no record"),
        ("[]", "no record"),
        ('{"input": "a", "context', "line 1"),
        ('[{"input": "a"}, {"input"', "JSON array"),
        ("[1]", "record 1"),
        ("null", "line 1"),
        ("PAR1", "line 1"),
    ],
)
def test_damaged_files_are_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_items([str(path)], "longbench")
    assert str(path) in str(caught.value)
    with pytest.raises(MissingError, match="does not exist"):
        read_items([str(tmp_path / "none.jsonl")], "longbench")


def test_a_task_file_changes_how_a_task_is_asked(tmp_path: Path) -> None:
    said = {
        "*": {"max_new_tokens": 5},
        "hotpotqa_e": {
            "instruction": "You will be asked: {question}",
            "question": "{question} {unknown}",
            "answer_prefix": "It was",
            "metric": "exact",
        },
    }
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(said), encoding="utf-8")
    record = {**RECORDS["longbench"], "input": "Who {choices}?"}
    [item] = items_of(tmp_path, "longbench", record, task_file=str(file))
    assert item.text == "You will be asked: Who {choices}?\n\nAnna rang."
    assert item.question == "Who {choices}? {unknown}"
    assert item.shape == Shape(**{**said["*"], **said["hotpotqa_e"]})  # type: ignore[arg-type]
    [other] = items_of(tmp_path, "longbench", record)
    assert item.digest != other.digest


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ({"hotpotqa_e": {"metrik": "f1"}}, "metrik"),
        ({"hotpotqa_e": {"metric": "f2"}}, "rouge-l"),
        ({"hotpotqa_e": {"max_new_tokens": 0}}, "at least 1"),
        ({"hotpotqa_e": {"max_new_tokens": True}}, "at least 1"),
        ({"hotpotqa_e": {"question": " "}}, "question is empty"),
        ({"hotpotqa_e": {"metric": "choice"}}, "needs choices"),
        ({"hotpotqa_e": {"think": True, "answer_prefix": "It was"}}, "one of the two"),
        ({"triviaqa": {}}, "hotpotqa_e"),
        ({"hotpotqa_e": 1}, "object of objects"),
        ([], "object of objects"),
    ],
)
def test_a_wrong_task_file_is_refused(said: Any, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "tasks.json"
    file.write_text(json.dumps(said), encoding="utf-8")
    with pytest.raises(InputError, match=wrong):
        items_of(tmp_path, "longbench", RECORDS["longbench"], task_file=str(file))


def test_a_task_without_a_metric_of_ours_is_refused_until_one_is_named(tmp_path: Path) -> None:
    record = {"context": "1 + 1", "input": "all of them?", "answer": [1, 2]}
    with pytest.raises(InputError, match="metric of task 'math_calc'"):
        items_of(tmp_path, "infinitebench", record, name="math_calc.jsonl")
    file = tmp_path / "tasks.json"
    file.write_text('{"math_calc": {"metric": "match-all"}}', encoding="utf-8")
    [item] = items_of(tmp_path, "infinitebench", record, name="math_calc.jsonl", task_file=str(file))
    assert (item.answers, item.shape.metric) == (("1", "2"), "match-all")


def test_the_table_names_metrics_that_there_are() -> None:
    assert set(SHAPES) == set(DEFAULTS) == set(FORMATS)
    shapes = [*DEFAULTS.values(), *(shape for table in SHAPES.values() for shape in table.values())]
    assert {shape.metric for shape in shapes} <= set(METRICS)
    assert set(METRICS) > BINARY
