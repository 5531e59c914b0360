"""Which tokens a run must push through the model: a shared prefix once, then the rests in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DEFAULT_BATCH_TOKENS = 16_384
PACK_PREFIX = 256  # from this length on, copying the prefix for every row costs more than masking rows from each other
PACK_TOKENS = 512  # of the rests in one packed row; a longer row attends to more that is masked


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model together; nothing is padded.

    Attributes:
        rows: which sequences of the plan these are.
        suffixes: the tokens of each after the shared prefix; of one length unless the plan is packed.
    """

    rows: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class TokenPlan:
    """A shared prefix and batches that cover every sequence once.

    Attributes:
        prefix: the longest common prefix; at least one token of every sequence stays outside it.
        batches: at most `batch_tokens` tokens each, with the prefix counted per row.
        tokens_asked: length of all sequences together.
        packed: whether a batch is one row, its suffixes end to end, instead of a row for each.
    """

    prefix: tuple[int, ...]
    batches: tuple[Batch, ...]
    tokens_asked: int
    packed: bool = False

    @property
    def tokens_run(self) -> int:
        """Tokens that go through the model: the prefix once and every suffix."""
        return len(self.prefix) + sum(len(suffix) for batch in self.batches for suffix in batch.suffixes)


def plan_tokens(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int = DEFAULT_BATCH_TOKENS, may_pack: bool = False
) -> TokenPlan:
    """Plan the forward passes for `sequences` of token ids.

    The plan depends on the arguments alone, so a resumed run repeats the same batches.

    Args:
        sequences: token ids, none empty.
        batch_tokens: bound on the tokens of a batch; a longer sequence runs alone.
        may_pack: whether the model can be run on packed rows; a long shared prefix is then not repeated.
    """
    prefix = _common_prefix(sequences) if len(sequences) > 1 else ()
    packed = may_pack and len(prefix) >= PACK_PREFIX
    groups = _packed_rows(sequences, len(prefix), batch_tokens) if packed else _equal_rows(sequences, batch_tokens)
    batches = tuple(Batch(tuple(rows), tuple(tuple(sequences[row][len(prefix) :]) for row in rows)) for rows in groups)
    return TokenPlan(prefix, batches, sum(map(len, sequences)), packed)


def _equal_rows(sequences: Sequence[Sequence[int]], batch_tokens: int) -> Iterator[list[int]]:
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for row, sequence in enumerate(sequences):
        by_length[len(sequence)].append(row)
    for length, rows in sorted(by_length.items()):
        size = max(1, batch_tokens // length)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _packed_rows(sequences: Sequence[Sequence[int]], prefix: int, batch_tokens: int) -> Iterator[list[int]]:
    room = min(PACK_TOKENS, max(1, batch_tokens - prefix))
    rows: list[int] = []
    tokens = 0
    for row, sequence in enumerate(sequences):
        length = len(sequence) - prefix
        if rows and tokens + length > room:
            yield rows
            rows, tokens = [], 0
        rows.append(row)
        tokens += length
    yield rows


def _common_prefix(sequences: Sequence[Sequence[int]]) -> tuple[int, ...]:
    # the lexicographic extremes share exactly what all sequences share
    low, high = min(map(list, sequences)), max(map(list, sequences))
    limit = min(map(len, sequences)) - 1
    length = 0
    while length < limit and low[length] == high[length]:
        length += 1
    return tuple(low[:length])
