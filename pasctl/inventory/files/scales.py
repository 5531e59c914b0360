"""The answer scale of an inventory file: labels, numbered labels, or two ends. Lists run from the lowest answer up."""

from __future__ import annotations

import re
from collections.abc import Mapping

from pasctl.errors import InputError
from pasctl.inventory.files.node import Node, unknown
from pasctl.inventory.scale import FEWEST_POINTS, MOST_POINTS, Scale

FIELDS = ("points", "low", "high", "from", "labels")
USUAL_LABELS = ("Strongly disagree", "Disagree", "Neither agree nor disagree", "Agree", "Strongly agree")
"""Of a table that says no scale, from the lowest up."""
_FORMS = (
    "a scale is a list of labels from the lowest answer up, {1: label, 2: label, ..}, or points with low and high: "
    "the labels of the two ends"
)
_NUMBER = re.compile(r"[+-]?\d{1,4}")
# What only the lowest answer of a scale says, in some languages: behind such a label at the end, the list runs down.
_DENIES = re.compile(
    r"\b(?:dis(?:agree|satisf|lik)\w*|in(?:accurate|correct|appropriate|frequent)\w*|"
    r"un(?:true|like|characteristic|important|satisf)\w*|not|never|no|rarely|seldom|false|"
    r"nicht|nie|niemals|nein|pas|jamais|non|nunca|desacuerdo|niet|nooit|nee|inte|aldrig|nej|nie)\b|[不否]"
)


def scale_of(node: Node, named: Mapping[str, Scale]) -> Scale:
    """The scale that a field tells.

    Args:
        node: the field's value; a text is the name of another scale, or labels with "|" between them.
        named: the scales that have a name.
    """
    if isinstance(node.value, str) and "|" not in node.value:
        name = node.text("a scale")
        if name not in named:
            if not named:
                raise node.refusal("a scale", _FORMS)
            raise unknown(node.where, f"scale {name!r}", name, named)
        return named[name]
    if isinstance(node.value, str | list):
        return _of_labels(node, node.texts("a label"), 1)
    if isinstance(node.value, dict) and node.value and all(map(_NUMBER.fullmatch, node.value)):
        return _numbered(node, node.value)
    return _of_fields(node)


def _of_fields(node: Node) -> Scale:
    fields = node.fields(FIELDS, "a scale")
    start = fields["from"].whole("a whole number, the score of the lowest answer") if "from" in fields else 1
    if "labels" in fields:
        labels = fields["labels"].texts("a label")
        if "points" in fields and fields["points"].whole("a whole number") != len(labels):
            raise fields["points"].refusal(f"{len(labels)} points, as many as there are labels")
        if {"low", "high"} & fields.keys():
            raise node.refusal("labels, or low and high, not both", _FORMS)
        return _of_labels(node, labels, start)
    absent = [name for name in ("points", "low", "high") if name not in fields]
    if absent:
        raise node.refusal(f"a scale with {absent[0]}", _FORMS)
    points = fields["points"].whole(f"a whole number from {FEWEST_POINTS} to {MOST_POINTS}")
    if not FEWEST_POINTS <= points <= MOST_POINTS:
        raise fields["points"].refusal(f"a whole number from {FEWEST_POINTS} to {MOST_POINTS}")
    low, high = (fields[name].text(f"the label of the {name}est answer") for name in ("low", "high"))
    inner = [str(start + place) for place in range(1, points - 1)]
    return _made(node, [f"{start} ({low})", *inner, f"{start + points - 1} ({high})"], start)


def _of_labels(node: Node, labels: tuple[str, ...], start: int) -> Scale:
    if not labels:
        raise node.refusal("a scale", _FORMS)
    first, last = labels[0].lower(), labels[-1].lower()
    if _DENIES.search(last) and not _DENIES.search(first):
        raise InputError(
            f"{node.where}: expected labels from the lowest answer up, found {labels[0]!r} first and {labels[-1]!r} "
            "last",
            hint=f"turn the list round, or number the labels: {{{start}: {labels[-1]}, ..}}",
        )
    return _made(node, list(labels), start)


def _numbered(node: Node, labels: dict[str, Node]) -> Scale:
    scores = {int(number): text.text("a label") for number, text in labels.items()}
    if len(scores) < len(labels):
        raise node.refusal("different scores")
    down = sorted(scores, reverse=True)
    try:
        return Scale(tuple(scores[score] for score in down), tuple(down))
    except InputError as error:
        raise InputError(f"{node.where}: {error.message}", hint=_FORMS) from error


def _made(node: Node, up: list[str], start: int) -> Scale:
    scores = tuple(range(start + len(up) - 1, start - 1, -1))
    try:
        return Scale(tuple(reversed(up)), scores)
    except InputError as error:
        raise InputError(f"{node.where}: {error.message}", hint=_FORMS) from error


def options_of(node: Node) -> Scale:
    """The scale of one item's own options: a list of {text, score}, or "text = score | text = score"."""
    pairs = []
    if isinstance(node.value, str):
        for part in node.texts("options"):
            text, sign, score = part.rpartition("=")
            if not sign:
                raise Node(node.where, part).refusal("an option like: Stay at home = 1")
            pairs.append((text.strip(), Node(node.where, score.strip()).whole("a whole score behind the =")))
    else:
        for option in node.nodes("a list of options, each with text and score"):
            fields = option.fields(("text", "score"), "an option")
            absent = [name for name in ("text", "score") if name not in fields]
            if absent:
                raise option.refusal(f"an option with {absent[0]}")
            pairs.append((fields["text"].text("a text"), fields["score"].whole("a whole score")))
    pairs.sort(key=lambda pair: -pair[1])
    try:
        return Scale(tuple(text for text, _ in pairs), tuple(score for _, score in pairs))
    except InputError as error:
        raise InputError(f"{node.where}: {error.message}") from error
