"""The formats of benchmarks' files: what each record says, as items.

Sources of the field names: THUDM/LongBench and LongBench v2, OpenBMB/InfiniteBench, NVIDIA/RULER, booydar/babilong,
xiaowu0162/LongMemEval, openai/mrcr, mohammadtavakoli78/BEAM.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from pasctl.json_file import JsonError, parse_json
from pasctl.memory.benchmarks.item import Item
from pasctl.memory.benchmarks.records import Record
from pasctl.memory.benchmarks.shapes import CHOICE, SHAPES, shape_of

Reader = Callable[[Record], Iterator[Item]]
_ROOMS = ("bathroom", "bedroom", "garden", "hallway", "kitchen", "office")
BABILONG_LABELS = {
    **dict.fromkeys(("qa1", "qa2", "qa3", "qa4", "qa11", "qa12", "qa13"), _ROOMS),
    "qa5": ("Bill", "Fred", "Jeff", "Mary", "apple", "football", "milk"),
    "qa6": ("yes", "no"),
    "qa7": ("none", "one", "two", "three"),
    "qa8": ("apple", "football", "milk", "nothing"),
    "qa9": ("yes", "no"),
    "qa10": ("yes", "no", "maybe"),
}
UNKNOWN = (
    "unknown",
    "not mentioned",
    "not mention",
    "no information",
    "not enough information",
    "don't know",
    "do not know",
    "cannot be determined",
    "never said",
)
"""Replies that hold one of these say that the text does not tell."""
_GENERIC = re.compile(r"(train|validation|test|dev|data|\d+[km]?)([_-].*)?$", re.IGNORECASE)
_ASKED = re.compile(r"\nQuestion:|(?<=[.\s])What (?:is|are all) the special magic")
_BEGUN = re.compile(r"(?s)^(.*\?)\s*((?:The special magic|Answer:).*)$|^(.*\S)\s+(Answer:.*)$")


def longbench(record: Record) -> Iterator[Item]:
    """LongBench (context, input, answers, dataset, all_classes) and LongBench v2 (question, choice_A to choice_D)."""
    context = record.text("context")
    if "choice_A" in record.fields:
        choices = tuple(record.text(f"choice_{letter}") for letter in "ABCD")
        letter = record.text("answer")
        if letter not in "ABCD" or len(letter) != 1:
            raise record.wrong("answer", "a letter from A to D", letter)
        answer = choices["ABCD".index(letter)]
        yield Item(record.text("domain", "longbench-v2"), context, record.text("question"), (answer,), choices, CHOICE)
        return
    task = record.text("dataset", _task(record))
    choices = record.texts("all_classes", optional=True)
    yield Item(task, context, record.text("input", ""), record.texts("answers"), choices, shape_of("longbench", task))


def infinitebench(record: Record) -> Iterator[Item]:
    """InfiniteBench: context, input, answer, options; the task is the file's name."""
    task = _task(record)
    answers, options = record.texts("answer"), record.texts("options", optional=True)
    shape = shape_of("infinitebench", task)
    if options:
        by_letter = {chr(ord("A") + place): option for place, option in enumerate(options)}
        right = tuple(answer for answer in answers if answer in options)
        answers = right or tuple(by_letter[answer] for answer in answers if answer in by_letter)
        if not answers:
            raise record.wrong("answer", "one of the options or its letter", record.fields["answer"])
        shape = shape if task in SHAPES["infinitebench"] else CHOICE
    yield Item(task, record.text("context"), record.text("input", ""), answers, options, shape)


def ruler(record: Record) -> Iterator[Item]:
    """RULER: input (text and question in one), outputs, answer_prefix; the task is the folder's or the file's name.

    The question is cut off where RULER's templates put it, else at the last line or sentence; the beginning of an
    answer that older files have at its end is made the answer's prefix.
    """
    task, text = _task(record), record.text("input")
    context, question = split_question(text)
    prefix = record.text("answer_prefix", "").strip()
    begun = _BEGUN.match(question)
    if begun and not prefix:
        question, prefix = (begun[1], begun[2]) if begun[1] else (begun[3], begun[4])
    shape = replace(shape_of("ruler", task), answer_prefix=prefix)
    yield Item(task, context, question, record.texts("outputs"), (), shape)


def split_question(text: str) -> tuple[str, str]:
    """A text and the question at its end."""
    places = [match.start() for match in _ASKED.finditer(text)]
    if not places:
        stripped = text.rstrip()
        ends = [match.end() for match in re.finditer(r"\n|(?<=[.!?])\s+(?=\S)", stripped)]
        lines = [end for end in ends if stripped[end - 1] == "\n"]
        places = (lines or ends)[-1:]
    place = places[-1] if places else 0
    return text[:place].rstrip(), text[place:].strip()


def babilong(record: Record) -> Iterator[Item]:
    """BABILong: input (the text), question, target; the task is qa1 to qa20, from the folder's or the file's name."""
    task = record.text("task", "") or _task(record)
    question = record.text("question")
    answers = tuple(part.strip() for part in record.text("target").split(",") if part.strip())
    if not answers:
        raise record.wrong("target", "an answer", record.fields["target"])
    asked = question.lower()
    labels = tuple(label for label in BABILONG_LABELS.get(task, ()) if label.lower() not in asked or label in answers)
    yield Item(task, record.text("input"), question, answers, labels, shape_of("babilong", task))


def longmemeval(record: Record) -> Iterator[Item]:
    """LongMemEval: haystack_sessions with haystack_dates, question, answer; ids that end in _abs have no answer."""
    sessions = record.listed("haystack_sessions")
    dates = record.texts("haystack_dates", optional=True)
    dates = (*dates, *[""] * (len(sessions) - len(dates)))
    texts = [
        f"Conversation of {date}:\n{turns}" if date else turns
        for date, turns in zip(dates, (_turns(record, "haystack_sessions", part) for part in sessions), strict=False)
    ]
    absent = record.text("question_id", "").endswith("_abs")
    task = "abstention" if absent else record.text("question_type", _task(record))
    question, date = record.text("question"), record.text("question_date", "")
    question = f"Today is {date}. {question}" if date else question
    answers = UNKNOWN if absent else record.texts("answer")
    yield Item(task, "\n\n".join(texts), question, answers, (), shape_of("longmemeval", task))


def mrcr(record: Record) -> Iterator[Item]:
    """OpenAI's MRCR: prompt (messages, or JSON of them), answer, random_string_to_prepend, n_needles."""
    messages = _decoded(record, "prompt")
    if not isinstance(messages, list) or len(messages) < 2:
        raise record.wrong("prompt", "at least two messages", record.fields["prompt"])
    begin = record.text("random_string_to_prepend", "")
    needles = record.text("n_needles", "")
    task = f"{needles}-needle" if needles else _task(record)
    context = _turns(record, "prompt", messages[:-1])
    last = messages[-1].get("content") if isinstance(messages[-1], dict) else None
    if not isinstance(last, str):
        raise record.wrong("prompt", "a last message with text", record.fields["prompt"])
    answers = record.texts("answer")
    yield Item(task, context, last, answers, (begin,) if begin else (), shape_of("mrcr", task))


def beam(record: Record) -> Iterator[Item]:
    """BEAM: chat (sessions of turns) and probing_questions (kind -> questions), an item each question."""
    context = _turns(record, "chat", _decoded(record, "chat"))
    questions = _decoded(record, "probing_questions")
    if not isinstance(questions, dict):
        raise record.wrong("probing_questions", "an object, kind -> questions", record.fields["probing_questions"])
    for task, listed in questions.items():
        for asked in listed if isinstance(listed, list) else [listed]:
            if not isinstance(asked, dict):
                raise record.wrong("probing_questions", f"objects in {task!r}", listed)
            inner = Record(record.path, f"{record.place}, {task}", asked)
            name = next((n for n in ("ideal_answer", "ideal_response", "answer", "rubric") if asked.get(n)), "answer")
            answers = UNKNOWN if task == "abstention" else inner.texts(name)
            yield Item(task, context, inner.text("question"), answers, (), shape_of("beam", task))


def _task(record: Record) -> str:
    """The task by the file's name, or by its folder's where that is what says it: niah_single_1/validation.jsonl."""
    stem = record.path.stem
    return record.path.parent.name or stem if _GENERIC.match(stem) else stem


def _decoded(record: Record, name: str) -> Any:
    """A field that is an object or a list, or text of one, as JSON or as Python writes it."""
    value = record.fields.get(name)
    if not isinstance(value, str):
        if value is None:
            raise record.wrong(name, "messages or questions", value)
        return value
    try:
        return parse_json(value)
    except JsonError:
        pass
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise record.wrong(name, "JSON within the text", value) from None


def _turns(record: Record, name: str, part: Any) -> str:
    """The messages of a conversation, of however many sessions, a paragraph each: "user: ..."."""
    if isinstance(part, list):
        return "\n".join(filter(None, (_turns(record, name, inner) for inner in part)))
    if isinstance(part, dict) and isinstance(part.get("turns"), list):
        return _turns(record, name, part["turns"])
    if not isinstance(part, dict) or not isinstance(part.get("content"), str):
        raise record.wrong(name, "messages with role and content", record.fields.get(name))
    return f"{part.get('role', 'user')}: {part['content']}"


FORMATS: dict[str, Reader] = {
    "longbench": longbench,
    "infinitebench": infinitebench,
    "ruler": ruler,
    "babilong": babilong,
    "longmemeval": longmemeval,
    "mrcr": mrcr,
    "beam": beam,
}
