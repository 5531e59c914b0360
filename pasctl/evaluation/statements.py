"""Log-probabilities of statements as the model's own words: what it says of itself, with no letters in between.

A statement is the assistant's whole reply to a self-report prompt. What all statements of a prompt have in common is
read once: the prompt, and the tokens that every statement begins with. A statement's last token is never read, since
nothing stands behind it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Cache

from pasctl.activations.forward import RowLayout
from pasctl.activations.plan import PACK_PREFIX, PACK_TOKENS
from pasctl.errors import InputError
from pasctl.models.footprint import LOGITS_BYTES, Footprint, require_room
from pasctl.models.kv_cache import SharedPrefix, behind, cache_behind
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

Ids = tuple[int, ...]

_FEWEST = 64  # tokens of a pass, below which a memory limit is not kept by smaller passes


@dataclass(frozen=True, eq=False)
class StatementScores:
    """What a model makes of N statements behind M prompts under U interventions.

    Attributes:
        logprobs: float32 [U, M, N, T], log-probability of each token of a statement in the whole vocabulary, behind
            the prompt and the tokens before it; NaN behind the end of shorter statements.
        tokens_asked: length of every statement behind every prompt, prompts included, once for each intervention.
        tokens_run: tokens that went through the model.
    """

    logprobs: NDArray[np.float32]
    tokens_asked: int
    tokens_run: int

    @property
    def totals(self) -> NDArray[np.float64]:
        """Log-probability of each whole statement, float64 [U, M, N]."""
        return statement_totals(self.logprobs)


def statement_totals(logprobs: NDArray[np.float32]) -> NDArray[np.float64]:
    """Log-probabilities [..., T] of whole statements, in nats, from their tokens', padded with NaN."""
    totals: NDArray[np.float64] = np.nansum(logprobs, axis=-1, dtype=np.float64)
    return totals


@dataclass(frozen=True)
class StatementPlan:
    """Which tokens are read, and in which passes.

    Attributes:
        prompts: M prompts, token ids.
        statements: N statements, token ids.
        shared: tokens that all prompts begin with, read once; the last token of a prompt is never among them.
        common: tokens that all statements begin with, read once for each prompt.
        batches: the statements of each pass; all of one have the same length, unless the plan is packed.
        packed: whether the statements of a pass stand end to end in one row, and do not see each other.
        at_once: tokens of the shared prefix that go through the model together.
    """

    prompts: tuple[Ids, ...]
    statements: tuple[Ids, ...]
    shared: Ids
    common: Ids
    batches: tuple[tuple[int, ...], ...]
    packed: bool
    at_once: int

    @property
    def tokens_asked(self) -> int:
        """Length of every statement behind every prompt, prompts included."""
        return len(self.statements) * sum(map(len, self.prompts)) + len(self.prompts) * sum(map(len, self.statements))

    @property
    def tokens_run(self) -> int:
        """Tokens that go through the model, for one intervention."""
        own = sum(len(statement) - 1 - len(self.common) for statement in self.statements)
        rests = sum(len(prompt) - len(self.shared) for prompt in self.prompts)
        return len(self.shared) + rests + len(self.prompts) * (len(self.common) + own)


def plan_statements(
    prompts: Sequence[Sequence[int]],
    statements: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
    footprint: Footprint | None = None,
    own_mask: bool = False,
) -> StatementPlan:
    """Plan the passes for statements behind prompts; it depends on the arguments alone.

    Args:
        prompts: token ids that end where the reply begins, none empty.
        statements: token ids, none empty.
        batch_tokens: bound on the tokens of a pass, what stands before them counted per row.
        footprint: of the model; passes keep to its memory limit.
        own_mask: whether the model takes a mask of ours. Then a long prompt is not repeated for each statement.

    Raises:
        InputError: there is nothing to score, or the memory limit is too low even for small passes.
    """
    if not prompts or not statements or not all(map(len, [*prompts, *statements])):
        raise InputError(f"statements: expected tokens, found {len(statements)} statements and {len(prompts)} prompts")
    told, said = tuple(map(tuple, prompts)), tuple(map(tuple, statements))
    shared = told[0][: min(_alike(told), min(map(len, told)) - 1)]
    common = said[0][: min(_alike(said), min(map(len, said)) - 1)]
    longest = max(map(len, told)) + len(common)
    packed = own_mask and longest >= PACK_PREFIX
    while True:
        cut = _packed_rows if packed else _equal_rows
        plan = StatementPlan(
            told, said, shared, common, tuple(cut(said, len(common), longest, batch_tokens)), packed, batch_tokens
        )
        needed = _bytes(footprint, plan) if footprint else 0
        if footprint is None or footprint.limit is None or needed <= footprint.limit:
            return plan
        if batch_tokens <= _FEWEST:
            require_room(footprint, needed)
        batch_tokens = max(_FEWEST, batch_tokens // 2)


def plan_bytes(footprint: Footprint, plan: StatementPlan) -> int:
    """Bytes at the most while a plan runs, or while the weights are loaded."""
    return max(footprint.loading, _bytes(footprint, plan))


def score_statements(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    statements: Sequence[Sequence[int]],
    *,
    batch_tokens: int,
    interventions: Sequence[Intervention | None] = (None,),
    positions: str = "all",
) -> StatementScores:
    """Score statements as replies to prompts (design section 6).

    Args:
        model: the loaded model.
        prompts: token ids that end where the reply begins.
        statements: token ids of what is said.
        batch_tokens: bound on the tokens of a pass, what stands before them counted per row.
        interventions: steering while all of it is read, each of one row; None leaves the model as it is.
        positions: where it is applied: every position, or from the answer position on: the prompt's last token and
            the statement.

    Raises:
        InputError: as `plan_statements`.
    """
    plan = plan_statements(
        prompts, statements, batch_tokens=batch_tokens, footprint=model.footprint, own_mask=model.takes_masks
    )
    shape = (len(prompts), len(statements), max(map(len, statements)))
    logprobs = np.full((len(interventions), *shape), np.nan, np.float32)
    for values, intervention in zip(logprobs, interventions, strict=True):
        _Run(model, plan, intervention, positions).fill(values)
    count = len(interventions)
    return StatementScores(logprobs, count * plan.tokens_asked, count * plan.tokens_run)


class _Run:
    """One plan under one intervention."""

    def __init__(
        self, model: LoadedModel, plan: StatementPlan, intervention: Intervention | None, positions: str
    ) -> None:
        self._model, self._plan = model, plan
        self._moved = intervention
        self._before_answer = intervention if positions == "all" else None

    @torch.inference_mode()
    def fill(self, values: NDArray[np.float32]) -> None:
        """Write the log-probabilities [M, N, T] of every token."""
        plan = self._plan
        with steer(self._model, self._before_answer):
            first = self._read(plan.shared, None, len(plan.shared)) if plan.shared else None
        for place, prompt in enumerate(plan.prompts):
            rest, start = prompt[len(plan.shared) :], (*prompt[-1:], *plan.common)
            with steer(self._model, self._before_answer):
                cache = self._read(rest[:-1], first, len(prompt) + len(plan.common))
            with self._steered():
                ids = torch.tensor([start], device=self._model.device)
                output = self._model.backbone(ids, **behind(self._model, cache))
            self._score(values[place], cache, output.last_hidden_state[0])

    def _steered(self) -> AbstractContextManager[None]:
        return steer(self._model, self._moved)

    def _read(self, ids: Ids, before: Cache | None, room: int) -> Cache:
        """A cache of what stands before and these tokens, with room for `room` in all."""
        cache = cache_behind(self._model, room, before)
        for start in range(0, len(ids), self._plan.at_once):
            piece = torch.tensor([ids[start : start + self._plan.at_once]], device=self._model.device)
            self._model.backbone(piece, **behind(self._model, cache))
        return cache

    def _score(self, values: NDArray[np.float32], cache: Cache, start: Tensor) -> None:
        """Write [N, T] of one prompt, from its cache and hidden states [1 + common, hidden] of what was read last."""
        plan, depth = self._plan, len(self._plan.common)
        if depth:
            values[:, :depth] = self._logprobs(start[:-1], torch.tensor(plan.common)[:, None])[:, 0]
        own = torch.tensor([[statement[depth] for statement in plan.statements]])
        values[:, depth] = self._logprobs(start[-1:], own)[0]
        for rows in plan.batches:
            said = [plan.statements[row][depth:] for row in rows]
            wanted = torch.tensor([token for statement in said for token in statement[1:]])
            found = iter(self._logprobs(self._hidden(said, cache), wanted[:, None])[:, 0])
            for row, statement in zip(rows, said, strict=True):
                values[row, depth + 1 : depth + len(statement)] = list(islice(found, len(statement) - 1))

    def _hidden(self, said: Sequence[Ids], cache: Cache) -> Tensor:
        """Hidden states behind the cache of all tokens but each statement's last, end to end [n, hidden]."""
        read, device = [statement[:-1] for statement in said], self._model.device
        if self._plan.packed:
            ids = torch.tensor([[token for each in read for token in each]], device=device)
            layout = RowLayout([len(each) for each in read], 1, int(cache.get_seq_length()), device)
            placed = layout.arguments(self._model.model.dtype)
        else:
            ids, placed = torch.tensor(read, device=device), {}
        with self._steered():
            past = SharedPrefix(cache, len(ids))
            output = self._model.backbone(ids, **behind(self._model, past), **placed)
        return output.last_hidden_state.flatten(0, 1)  # type: ignore[no-any-return]

    def _logprobs(self, hidden: Tensor, ids: Tensor) -> NDArray[np.float32]:
        """Log-probabilities float32 [n, k] of k tokens behind each of n hidden states [n, hidden]."""
        at_once = max(1, LOGITS_BYTES // (4 * self._model.vocabulary))
        tiles = []
        for start in range(0, len(hidden), at_once):
            tile, wanted = hidden[start : start + at_once], ids[start : start + at_once].to(hidden.device)
            # in float32, as the letters: a bfloat16 logit near 20 is known to 1/8 only, and a statement has several
            chosen, logits = self._model.token_logits(tile, wanted), self._model.logits(tile)
            logits.scatter_(-1, wanted.to(logits.device), chosen)
            tiles.append((chosen - torch.logsumexp(logits, dim=-1, keepdim=True)).cpu())
        found: NDArray[np.float32] = torch.cat(tiles).numpy()
        return found


def _equal_rows(statements: Sequence[Ids], common: int, before: int, batch_tokens: int) -> Iterator[tuple[int, ...]]:
    """Statements of one length, as many as `batch_tokens` allow; none that have nothing of their own to be read."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for place, statement in enumerate(statements):
        alike[len(statement) - 1 - common].append(place)
    for width, places in sorted(alike.items()):
        size = max(1, batch_tokens // (before + width))
        if width:
            yield from (tuple(places[start : start + size]) for start in range(0, len(places), size))


def _packed_rows(statements: Sequence[Ids], common: int, before: int, batch_tokens: int) -> Iterator[tuple[int, ...]]:
    """Statements that make one row together, in their order; none that have nothing of their own to be read."""
    room = min(PACK_TOKENS, max(1, batch_tokens - before))
    row: list[int] = []
    tokens = 0
    for place, statement in enumerate(statements):
        width = len(statement) - 1 - common
        if row and tokens + width > room:
            yield tuple(row)
            row, tokens = [], 0
        if width:
            row.append(place)
            tokens += width
    if row:
        yield tuple(row)


def _bytes(footprint: Footprint, plan: StatementPlan) -> int:
    """Bytes while the passes run, the model and the prompt's keys and values included."""
    before = max(map(len, plan.prompts)) + len(plan.common)
    needs = [footprint.forward(1, before, 0)]
    for rows in plan.batches:
        widths = [len(plan.statements[row]) - 1 - len(plan.common) for row in rows]
        shape = (1, sum(widths)) if plan.packed else (len(rows), widths[0])
        needs.append(footprint.forward(*shape, before) + footprint.logits(sum(widths)))
    return footprint.resting + 2 * footprint.keys_and_values(before) + max(needs)


def _alike(sequences: Sequence[Ids]) -> int:
    """How many tokens all begin with."""
    low, high = min(sequences), max(sequences)  # the extremes share exactly what all share
    pairs = zip(low, high, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(low), len(high)))
