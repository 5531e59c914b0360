"""One trial of a memory task: the text, the question, the answers, and where in the text they are told."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from pasctl.errors import InputError, PasctlError

# How many tokens the model's tokenizer makes of a text.
CountTokens = Callable[[str], int]

# What would make an answer part of a longer word or number. Only digits and Latin letters count: a reply may run on
# in Chinese without a space, or put the answer between underscores.
_LETTER = r"\dA-Za-z\u00c0-\u024f"


@dataclass(frozen=True)
class Trial:
    """A long text and a question about it.

    Attributes:
        task: Name of the task in `TASKS`.
        length: Wanted length of the text in tokens; the text is at most one sentence shorter.
        depth: Where the evidence is, 0 at the start of the text and 1 at its end.
        seed: Seed of the trial; with the three above it determines all the rest.
        text: The long text, without the question.
        question: What is asked after the text.
        answers: All of them must occur in a right reply.
        evidence: Substrings of the text that tell the answers.
    """

    task: str
    length: int
    depth: float
    seed: int
    text: str
    question: str
    answers: tuple[str, ...]
    evidence: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuses a trial that nothing could answer, or that any reply would."""
        if not self.answers or not all(self.answers):
            raise PasctlError(f"memory task '{self.task}': expected non-empty answers, found {self.answers}")
        lost = [sentence for sentence in self.evidence if sentence not in self.text]
        if lost or not self.evidence:
            raise PasctlError(f"memory task '{self.task}': expected evidence within the text, missing {lost or 'all'}")


def exact_match(answer: str, trial: Trial) -> bool:
    """Whether every expected answer occurs in the reply as a whole word or number, in either case of letters.

    12345 is not found in 123456, 12345.6 or 12,345,678.
    """
    return all(_pattern(expected).search(answer) for expected in trial.answers)


def share_of_answers(answer: str, trial: Trial) -> float:
    """Share of the expected answers that occur in the reply, each as `exact_match` looks for it."""
    return sum(bool(_pattern(expected).search(answer)) for expected in trial.answers) / len(trial.answers)


def random_stream(task: str, length: int, depth: float, seed: int) -> random.Random:
    """The trial's own random numbers, the same in every process (Python's `hash` of a string is not).

    Raises:
        InputError: The depth is outside 0..1 or the length is not positive.
    """
    if not 0 <= depth <= 1 or length < 1:
        raise InputError(f"a memory task needs depth within 0..1 and length >= 1, found depth {depth}, length {length}")
    digest = hashlib.sha256(f"{task}|{length}|{float(depth)!r}|{seed}".encode()).digest()
    return random.Random(int.from_bytes(digest, "big"))  # noqa: S311 - texts to read, not secrets


def _pattern(expected: str) -> re.Pattern[str]:
    before, after = rf"(?<![{_LETTER}])", rf"(?![{_LETTER}])"
    if expected[0].isdigit():
        before += r"(?<!\d[.,])"
    if expected[-1].isdigit():
        after += r"(?![.,]\d)"
    return re.compile(before + re.escape(expected) + after, re.IGNORECASE)
