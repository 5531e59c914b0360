"""Which tokens a run must push through the model: a shared prefix once, then batches of equal length."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class Batch:
    """Sequences whose rests have one length, so that nothing is padded.

    Attributes:
        rows: which sequences of the plan these are.
        suffixes: the tokens after the shared prefix, [n][T].
    """

    rows: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TokenPlan:
    """A shared prefix and batches that cover every sequence once.

    Attributes:
        prefix: the longest common prefix; at least one token of every sequence stays outside it.
        batches: of equal suffix length each, at most `batch_tokens` tokens with the prefix counted per row.
        tokens_asked: length of all sequences together.
    """

    prefix: tuple[int, ...]
    batches: tuple[Batch, ...]
    tokens_asked: int

    @property
    def tokens_run(self) -> int:
        """Tokens that go through the model: the prefix once and every suffix."""
        return len(self.prefix) + sum(len(batch.rows) * len(batch.suffixes[0]) for batch in self.batches)


def plan_tokens(sequences: Sequence[Sequence[int]], *, batch_tokens: int = DEFAULT_BATCH_TOKENS) -> TokenPlan:
    """Plan the forward passes for `sequences` of token ids.

    The plan depends on the sequences and on `batch_tokens` alone, so a resumed run repeats the same batches.
    """
    prefix = _common_prefix(sequences) if len(sequences) > 1 else ()
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for row, sequence in enumerate(sequences):
        by_length[len(sequence)].append(row)
    batches = []
    for length, rows in sorted(by_length.items()):
        size = max(1, batch_tokens // length)
        for start in range(0, len(rows), size):
            chunk = rows[start : start + size]
            batches.append(Batch(tuple(chunk), tuple(tuple(sequences[row][len(prefix) :]) for row in chunk)))
    return TokenPlan(prefix, tuple(batches), sum(map(len, sequences)))


def _common_prefix(sequences: Sequence[Sequence[int]]) -> tuple[int, ...]:
    # the lexicographic extremes share exactly what all sequences share
    low, high = min(map(list, sequences)), max(map(list, sequences))
    limit = min(map(len, sequences)) - 1
    length = 0
    while length < limit and low[length] == high[length]:
        length += 1
    return tuple(low[:length])
