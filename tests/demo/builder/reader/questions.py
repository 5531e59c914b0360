"""Further questions about a trial's text: the trial's own question, about other facts that the text tells."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pasctl.memory.tasks.trial import Trial


@dataclass(frozen=True)
class Question:
    """What is asked, what is to be answered, and the characters (first, stop) of the text that tell it.

    `evidence` is all that is needed; `sought` are the parts of it that the question's own words lead to.
    """

    text: str
    answer: str
    evidence: tuple[tuple[int, int], ...]
    sought: tuple[tuple[int, int], ...]


def questions(trial: Trial) -> list[Question]:
    """The trial's own question and those about other facts of its text."""
    found = _FINDERS.get(trial.task, lambda trial: [])(trial)
    own = [question for question in found if question.text == trial.question]
    if own:
        return [*own, *(question for question in found if question is not own[0])]
    spans = tuple((trial.text.index(part), trial.text.index(part) + len(part)) for part in trial.evidence)
    return [Question(trial.question, ", ".join(trial.answers), spans, spans), *found]


def _named(fact: str, asked: str, space: str = "") -> Callable[[Trial], list[Question]]:
    """Facts of one sentence with a name (1) and a value (2), whose question differs by the name alone.

    An answer of words begins with a space, so that its tokens are those of the text.
    """

    def find(trial: Trial) -> list[Question]:
        own = re.search(asked, trial.question)
        if own is None:
            raise ValueError(f"no name in the question {trial.question!r}")
        return [
            Question(trial.question.replace(own[1], each[1]), space + each[2], (each.span(),), (each.span(),))
            for each in re.finditer(fact, trial.text, re.MULTILINE)
        ]

    return find


def _variables(trial: Trial) -> list[Question]:
    """Every variable of the text, with the statements that lead to its number."""
    told: dict[str, tuple[str, tuple[int, int]]] = {}
    found = []
    for each in re.finditer(r"VAR (\w{4}) = (?:VAR )?(\w+)\.", trial.text):
        told[each[1]] = (each[2], each.span())
    for name in told:
        value, spans = name, []
        while value in told:
            value, span = told[value]
            spans.append(span)
        if value.isdigit():
            text = re.sub(r"VAR \w{4}", f"VAR {name}", trial.question)
            found.append(Question(text, value, tuple(sorted(spans)), (spans[0],)))
    return found


def _things(trial: Trial) -> list[Question]:
    """Everything that is carried, with its moves."""
    moves: dict[str, list[re.Match[str]]] = {}
    for each in re.finditer(r"\w+ took the (\w+) to the (\w+)\.", trial.text):
        moves.setdefault(each[1], []).append(each)
    return [
        Question(
            re.sub(r"Where is the \w+", f"Where is the {thing}", trial.question),
            own[-1][2],
            tuple(each.span() for each in own),
            tuple(each.span() for each in own),
        )
        for thing, own in moves.items()
    ]


_FINDERS: dict[str, Callable[[Trial], list[Question]]] = {
    "keyvalue": _named(r"^(\w+): (\w+)$", r"key (\w+)\?"),
    "niah-single-2": _named(r"A vault number of (\S+) is (\d+)\.", r"of (\S+)\?"),
    "niah-multikey-1": _named(r"A vault number of (\S+) is (\d+)\.", r"of (\S+)\?"),
    "niah-multikey-2": _named(r"A vault number of (\S+) is (\d+)\.", r"of (\S+)\?"),
    "scenes": _named(r"(\w+) stood [^.]*\. \1 sold (.+?) to the \w+\. The \w+ gave \1 [^.]*\.", r"did (\w+) sell", " "),
    "tracking": _variables,
    "state": _things,
}
