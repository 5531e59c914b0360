"""Run a token plan through a model's decoder layers, steered or not; lm_head is not touched."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from transformers import Cache

from pasctl.activations.capture import LAST, HeadOutputs
from pasctl.activations.plan import Batch, TokenPlan
from pasctl.models.kv_cache import SharedPrefix, behind, cache_behind
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention

Consume = Callable[[Batch, Tensor], None]


@torch.inference_mode()
def run_plan(
    model: LoadedModel,
    plan: TokenPlan,
    consume: Consume,
    *,
    intervention: Intervention | None = None,
    positions: str = "all",
    of_row: Sequence[int] | None = None,
    record: HeadOutputs | None = None,
) -> None:
    """Push every batch through the model and hand on the last positions' hidden states.

    Args:
        model: the loaded model.
        plan: from `plan_tokens`; each prefix runs once and its keys and values are reused by all that stands behind it.
        consume: called with each batch and hidden states [rows, hidden] of its sequences' last tokens, after the final
            norm.
        intervention: applied while the plan runs; of one row, unless `of_row` says which row is whose.
        positions: "all", or "answer": the last token of every sequence only, which leaves everything else unsteered.
        of_row: for each sequence of the plan, the intervention's row; only where the answer alone is steered.
        record: takes the head outputs of the same last tokens before each call of `consume`.
    """
    everywhere = intervention if positions == "all" else None
    at_answer = _AtAnswer(intervention, of_row) if positions == "answer" and intervention is not None else None
    with steer(model, everywhere):
        _run_node(model, plan, None, consume, at_answer, record)


class _AtAnswer:
    """What displaces the last tokens of a batch, and which row of it is whose."""

    def __init__(self, intervention: Intervention, of_row: Sequence[int] | None) -> None:
        self.intervention = intervention
        self._of_row = of_row

    def rows(self, batch: Batch, rows: int) -> Tensor | None:
        """Int [rows of the batch, last tokens in each]; None where there is only one displacement."""
        if self._of_row is None:
            return None
        return torch.tensor([self._of_row[row] for row in batch.rows]).view(rows, -1)


def _run_node(
    model: LoadedModel,
    plan: TokenPlan,
    before: Cache | None,
    consume: Consume,
    at_answer: _AtAnswer | None,
    record: HeadOutputs | None,
) -> None:
    if record is not None:
        record.positions = LAST
    prefix = _read_prefix(model, plan, before)
    for batch in plan.batches:
        ids, layout = _layout(batch, packed=plan.packed, begins=_length(prefix), device=model.device)
        if record is not None:
            record.positions = layout.last
        steered = at_answer.intervention if at_answer else None
        rows = at_answer.rows(batch, len(ids)) if at_answer else None
        past = None if prefix is None else SharedPrefix(prefix, len(ids))
        with steer(model, steered, positions=layout.last, rows=rows):
            output = model.backbone(ids, **behind(model, past), **layout.arguments(model.model.dtype))
        consume(batch, output.last_hidden_state[:, layout.last].flatten(0, 1))
    for branch in plan.branches:
        _run_node(model, branch, prefix, consume, at_answer, record)


class RowLayout:
    """Where the tokens of a row stand and what they see: its suffixes end to end, each with its forks at the end.

    Attributes:
        last: places of the sequences' last tokens within a row, int [S].
    """

    def __init__(self, lengths: list[int], forks: int, begins: int, device: str) -> None:
        ends = torch.tensor(lengths, device=device).cumsum(0)
        starts = ends - torch.tensor(lengths, device=device)
        owner = torch.repeat_interleave(torch.arange(len(lengths), device=device), torch.tensor(lengths, device=device))
        place = torch.arange(int(ends[-1]), device=device)
        stem = place < ends[owner] - forks  # the others are forks
        self.last = (ends[:, None] - forks + torch.arange(forks, device=device)).flatten()
        self._plain = len(lengths) == 1 and forks == 1
        self._begins = begins
        # every suffix continues the prefix, and all forks of a stem stand right behind it
        self._positions = begins + torch.minimum(place - starts[owner], ends[owner] - forks - starts[owner])
        self._owner, self._place, self._stem = owner, place, stem

    def arguments(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """Positions and mask for the model; nothing where its own causal mask is right."""
        if self._plain:
            return {}
        owner, place, count = self._owner, self._place, len(self._place)
        seen = self._stem[None, :] & (place[None, :] <= place[:, None]) | (place[:, None] == place[None, :])
        seen &= owner[:, None] == owner[None, :]
        mask = torch.zeros(1, 1, count, self._begins + count, dtype=dtype, device=seen.device)
        mask[0, 0, :, self._begins :].masked_fill_(~seen, torch.finfo(dtype).min)
        return {"position_ids": self._positions[None], "attention_mask": mask}


def _layout(batch: Batch, *, packed: bool, begins: int, device: str) -> tuple[Tensor, RowLayout]:
    """Token ids [rows, T] and how a row is laid out: all suffixes in one, or one each."""
    if packed:
        ids = [[token for suffix in batch.suffixes for token in suffix]]
        lengths = [len(suffix) for suffix in batch.suffixes]
    else:
        ids = [list(suffix) for suffix in batch.suffixes]
        lengths = [len(ids[0])]
    return torch.tensor(ids, device=device), RowLayout(lengths, batch.forks, begins, device)


def _read_prefix(model: LoadedModel, plan: TokenPlan, before: Cache | None) -> Cache | None:
    """Keys and values of a plan's prefix and all that stands before it, batch 1; None without any."""
    if not plan.prefix:
        return before
    cache = cache_behind(model, _length(before) + len(plan.prefix), before)
    for start in range(0, len(plan.prefix), plan.at_once):
        ids = torch.tensor([plan.prefix[start : start + plan.at_once]], device=model.device)
        model.backbone(ids, **behind(model, cache))
    return cache


def _length(cache: Cache | None) -> int:
    return 0 if cache is None else int(cache.get_seq_length())
