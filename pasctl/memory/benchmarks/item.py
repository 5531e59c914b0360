"""One item of a benchmark: a long context, a question about it, and how its answer is asked for and scored."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from functools import cached_property


@dataclass(frozen=True)
class Shape:
    """How the items of a task are put to a model.

    In `instruction` and `question`, `{question}` and `{choices}` stand for the item's own; choices are listed by
    letter. An instruction that holds `{question}` puts the question before the text too.

    Attributes:
        instruction: stands before the text; "" for none.
        question: stands after the text.
        answer_prefix: the answer is made to begin with it; it is not a part of what is scored.
        metric: a name in `pasctl.memory.benchmarks.metrics.METRICS`.
        max_new_tokens: of an answer, thinking included.
        think: whether the model is asked to think before it answers.
        first_line: whether the first line of an answer alone is scored, as where examples in the text have one line.
    """

    instruction: str = ""
    question: str = "{question}"
    answer_prefix: str = ""
    metric: str = "f1"
    max_new_tokens: int = 64
    think: bool = False
    first_line: bool = False


@dataclass(frozen=True)
class Item:
    """One item.

    Attributes:
        task: within the benchmark, such as hotpotqa.
        context: the long text; may be empty.
        query: the item's question; may be empty where the task asks the same of every text.
        answers: what is expected (which of them a reply must hold is the metric's).
        choices: that the metric tells apart.
        shape: how it is asked.
        place: file and line, for messages.
    """

    task: str
    context: str
    query: str
    answers: tuple[str, ...]
    choices: tuple[str, ...] = ()
    shape: Shape = field(default_factory=Shape)
    place: str = ""

    @property
    def text(self) -> str:
        """What the model reads first: the instruction, then the context."""
        return "\n\n".join(part for part in (self._filled(self.shape.instruction), self.context) if part)

    @property
    def question(self) -> str:
        """What the model is asked after the text."""
        return self._filled(self.shape.question).strip()

    @property
    def answer_prefix(self) -> str:
        """What the answer is made to begin with."""
        return self._filled(self.shape.answer_prefix)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides an answer and its score; where the item stands does not."""
        document = asdict(self)
        del document["place"]
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()

    def _filled(self, template: str) -> str:
        values = {"question": self.query, "choices": lettered(self.choices)}
        return re.sub(r"\{(question|choices)\}", lambda match: values[match[1]], template)


def lettered(choices: tuple[str, ...]) -> str:
    """Choices a line each: "A. red"."""
    return "\n".join(f"{chr(ord('A') + place)}. {choice}" for place, choice in enumerate(choices))
