"""Personas in vLLM's V1 model runner: it has no place for a model's state, so two of its methods are wrapped.

Imported by vLLM alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from vllm.v1.worker.gpu_model_runner import GPUModelRunner

from pasctl.vllm_plugin.persona_rows import TokenPersonas
from pasctl.vllm_plugin.wrapping import wrap


def install() -> None:
    """Wrap the methods; runners of other models do as before.

    Raises:
        AttributeError: the runner has no such methods.
    """
    wrap(GPUModelRunner, "_update_states", _following)
    wrap(GPUModelRunner, "_prepare_inputs", _preparing)


def _personas(runner: Any) -> TokenPersonas | None:
    return getattr(runner.get_model(), "personas", None)


def _following(update_states: Callable[..., Any]) -> Callable[..., Any]:
    """`_update_states`, with the rows of requests taken when they come and given back when they end."""

    def update(self: Any, scheduler_output: Any) -> Any:
        personas = _personas(self)
        if personas is None:
            return update_states(self, scheduler_output)
        for name in scheduler_output.finished_req_ids:
            personas.give_back(name)
        done = update_states(self, scheduler_output)
        for request in scheduler_output.scheduled_new_reqs:
            personas.take(request)
        return done

    return update


def _preparing(prepare_inputs: Callable[..., Any]) -> Callable[..., Any]:
    """`_prepare_inputs`, with the row of each token noted."""

    def prepare(self: Any, scheduler_output: Any, num_scheduled_tokens: Any) -> Any:
        prepared = prepare_inputs(self, scheduler_output, num_scheduled_tokens)
        personas = _personas(self)
        if personas is not None:
            personas.fill(_rows(self, personas, num_scheduled_tokens) if personas.held else None)
        return prepared

    return prepare


def _rows(runner: Any, personas: TokenPersonas, tokens: Any) -> Tensor:
    """Row of each token of the batch: those of its requests side by side, in the order of the input batch."""
    held = np.array([personas.held.get(name, (0, 0)) for name in runner.input_batch.req_ids], np.int64)
    rows, first = (torch.from_numpy(column).to(personas.slots) for column in np.repeat(held, tokens, axis=0).T.copy())
    if personas.by_answer:
        rows = torch.where(runner.positions[: len(rows)] >= first, rows, 0)
    return rows
