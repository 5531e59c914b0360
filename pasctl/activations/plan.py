"""Which tokens a run must push through the model: what sequences share once, then the rests in batches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DEFAULT_BATCH_TOKENS = 16_384
PACK_PREFIX = 256  # from this length on, copying the prefix for every row costs more than masking rows from each other
PACK_TOKENS = 512  # of the rests in one packed row; a longer row attends to more that is masked
FORKS = 64  # displacements that one pass over the prompts serves, where only the answer is steered
BRANCH_TOKENS = 256  # that sharing a longer prefix must save to be worth forward passes of its own


@dataclass(frozen=True)
class Batch:
    """Sequences that go through the model together; nothing is padded.

    Attributes:
        rows: which sequences of the plan these are: suffix by suffix, fork by fork.
        suffixes: the tokens of each behind the shared prefix; of one length unless the plan is packed. The last `forks`
            tokens of a suffix are each the last of a sequence: they stand at one position and do not see each other.
        forks: sequences that a suffix stands for.
    """

    rows: tuple[int, ...]
    suffixes: tuple[tuple[int, ...], ...]
    forks: int = 1


@dataclass(frozen=True)
class TokenPlan:
    """A node of the tree of prefixes: tokens that its sequences share behind its parent's, once, and what follows.

    Attributes:
        prefix: at least one token of every sequence stays outside it.
        batches: at most `batch_tokens` tokens each, with all that stands before counted per row.
        branches: sequences that share more.
        tokens_asked: length of all sequences together.
        packed: whether a batch is one row, its suffixes end to end, instead of a row for each.
    """

    prefix: tuple[int, ...]
    batches: tuple[Batch, ...]
    tokens_asked: int
    packed: bool = False
    branches: tuple[TokenPlan, ...] = ()
    at_once: int = DEFAULT_BATCH_TOKENS

    @property
    def tokens_run(self) -> int:
        """Tokens that go through the model: each prefix once and every suffix."""
        suffixes = sum(len(suffix) for batch in self.batches for suffix in batch.suffixes)
        return len(self.prefix) + suffixes + sum(branch.tokens_run for branch in self.branches)


def plan_tokens(
    sequences: Sequence[Sequence[int]], *, batch_tokens: int = DEFAULT_BATCH_TOKENS, own_mask: bool = False
) -> TokenPlan:
    """Plan the forward passes for `sequences` of token ids.

    The plan depends on the arguments alone, so a resumed run repeats the same batches.

    Args:
        sequences: token ids, none empty.
        batch_tokens: bound on the tokens of a batch; a longer sequence runs alone, a longer prefix in pieces.
        own_mask: whether the model takes a mask of ours. Then a long shared prefix is not repeated for each row, and
            sequences that differ in their last token alone are one row.
    """
    return _node(_stems(sequences, own_mask), 0, batch_tokens, own_mask)


@dataclass(frozen=True)
class _Stem:
    """What is read once: all but the last token of sequences that differ in it at most.

    Attributes:
        tokens: of the stem.
        lasts: the last token of each sequence.
        rows: the sequences.
    """

    tokens: tuple[int, ...]
    lasts: tuple[int, ...]
    rows: tuple[int, ...]

    @property
    def forks(self) -> int:
        """How many sequences it stands for."""
        return len(self.rows)


def _stems(sequences: Sequence[Sequence[int]], own_mask: bool) -> list[_Stem]:
    """In the order of their first sequences; without a mask of ours every sequence is its own."""
    found: defaultdict[tuple[tuple[int, ...], int], list[int]] = defaultdict(list)
    for row, sequence in enumerate(sequences):
        found[tuple(sequence[:-1]), 0 if own_mask else row].append(row)
    return [
        _Stem(tokens, tuple(sequences[row][-1] for row in rows), tuple(rows)) for (tokens, _), rows in found.items()
    ]


def _node(stems: list[_Stem], depth: int, batch_tokens: int, own_mask: bool) -> TokenPlan:
    """The plan of some stems, of which `depth` tokens are behind the model already."""
    shared = _common_prefix(stems) if sum(stem.forks for stem in stems) > 1 else depth
    by_next: defaultdict[tuple[int, ...], list[_Stem]] = defaultdict(list)
    for stem in stems:
        by_next[stem.tokens[shared : shared + 1]].append(stem)
    branches = [
        members
        for members in by_next.values()
        if 1 < len(members) < len(stems) and (len(members) - 1) * (_common_prefix(members) - shared) >= BRANCH_TOKENS
    ]
    apart = {stem.rows for members in branches for stem in members}
    rest = [stem for stem in stems if stem.rows not in apart]
    packed = own_mask and shared >= PACK_PREFIX
    groups = _packed_rows(rest, shared, batch_tokens) if packed else _equal_rows(rest, batch_tokens)
    return TokenPlan(
        stems[0].tokens[depth:shared] if stems else (),
        tuple(_batch(group, shared) for group in groups),
        sum((len(stem.tokens) + 1) * stem.forks for stem in stems),
        packed,
        tuple(_node(members, shared, batch_tokens, own_mask) for members in branches),
        batch_tokens,
    )


def _equal_rows(stems: list[_Stem], batch_tokens: int) -> Iterator[list[_Stem]]:
    """Batches of stems of one length with equally many forks."""
    alike: defaultdict[tuple[int, int], list[_Stem]] = defaultdict(list)
    for stem in stems:
        alike[len(stem.tokens), stem.forks].append(stem)
    for (length, forks), group in sorted(alike.items()):
        size = max(1, batch_tokens // (length + forks))
        yield from (group[start : start + size] for start in range(0, len(group), size))


def _packed_rows(stems: list[_Stem], shared: int, batch_tokens: int) -> Iterator[list[_Stem]]:
    """Batches of stems with equally many forks, so many that they make one row."""
    room = min(PACK_TOKENS, max(1, batch_tokens - shared))
    by_forks: defaultdict[int, list[_Stem]] = defaultdict(list)
    for stem in stems:
        by_forks[stem.forks].append(stem)
    for forks, group in sorted(by_forks.items()):
        row: list[_Stem] = []
        tokens = 0
        for stem in group:
            width = len(stem.tokens) - shared + forks
            if row and tokens + width > room:
                yield row
                row, tokens = [], 0
            row.append(stem)
            tokens += width
        yield row


def _batch(group: list[_Stem], shared: int) -> Batch:
    return Batch(
        tuple(row for stem in group for row in stem.rows),
        tuple((*stem.tokens[shared:], *stem.lasts) for stem in group),
        group[0].forks,
    )


def _common_prefix(stems: Sequence[_Stem]) -> int:
    """How many tokens all stems have in common."""
    # the lexicographic extremes share exactly what all share
    low, high = min(stem.tokens for stem in stems), max(stem.tokens for stem in stems)
    length = 0
    while length < len(low) and length < len(high) and low[length] == high[length]:
        length += 1
    return length
