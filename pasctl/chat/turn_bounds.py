"""Which turn of a conversation each token of its memory is from, so that answers can name it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from pasctl.chat.session import Turn
from pasctl.memory.text_bounds import FACTS, TEXT_BOUNDS, FileSpan, TextBounds, file_facts, to_table
from pasctl.models.conversation import Conversation
from pasctl.stages.job import Payload, StageContext


def bounds_of_turns(work: StageContext, talk: Conversation, tokenizer: Any, turns: Sequence[Turn]) -> Payload:
    """The file that keeps the bounds of turns; their times are noted in the provenance."""
    bounds = turn_bounds(talk, tokenizer, turns)
    work.provenance[FACTS] = file_facts(bounds)
    return {TEXT_BOUNDS: to_table(bounds)}


def turn_bounds(talk: Conversation, tokenizer: Any, turns: Sequence[Turn]) -> list[TextBounds]:
    """Bounds of turns that were read from the beginning of a conversation on.

    A turn counts as a file of the name `turn N`; its characters are those that its tokens are decoded to, with what the
    template writes between question and answer.
    """
    place, bounds = len(talk.opening()), []
    for number, turn in enumerate(turns, 1):
        ids = talk.turn(turn.user, turn.answer)
        text = str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
        lengths = (len(tokenizer.decode([token], clean_up_tokenization_spaces=False)) for token in ids)
        starts = [min(start, len(text)) for start in accumulate(lengths, initial=0)][: len(ids)]
        span = FileSpan(f"turn {number}", 0, len(text), modified=turn.at)
        bounds.append(TextBounds.of(text, starts, place, [span]))
        place += len(ids)
    return bounds
