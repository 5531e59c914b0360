"""Apply an intervention to a model for the length of a `with` block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel
from pasctl.models.projection import output_shift
from pasctl.models.sites import RESIDUAL
from pasctl.steering.answer_places import AnswerPlaces
from pasctl.steering.intervention import Intervention

POSITIONS = ("all", "answer")


@contextmanager
def steer(
    model: LoadedModel,
    intervention: Intervention | None,
    *,
    positions: str | Tensor = "all",
    rows: Tensor | None = None,
) -> Iterator[None]:
    """Displace every site of an intervention while the block runs; the hooks go whatever happens in it.

    Heads are displaced by W_o d after o_proj: this equals adding d to its input, since o_proj is affine. The residual
    stream is displaced by d itself behind its layer.

    Args:
        model: the model to steer; it is left as it was when the block ends.
        intervention: what to add; None steers nothing.
        positions: "all" positions, as the paper does, or "answer": only the last position of each forward pass, in
            each row the last that the attention mask says is no padding. That is the answer position when the pass
            ends with the prompt, and every generated token after it. A tensor of ints [S]: these positions of each
            forward pass.
        rows: int [B, S], which row of the intervention displaces each of these positions; by default each row of the
            batch has its own, or all have the only one.

    Raises:
        InputError: unknown positions, or a batch whose size is not the intervention's row count; or, with "answer", a
            batch that may be padded and no attention mask that says where.
    """
    if isinstance(positions, str) and positions not in POSITIONS:
        raise InputError(f"positions {positions!r} is unknown, expected one of {', '.join(POSITIONS)}")
    handles: list[RemovableHandle] = []
    try:
        if intervention is not None:
            places = None
            if isinstance(positions, str) and positions == "answer":
                places = AnswerPlaces(model.backbone, _padding(model))
                handles.append(model.backbone.register_forward_pre_hook(places.read, with_kwargs=True))
            modules = model.outputs(intervention.kind)
            for place, displacement in intervention.displacements.items():
                module = modules[place]
                delta = displacement if intervention.kind == RESIDUAL else output_shift(module, displacement)
                handles.append(module.register_forward_hook(_adder(delta, places or positions, rows)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _padding(model: LoadedModel) -> frozenset[int]:
    """Tokens that batches are usually padded with; 0 is what harnesses take where a tokenizer names none."""
    named = (model.tokenizer.pad_token_id, model.tokenizer.eos_token_id, getattr(model.config, "pad_token_id", 0))
    return frozenset({0, *(token for token in named if isinstance(token, int))})


def _adder(delta: Tensor, positions: str | Tensor | AnswerPlaces, rows: Tensor | None) -> Any:
    """A forward hook that adds delta [R, hidden] to an output [B, T, hidden], which may stand first in a tuple."""

    def hook(module: nn.Module, args: tuple[Any, ...], given: Any) -> Any:
        output: Tensor = given if isinstance(given, Tensor) else given[0]
        moved = delta.to(device=output.device, dtype=output.dtype)
        if rows is not None:
            moved = moved[rows.to(output.device)]
        elif len(delta) in (1, len(output)):
            moved = moved[:, None, :]
        else:
            raise InputError(f"the intervention has {len(delta)} rows, the batch has {len(output)}")
        steered = output.clone()
        if isinstance(positions, AnswerPlaces):
            batch, last = torch.arange(len(output), device=output.device), positions.last_of(output)
            steered[batch, last.clamp(min=0)] += moved[:, -1] * (last >= 0)[:, None]
        else:
            steered[:, slice(None) if isinstance(positions, str) else positions] += moved
        return steered if isinstance(given, Tensor) else (steered, *given[1:])

    return hook
