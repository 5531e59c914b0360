"""How the tasks of known benchmarks are asked and scored, in our words, and the task files that change it.

Metrics and lengths of answers follow what the benchmarks publish; instructions do not, so figures are comparable
between systems here and only roughly with those published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.json_file import JsonError, read_json
from pasctl.memory.benchmarks.item import Shape
from pasctl.memory.benchmarks.metrics import METRICS
from pasctl.text_file import expand_home

_BRIEF = "{question}\nAnswer from the text, with as few words as you can and nothing else."
_CHOICES = "{question}\n{choices}\nAnswer with the letter of the right choice."
_CHINESE = "{question}\n请根据上文，用尽可能简短的话回答，不要写别的内容。"
_LAST_LINE = "{question}\nWrite the next line of the code, and nothing else."


def _qa(tokens: int, question: str = _BRIEF, metric: str = "f1") -> Shape:
    return Shape(question=question, metric=metric, max_new_tokens=tokens)


def _summary(of: str, tokens: int = 512) -> Shape:
    return Shape(question=f"{{question}}\nSummarise {of} above.", metric="rouge-l", max_new_tokens=tokens)


def _examples(metric: str, tokens: int) -> Shape:
    """The text has solved examples; the question is one more, begun."""
    return Shape("Examples of a task follow. Continue the last one.", "{question}", "", metric, tokens, first_line=True)


LONGBENCH = {
    "narrativeqa": _qa(128),
    "qasper": _qa(128, "{question}\nAnswer from the article, briefly; if it does not say, answer: unanswerable."),
    "multifieldqa_en": _qa(64),
    "multifieldqa_zh": _qa(64, _CHINESE),
    "hotpotqa": _qa(32),
    "2wikimqa": _qa(32),
    "musique": _qa(32),
    "dureader": _qa(128, _CHINESE, "rouge-l"),
    "gov_report": _summary("the report"),
    "qmsum": Shape(question="{question}\nAnswer from the meeting above.", metric="rouge-l", max_new_tokens=512),
    "multi_news": _summary("the news"),
    "vcsum": Shape(question="{question}\n请总结上面的会议内容。", metric="rouge-l", max_new_tokens=512),
    "trec": _examples("classification", 64),
    "triviaqa": _examples("f1", 32),
    "samsum": _examples("rouge-l", 128),
    "lsht": _examples("classification", 64),
    "passage_count": _qa(32, "{question}\nHow many different paragraphs are above? Answer with the number.", "count"),
    "passage_retrieval_en": _qa(
        32,
        "This is a summary of one of the paragraphs:\n{question}\n"
        "Which paragraph is it? Answer like this: Paragraph 7.",
        "retrieval",
    ),
    "passage_retrieval_zh": _qa(32, "摘要：{question}\n该摘要出自哪一段？请按“段落7”的格式回答。", "retrieval"),
    "lcc": _qa(64, _LAST_LINE, "code"),
    "repobench-p": _qa(64, _LAST_LINE, "code"),
}
INFINITEBENCH = {
    "passkey": _qa(6, metric="match-part"),
    "number_string": _qa(12, metric="match-part"),
    "kv_retrieval": _qa(50, metric="match-part"),
    "longbook_sum_eng": _summary("the book", 1200),
    "longbook_qa_eng": _qa(40),
    "longbook_qa_chn": _qa(40, _CHINESE),
    "longbook_choice_eng": _qa(40, _CHOICES, "choice"),
    "longdialogue_qa_eng": _qa(40, metric="match-part"),
    "math_find": _qa(3, metric="words"),
    "code_run": _qa(5, metric="words"),
    "code_debug": _qa(5, _CHOICES, "choice"),
}
RULER = {
    "vt": _qa(30, "{question}", "match-all"),
    "cwe": _qa(120, "{question}", "match-all"),
    "fwe": _qa(50, "{question}", "match-all"),
    "qa": _qa(32, "{question}", "match-part"),
}
_ABSTAIN = _qa(128, "{question}\nIf the conversations do not say, answer: unknown.", "match-part")
SHAPES: dict[str, dict[str, Shape]] = {
    "longbench": LONGBENCH,
    "infinitebench": INFINITEBENCH,
    "ruler": RULER,
    "babilong": {},
    "longmemeval": {
        "abstention": _qa(128, "{question}\nIf the conversations do not say, answer: unknown.", "match-part")
    },
    "mrcr": {},
    "beam": {"abstention": _ABSTAIN},
}
DEFAULTS = {
    "longbench": _qa(64),
    "infinitebench": _qa(40),
    "ruler": _qa(128, "{question}", "match-all"),
    "babilong": _qa(20, "{question}\nAnswer with one word, or with the words separated by commas.", "words"),
    "longmemeval": _qa(128),
    "mrcr": _qa(1024, "{question}", "similarity"),
    "beam": _qa(256, "{question}"),
}
CHOICE = _qa(40, _CHOICES, "choice")
"""For items with choices of a task that the table does not have."""


def shape_of(form: str, task: str) -> Shape:
    """How a task of a format is asked by default."""
    table, name = SHAPES[form], task.removesuffix("_e") if form == "longbench" else task
    if form == "ruler" and name not in table:
        name = name.split("_")[0]
    return table.get(name, DEFAULTS[form])


def read_task_file(name: str) -> dict[str, dict[str, Any]]:
    """What a task file says: task -> fields of `Shape`; "*" stands for every task.

    Raises:
        MissingError: there is no such file.
        InputError: it is no JSON object of such.
    """
    path = expand_home(name)
    try:
        document = read_json(path, unique=True)
    except FileNotFoundError as error:
        raise MissingError(f"task file {path} does not exist") from error
    except (OSError, JsonError) as error:
        raise InputError(f"task file {path}: expected a JSON object, found {error}") from error
    if not isinstance(document, dict) or not all(isinstance(about, dict) for about in document.values()):
        raise InputError(f"task file {path}: expected an object of objects, task -> what is said about it")
    known: dict[str, type] = {each.name: type(each.default) for each in fields(Shape)}
    for task, about in document.items():
        for field, value in about.items():
            place = f"task file {path}, task {task!r}, field {field!r}"
            if field not in known:
                raise InputError(f"{place} is unknown, expected one of {', '.join(known)}")
            if type(value) is not known[field] or (isinstance(value, int) and known[field] is int and value < 1):
                kind = {str: "text", bool: "true or false", int: "a whole number of at least 1"}[known[field]]
                raise InputError(f"{place}: expected {kind}, found {value!r}")
            if field == "metric" and value not in METRICS:
                raise InputError(f"{place}: expected one of {', '.join(METRICS)}, found {value!r}")
    return document


def changed(shape: Shape, task: str, said: Mapping[str, Mapping[str, Any]]) -> Shape:
    """A shape with what a task file says of its task."""
    return replace(shape, **{**said.get("*", {}), **said.get(task, {})})
