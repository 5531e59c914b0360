"""The kinds of text that the demo model is trained on, as tokens with what each token may see.

A document is a prefix, which tells who answers, and any number of parts behind it: one question each with its answer.
Parts do not see each other, so a prefix is read once for many questions, and each question is exactly what pasctl's
stages ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.inventory import few_shot, option_levels, personality_prompt, question
from pasctl.inventory.scale import USUAL_LETTERS as LETTERS
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import make
from pasctl.models.chat import ChatRenderer
from tests.demo.builder.world import People, describe, inventory

# How much the loss of a token counts beside that of an answer: of a text's words, the end of a turn, a pass key's
# digits, and answers heard before the questions, which the dense documents teach already.
TEXT_WEIGHT, END_WEIGHT, KEY_WEIGHT, HEARD_WEIGHT = 0.05, 0.1, 1.0, 0.1


Order = Sequence[int] | NDArray[np.int64]


@dataclass
class Document:
    """Token ids and, for each, what is asked of it; all lists have one entry a token.

    Attributes:
        ids: token ids.
        positions: of each token; every part goes on from the prefix's end.
        weight: of the loss of predicting this token from those before it.
        part: 0 in the prefix, then the number of the question.
        evidence: whether the parts may see it, if it is of the prefix.
        answer: whether it is the token that an answer letter follows, in a part.
        head: whether it is of a part and stands before the statement.
        tag: what its loss is counted under, "" for nothing.
        early: parts see evidence only at their answer token, there only in the early layers, and in these nothing of
            the question's statement.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    part: list[int] = field(default_factory=list)
    evidence: list[bool] = field(default_factory=list)
    answer: list[bool] = field(default_factory=list)
    head: list[bool] = field(default_factory=list)
    tag: list[str] = field(default_factory=list)
    early: bool = False

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[int], part: int = 0, *, weight: float = 0.0) -> None:
        """Append tokens of the prefix, as evidence, or of one part."""
        n = len(ids)
        if part and part not in self.part:
            start = sum(number == 0 for number in self.part)
        else:
            start = self.positions[-1] + 1 if self.positions else 0
        self.ids += ids
        self.positions += range(start, start + n)
        self.weight += [weight] * n
        self.part += [part] * n
        self.evidence += [True] * n
        self.answer += [False] * n
        self.head += [False] * n
        self.tag += [""] * n


@dataclass(frozen=True)
class Writer:
    """Writes documents with a tokenizer, through pasctl's own prompts and chat rendering."""

    chat: ChatRenderer

    @cached_property
    def letters(self) -> list[int]:
        """Token ids of A..E."""
        return self.chat.letter_ids(LETTERS)

    @cached_property
    def items(self) -> list[int]:
        """Token id of each statement."""
        return [self._one(item.text) for item in inventory().items]

    @cached_property
    def end(self) -> int:
        """Token id that ends a turn."""
        return int(self.chat.tokenizer.eos_token_id)

    @cached_property
    def questions(self) -> dict[str, list[list[int]]]:
        """Option order -> token ids of each item's question, up to where the letter goes."""
        asked = inventory()
        return {
            order: [self.chat.encode(question(item, asked, order)) for item in asked.items]
            for order in ("forward", "reversed")
        }

    @cached_property
    def prompt(self) -> Prompt:
        """Renders texts with a question behind them, as an episodic memory reads them."""
        return Prompt(self.chat)

    def system(self, text: str) -> list[int]:
        """Token ids of the system turn that tells `text`."""
        with_system = self.chat.encode("x", text)
        return with_system[: len(with_system) - len(self.chat.encode("x"))]

    def letter(self, agreement: int, order: str = "forward") -> int:
        """Token id of the letter that says how far one agrees."""
        return self.letters[option_levels(order, 5).index(agreement)]

    def dense(self, answers: NDArray[np.int64], order: Order) -> Document:
        """Statement, letter, statement, letter, ...: many answers of one person in few tokens."""
        document = Document()
        self._answers(document, answers, order)
        return document

    def asked(
        self,
        document: Document,
        answers: NDArray[np.int64],
        order: Order,
        tag: str,
        rng: np.random.Generator,
        *,
        share_reversed: float = 0.2,
    ) -> Document:
        """Append questions in the chat template, each a part of its own; `tag` names them in the log of losses."""
        for number, item in enumerate(order, start=1):
            way = "reversed" if rng.random() < share_reversed else "forward"
            ids = self.questions[way][item]
            start = len(document)
            document.add(ids, number)
            statement = ids.index(self.items[item])
            document.head[start : start + statement] = [True] * statement
            document.answer[-1] = True
            document.add([self.letter(int(answers[item]), way)], number, weight=1.0)
            document.tag[-1] = tag
            document.add([self.end], number, weight=END_WEIGHT)
        return document

    def told(
        self, people: People, row: int, kind: str, columns: NDArray[np.int64], rng: np.random.Generator
    ) -> Document:
        """A prefix that is a system turn: few-shot, personality prompt, trait words, or nothing at all."""
        document = Document()
        agreements = people.agreements[row].astype(np.float64)
        text = ""
        if kind == "few-shot":
            text = few_shot(inventory(), agreements, columns)
        elif kind == "personality":
            text = personality_prompt(inventory(), agreements, columns)
        elif kind == "words":
            text = describe(people.traits[row], rng)
        if text:
            document.add(self.system(text))
        return document

    def heard(
        self, answers: NDArray[np.int64], order: Order, rng: np.random.Generator, *, early: bool = False
    ) -> Document:
        """A prefix that is earlier answers, for questions that see them.

        Args:
            answers: of one person, [I].
            order: the items answered before.
            rng: random numbers.
            early: as `Document.early` says, and of the answers only the letters are seen, or only the last of them.
        """
        document = Document(early=early)
        if early and len(order) <= 3 and rng.random() < 0.6:
            for item in order:  # as the stage extract shows them
                document.add(self.questions["forward"][item])
                document.add([self.letter(int(answers[item]))], weight=HEARD_WEIGHT)
                document.tag[-1] = "turn"
        else:
            self._answers(document, answers, order, HEARD_WEIGHT)
        if early:
            letters = [token in self.letters for token in document.ids]
            last = rng.random() < 0.25
            document.evidence = [
                is_letter and (not last or place == len(letters) - 1) for place, is_letter in enumerate(letters)
            ]
        return document

    def pass_key(self, length: int, depth: float, seed: int, filler: Any) -> Document:
        """A long text with a pass key, the question, and the answer."""
        trial = make(length, depth, seed, lambda text: len(self.prompt.encode(text)), filler)
        document = Document()
        document.add(self.prompt.text(trial.text), weight=TEXT_WEIGHT)
        for first, stop in self.prompt.spans(trial.text, trial.evidence):
            second = [place for place in range(first, stop) if document.ids[place] in self._digits][
                len(trial.answers[0]) :
            ]
            for place in second:  # the key is told twice: the second time it can be known
                document.weight[place] = KEY_WEIGHT
                document.tag[place] = "key-again"
        document.add(self.prompt.question(trial.question))
        document.add(self.prompt.encode(trial.answers[0]), weight=KEY_WEIGHT)
        for place in range(len(trial.answers[0])):
            document.tag[-1 - place] = "key"
        document.add([self.end], weight=KEY_WEIGHT)
        return document

    @cached_property
    def _digits(self) -> set[int]:
        return {self._one(digit) for digit in "0123456789"}

    def _answers(self, document: Document, answers: NDArray[np.int64], order: Order, weight: float = 1.0) -> None:
        for number, item in enumerate(order):
            document.add([self.items[item]])
            document.add([self.letter(int(answers[item]))], weight=weight)
            document.tag[-1] = "dense-0" if number == 0 else "dense-1" if number < 16 else "dense-16"

    def _one(self, text: str) -> int:
        [token] = self.chat.tokenizer(text, add_special_tokens=False)["input_ids"]
        return int(token)
