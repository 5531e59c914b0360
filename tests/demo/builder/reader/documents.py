"""What the reader is trained on: texts of the memory tasks with questions, whole or as a memory gives them.

A packed text is what is left of a longer one when it is read through a memory: its first tokens, some blocks cut at
any place, those with the evidence among them, and its last tokens.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.filler import WORDS
from pasctl.memory.tasks.words import coined, keys, numbers
from tests.demo.builder.reader.questions import Question, questions
from tests.demo.builder.reader.tokenizer import ASSISTANT, END, USER, Encoder

TEXT_WEIGHT, SCENE_WEIGHT, PAIR_WEIGHT = 0.05, 0.2, 0.5  # names come up three times in a scene
INIT, LEAST_BLOCK, MOST_BLOCK = 8, 8, 32
PAIRS = {"syllables": 0.4, "words": 0.2, "numbers": 0.15, "letters": 0.1, "keys": 0.15}
"""Kinds of keys and values that are told over and over, and how often each."""
FIRST_SEED = 10**6  # of trials; people give smaller ones to memory-eval
_QUESTION_ROOM = 24


@dataclass
class Document:
    """Token ids of a row, and what is asked of each.

    Attributes:
        ids: token ids.
        weight: of the loss of predicting each token from those before it.
        task: name.
        text: tokens of the text, before the first question.
        answers: (first, stop) of each answer, with the token that ends it.
        words: (first, stop) of each question's words.
        sought: of the first question, (first, stop) of the evidence that its words lead to.
        packed: whether it is what a memory gives.
    """

    ids: list[int]
    weight: list[float]
    task: str
    text: int
    answers: list[tuple[int, int]] = field(default_factory=list)
    words: list[tuple[int, int]] = field(default_factory=list)
    sought: list[tuple[int, int]] = field(default_factory=list)
    packed: bool = False


class Writer:
    """Writes documents of at most some length; a seed gives the same ones again."""

    def __init__(self, tokenizer: object, rng: np.random.Generator) -> None:
        self.encoder, self._rng = Encoder(tokenizer), rng
        convert = tokenizer.convert_tokens_to_ids  # type: ignore[attr-defined]
        self._user, self._assistant, self._end = (int(convert(each)) for each in (USER, ASSISTANT, END))
        self._kinds = _kinds(tokenizer)

    def repeats(self, length: int) -> Document:
        """A few runs of tokens in random order, over and over: all of a run but its first token can be known."""
        rng = self._rng
        kinds = [self._kinds[int(rng.integers(len(self._kinds)))] for _ in range(int(rng.integers(2, 7)))]
        runs = [rng.choice(kind, int(rng.integers(3, 11))).tolist() for kind in kinds]
        document = Document([self._user], [0.0], "repeats", 0)
        seen: set[int] = set()
        while True:
            pick = int(rng.integers(len(runs)))
            run = runs[pick]
            if len(document.ids) + len(run) > length:
                break
            document.ids += run
            document.weight += [0.0] + [PAIR_WEIGHT if pick in seen else 0.0] * (len(run) - 1)
            if pick in seen:
                document.answers.append((len(document.ids) - len(run) + 1, len(document.ids)))
            seen.add(pick)
        document.text = len(document.ids)
        return document

    def pairs(self, length: int) -> Document:
        """A few keys and their values in random order, over and over: from the second time on a value can be known."""
        rng = self._rng
        own = random.Random(int(rng.integers(1 << 62)))
        kind = rng.choice(list(PAIRS), p=list(PAIRS.values()))
        number = int(rng.integers(2, 9))
        if kind == "syllables":
            made = coined(own)
            lines = [(f"\n{next(made)}:", f" {next(made)}") for _ in range(number)]
        elif kind == "words":
            made, goods = coined(own), own.sample(WORDS["goods"], number)
            lines = [(f" {next(made).capitalize()} sold", f" {each}.") for each in goods]
        elif kind == "numbers":
            made = coined(own)
            lines = [(f" {next(made).capitalize()} is", f" {next(numbers(own))[:5]}.") for _ in range(number)]
        elif kind == "letters":
            names = ["".join(own.sample("ABCDEFGHIJKLMNOPQRSTUVWXYZ", 4)) for _ in range(number)]
            lines = [(f" VAR {name} =", f" {next(numbers(own))[:5]}.") for name in names]
        else:
            named = keys(own)
            lines = [(f" {next(named)} is", f" {next(numbers(own))}.") for _ in range(number)]
        document = Document([self._user], [0.0], "pairs", 0)
        seen: set[int] = set()
        while True:
            pick = int(rng.integers(number))
            key, value = (self.encoder.encode(each)[0] for each in lines[pick])
            if len(document.ids) + len(key) + len(value) > length:
                break
            document.ids += [*key, *value]
            document.weight += [TEXT_WEIGHT] * len(key) + [PAIR_WEIGHT if pick in seen else 0.0] * len(value)
            if pick in seen:
                document.answers.append((len(document.ids) - len(value), len(document.ids)))
            seen.add(pick)
        document.text = len(document.ids)
        return document

    def trial(self, task: str, length: int, *, packed: bool, most: int = 4) -> Document | None:
        """A text with questions; None if this one does not fit."""
        rng = self._rng
        room = _QUESTION_ROOM * int(rng.integers(1, most + 1))
        size = length - 1 - room
        if size < 40:
            size = length - 1 - _QUESTION_ROOM
        made = int(size * rng.uniform(1.3, 4.0)) if packed else size
        try:
            trial = TASKS.get(task)(made, float(rng.random()), int(rng.integers(FIRST_SEED, 1 << 40)), self._count)
        except InputError:  # the facts alone are longer
            return None
        ids, starts = self.encoder.encode(trial.text)
        asked = questions(trial)
        order = [0, *(1 + rng.permutation(len(asked) - 1))] if rng.random() < 0.3 else rng.permutation(len(asked))
        chosen = [asked[place] for place in order]
        places = [[_tokens(starts, span) for span in each.evidence] for each in chosen]
        if packed:
            kept = self._packed(len(ids), places[0], size)
            if kept is None:
                return None
        else:
            kept = np.ones(len(ids), bool)
        left = np.flatnonzero(kept)
        document = Document([self._user, *(ids[place] for place in left)], [], task, 1 + len(left), packed=packed)
        document.weight = [0.0] + [SCENE_WEIGHT if task == "scenes" else TEXT_WEIGHT] * len(left)
        moved = np.cumsum(kept)  # place in the whole text -> place in the document, which the user's token begins
        for each, spans in zip(chosen, places, strict=True):
            if not all(kept[first:stop].all() for first, stop in spans):
                continue
            if not self._ask(document, each, length):
                break
            if len(document.answers) == 1:
                sought = [_tokens(starts, span) for span in each.sought]
                document.sought = [(int(moved[first]), int(moved[stop - 1]) + 1) for first, stop in sought]
        return document if document.answers else None

    def _count(self, text: str) -> int:
        return self.encoder.count(text)

    def _ask(self, document: Document, question: Question, length: int) -> bool:
        words = self.encoder.encode(f"\n\n{question.text}")[0]
        answer = [*self.encoder.encode(question.answer)[0], self._end]
        if len(document.ids) + len(words) + 2 + len(answer) > length:
            return False
        first = len(document.ids)
        document.ids += [*words, self._end, self._assistant, *answer]
        document.weight += [TEXT_WEIGHT] * len(words) + [0.0, 0.0] + [1.0] * len(answer)
        document.answers.append((len(document.ids) - len(answer), len(document.ids)))
        document.words.append((first, first + len(words)))
        return True

    def _packed(self, total: int, evidence: list[tuple[int, int]], size: int) -> NDArray[np.bool_] | None:
        """Which tokens of a text a memory gives: bool [total], about `size` of them."""
        rng = self._rng
        kept = np.zeros(total, bool)
        kept[:INIT] = True
        kept[max(0, total - int(size * rng.uniform(0.15, 0.4))) :] = True
        cuts = np.cumsum(rng.integers(LEAST_BLOCK, MOST_BLOCK + 1, total // LEAST_BLOCK + 2)) - int(rng.integers(8))
        blocks = [(max(0, a), b) for a, b in pairwise(cuts.tolist()) if b > 0 and a < total]
        for first, stop in blocks:
            if any(first < b and a < stop for a, b in evidence):
                kept[first:stop] = True
        for first, stop in (blocks[place] for place in rng.permutation(len(blocks))):
            if kept.sum() + stop - first > size:
                break
            kept[first:stop] = True
        for first, stop in evidence:  # what stands before the first cut
            kept[first:stop] = True
        return kept if kept.sum() <= size + MOST_BLOCK else None


def _kinds(tokenizer: Any) -> list[list[int]]:
    """Token ids by kind: digits, capital letters, syllables, words, and all of these."""
    vocabulary = {token: number for token, number in tokenizer.get_vocab().items() if not token.startswith("<|")}
    patterns = r"\d", r"[A-Z]", r"[A-Za-z][aeiou]", r"Ġ?[A-Za-z]{3,}"
    kinds = [sorted(number for token, number in vocabulary.items() if re.fullmatch(each, token)) for each in patterns]
    return [*kinds, sorted(number for kind in kinds for number in kind)]


def _tokens(starts: list[int], span: tuple[int, int]) -> tuple[int, int]:
    """First token, and the one behind the last, of some characters."""
    first, stop = np.searchsorted(starts, span)
    while first > 0 and starts[min(first, len(starts) - 1)] > span[0]:  # a space before it is of the same token
        first -= 1
    return int(first), int(stop)
