"""What of a prompt looks for events, what of a reply is scored, and retrieval by lot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pasctl.memory.benchmarks.item import Shape
from pasctl.memory.queries import WordFinder
from pasctl.memory.systems import random_scores
from pasctl.memory.trials import scored_text

TOKENIZER: Any = SimpleNamespace(all_special_ids=[0], decode=lambda ids: " " if ids[0] == 1 else f"w{ids[0]}")


@pytest.mark.parametrize(
    ("prefix", "places"),
    [([], {0, 1, 3}), ([20, 21], {0, 1, 3, 6, 7}), ([20, 1], {0, 1, 3, 6})],
)
def test_the_template_between_a_question_and_an_answers_beginning_looks_for_nothing(
    prefix: list[int], places: set[int]
) -> None:
    finder = WordFinder(TOKENIZER, [8, 9], "words")
    seekers = finder.seekers([5, 6, 1, 7, 8, 9, *prefix])
    assert seekers is not None
    assert (seekers.places, seekers.asked) == (places, 6 + len(prefix))
    last = WordFinder(TOKENIZER, [8, 9], "last").seekers([5, 6, 1, 7, 8, 9])
    assert last is not None
    assert last.places == {3}


@pytest.mark.parametrize(
    ("reply", "cut", "shape", "scored"),
    [
        (" Anna\nBert ", False, Shape(), "Anna\nBert"),
        ("\n Anna\nBert", False, Shape(first_line=True), "Anna"),
        ("it was Bert</think>\nAnna", False, Shape(think=True), "Anna"),
        ("it was Bert", True, Shape(think=True), ""),
        ("Anna", False, Shape(think=True), "Anna"),
        ("it was</think>Bert", False, Shape(), "it was</think>Bert"),
    ],
)
def test_the_answer_alone_is_scored(reply: str, cut: bool, shape: Shape, scored: str) -> None:
    assert scored_text(reply, cut, shape) == scored


def test_random_scores_know_nothing_of_the_events() -> None:
    one, other = torch.rand(500), torch.rand(500)
    assert torch.equal(random_scores(3)(2, one), random_scores(3)(2, other))
    assert not torch.equal(random_scores(3)(2, one), random_scores(3)(1, one))
    assert not torch.equal(random_scores(3)(2, one), random_scores(4)(2, one))
    assert abs(float(torch.corrcoef(torch.stack([random_scores(0)(0, one), one]))[0, 1])) < 0.2
