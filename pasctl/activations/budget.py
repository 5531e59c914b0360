"""A plan that keeps to a memory limit, and what a plan takes."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.activations.plan import TokenPlan, plan_tokens
from pasctl.models.footprint import Footprint, require_room

FEWEST = 64  # tokens of a pass; smaller ones save next to nothing and take for ever


def plan_within(
    footprint: Footprint, sequences: Sequence[Sequence[int]], *, batch_tokens: int, own_mask: bool
) -> TokenPlan:
    """The forward passes for `sequences`, in batches as large as `batch_tokens` and the memory limit allow.

    The plan depends on the arguments alone, so a resumed run repeats the same batches.

    Raises:
        InputError: the limit is too low even for small batches.
    """
    while True:
        plan = plan_tokens(sequences, batch_tokens=batch_tokens, own_mask=own_mask)
        needed = plan_bytes(footprint, plan)
        if footprint.limit is None or needed <= footprint.limit:
            return plan
        if batch_tokens <= FEWEST:
            require_room(footprint, needed)
        batch_tokens = max(FEWEST, batch_tokens // 2)


def plan_bytes(footprint: Footprint, plan: TokenPlan) -> int:
    """Bytes at the most while a plan runs and its answers' logits are read, or while the weights are loaded."""
    return max(footprint.loading, footprint.resting + _node(footprint, plan, 0))


def _node(footprint: Footprint, plan: TokenPlan, before: int) -> int:
    """Bytes of a node beside what its parents hold; a prefix is held while all behind it runs."""
    stands = before + len(plan.prefix)
    reading = footprint.forward(1, min(len(plan.prefix), plan.at_once), before) if plan.prefix else 0
    needs = [reading]
    for batch in plan.batches:
        widths = [len(suffix) for suffix in batch.suffixes]
        rows, tokens = (1, sum(widths)) if plan.packed else (len(widths), widths[0])
        needs.append(footprint.forward(rows, tokens, stands) + footprint.logits(len(batch.rows)))
    needs += [_node(footprint, branch, stands) for branch in plan.branches]
    return (footprint.keys_and_values(stands) if plan.prefix else 0) + max(needs)
