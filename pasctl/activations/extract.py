"""Head outputs of whole token sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.activations.budget import plan_within
from pasctl.activations.capture import capture
from pasctl.activations.forward import run_plan
from pasctl.activations.plan import Batch
from pasctl.models.device import torch_dtype
from pasctl.models.load import LoadedModel
from pasctl.models.sites import HEADS


@dataclass(frozen=True, eq=False)
class Extracted:
    """Head outputs [N, L, H, D] in the model's dtype, with the count of the work."""

    head_outputs: Tensor
    tokens_asked: int
    tokens_run: int


def extract_head_outputs(
    model: LoadedModel, sequences: Sequence[Sequence[int]], *, batch_tokens: int, kind: str = HEADS
) -> Extracted:
    """Read what is at the sites of a kind at the last token of each of N sequences; lm_head is never run."""
    plan = plan_within(model.footprint, sequences, batch_tokens=batch_tokens, own_mask=model.takes_masks)
    geometry = model.geometry.at(kind)
    shape = (len(sequences), geometry.layers, geometry.heads, geometry.head_dim)
    out = torch.empty(shape, dtype=torch_dtype(model.dtype))
    with capture(model, kind=kind) as record:

        def consume(batch: Batch, hidden: Tensor) -> None:
            out[list(batch.rows)] = record.take()

        run_plan(model, plan, consume, record=record)
    return Extracted(out, plan.tokens_asked, plan.tokens_run)
