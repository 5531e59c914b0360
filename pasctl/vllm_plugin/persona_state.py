"""Personas in vLLM's V2 model runner, which asks a model for its state. Imported by vLLM alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from vllm.v1.worker.gpu.model_states.default import DefaultModelState

from pasctl.vllm_plugin.persona_rows import TokenPersonas


class PersonaModelState(DefaultModelState):
    """vLLM's default state, which also notes the row of each token."""

    def __init__(self, vllm_config: Any, model: nn.Module, encoder_cache: Any, device: torch.device) -> None:
        super().__init__(vllm_config, model, encoder_cache, device)
        personas: Any = model.personas
        self.personas: TokenPersonas = personas
        self._numbers = torch.arange(self.max_num_tokens, dtype=torch.int32, device=device)
        # by the runner's index of a request; the last is that of padding
        self._row_of = torch.zeros(self.max_num_reqs + 1, dtype=torch.int64, device=device)
        self._first_of = torch.zeros_like(self._row_of)

    def add_request(self, req_index: int, new_req_data: Any) -> None:
        """Note the row of a request; the index may have been another's."""
        super().add_request(req_index, new_req_data)
        self._row_of[req_index], self._first_of[req_index] = self.personas.take(new_req_data)

    def remove_request(self, req_id: str) -> None:
        """Give the row back."""
        super().remove_request(req_id)
        self.personas.give_back(req_id)

    def prepare_inputs(self, input_batch: Any, req_states: Any) -> dict[str, Any]:
        """Note the row of each token of the batch that comes."""
        self.personas.fill(self._rows(input_batch) if self.personas.held else None)
        inputs: dict[str, Any] = super().prepare_inputs(input_batch, req_states)
        return inputs

    def _rows(self, batch: Any) -> Tensor:
        """Row of each token and of padding, on the device: the runner may know a request's tokens only there."""
        tokens, requests = batch.num_tokens_after_padding, batch.num_reqs
        ends = batch.query_start_loc[1 : requests + 1]
        place = torch.searchsorted(ends, self._numbers[:tokens], right=True)  # `requests` beyond the last
        padding = self._row_of.new_full((1,), self.max_num_reqs)
        request = torch.cat([batch.idx_mapping[:requests].to(padding), padding])[place]
        rows = self._row_of[request]
        if self.personas.by_answer:
            rows = torch.where(batch.positions[:tokens] >= self._first_of[request], rows, 0)
        return rows
