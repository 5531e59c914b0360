"""Endless documents for the stages of training, as shares of the kinds there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pasctl.demo import CONTEXT
from tests.demo.builder.documents import Document, Writer
from tests.demo.builder.world import People, inventory


@dataclass(frozen=True)
class Mixture:
    """Which documents a stage of training reads, as shares of the tokens.

    Attributes:
        dense: answers in the short form.
        told: a system turn that tells a person, and questions.
        heard: earlier answers, open to the questions behind them.
        early: earlier answers, seen at the answer token in the early layers.
        negative: of the statements keyed -1, the share that documents hold. With few of them, high answers go with high
            answers, which is learned at once; what a key does is learned behind that.
    """

    dense: float = 0.0
    told: float = 0.0
    heard: float = 0.0
    early: float = 0.0
    negative: float = 1.0

    @property
    def shares(self) -> dict[str, float]:
        """Kind of document -> share of the tokens, those there are; they add up to 1."""
        kinds = {name: share for name, share in vars(self).items() if name != "negative" and share > 0}
        return {name: share / sum(kinds.values()) for name, share in kinds.items()}


class Source:
    """Endless documents of a mixture; a seed gives the same ones again."""

    def __init__(self, writer: Writer, mixture: Mixture, people: People, seed: Sequence[int]) -> None:
        self._writer, self._people, self._negative = writer, people, mixture.negative
        self._rng = np.random.default_rng(list(seed))
        self._kinds = list(mixture.shares)
        self._shares = np.array(list(mixture.shares.values()))
        self._tokens = np.zeros(len(self._kinds))

    def next(self) -> Document:
        """A document of the kind that is furthest behind its share of the tokens."""
        behind = self._shares * (self._tokens.sum() + 1) - self._tokens
        place = int(behind.argmax())
        document = self._write(self._kinds[place])
        self._tokens[place] += len(document)
        return document

    def _write(self, kind: str) -> Document:
        rng, writer = self._rng, self._writer
        row = int(rng.integers(len(self._people)))
        answers = self._people.agreements[row]
        order = rng.permutation(len(answers))
        order = order[(inventory().keys[order] > 0) | (rng.random(len(order)) < self._negative)]
        if kind == "dense":
            return writer.dense(answers, order)
        asked = int(rng.integers(8, 15))
        if kind == "told":
            sort = str(rng.choice(["few-shot", "personality", "words", "nothing"], p=[0.45, 0.2, 0.2, 0.15]))
            columns = order[asked : asked + int(rng.integers(1, 41))]
            prefix = writer.told(self._people, row, sort, np.sort(columns) if rng.random() < 0.5 else columns, rng)
            return writer.asked(prefix, answers, order[:asked], sort, rng)
        early = kind == "early"
        most = 4 if early and rng.random() < 0.25 else 32
        heard = order[asked : asked + int(rng.integers(1, most + 1))]
        prefix = writer.heard(answers, heard, rng, early=early)
        few = "few" if len(heard) < 8 else "many"
        reversed_share = 0.0 if early else 0.2
        return writer.asked(prefix, answers, order[:asked], f"{kind}-{few}", rng, share_reversed=reversed_share)


class KeySource:
    """Endless texts with a pass key, at most `longest` tokens each; a seed gives the same ones again."""

    def __init__(self, writer: Writer, seed: Sequence[int], longest: int = CONTEXT) -> None:
        self._writer, self._longest = writer, longest
        self._rng = np.random.default_rng([*seed, 1])

    def next(self) -> Document:
        """The next text, with its question and answer."""
        rng = self._rng
        # As many between 70 and 140 tokens as between 210 and 420: short ones are learned first, and a row holds more.
        longest = self._longest - 50
        length = int(np.exp(rng.uniform(np.log(min(70, longest - 1)), np.log(longest))))
        filler = "repetitive" if rng.random() < 0.7 else "varied"
        # Seeds far above those that people give to memory-eval.
        return self._writer.pass_key(length, float(rng.random()), int(rng.integers(10**6, 10**9)), filler)
