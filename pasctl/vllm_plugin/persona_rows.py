"""What is added to which tokens: rows of combined vectors, and the row of each token of a batch.

Everything the compiled model reads is in buffers that keep their place, so that CUDA graphs can be replayed: `values`
has the vectors of the requests that run, `slots` the row of each token. Imported by vLLM alone.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from vllm.model_executor.models.utils import extract_layer_index

from pasctl.vllm_plugin.persona_request import PERSONA, RESOLVED, RequestSteering
from pasctl.vllm_plugin.persona_table import PersonaFolder

_NOTHING = -0.0  # x + -0.0 is x to the bit, of every x; 0.0 would make 0.0 of -0.0
_log = logging.getLogger(__name__)


class PersonaRows:
    """The combined vectors of requests, [layers, 1 + capacity, hidden], computed once for requests that are alike.

    Row 0 adds nothing. A row is given to other vectors only when no request that runs has it.

    Attributes:
        layers: the model's numbers of the layers that this process has.
        values: the buffer, in the model's dtype.
    """

    def __init__(self, folder: PersonaFolder, layers: list[int], values: Tensor) -> None:
        self.folder, self.layers, self.values = folder, layers, values
        values.fill_(_NOTHING)
        self._free = list(range(1, values.shape[1]))
        self._rows: OrderedDict[tuple[tuple[str, float], ...], int] = OrderedDict()
        self._users: dict[int, int] = {}

    def take(self, parts: tuple[tuple[str, float], ...]) -> int:
        """The row of such vectors, which stays theirs until it is given back as often as it was taken."""
        row = self._rows.get(parts)
        if row is None:
            row = self._free.pop() if self._free else self._reuse()
            self.values[:, row] = self._combine(parts)
            self._rows[parts] = row
        self._rows.move_to_end(parts)
        self._users[row] = self._users.get(row, 0) + 1
        return row

    def give_back(self, row: int) -> None:
        """One request less has the row."""
        self._users[row] -= 1

    def _reuse(self) -> int:
        """The row that was not asked for longest, of those that no request has."""
        parts = next(parts for parts, row in self._rows.items() if not self._users[row])
        return self._rows.pop(parts)

    def _combine(self, parts: tuple[tuple[str, float], ...]) -> Tensor:
        """The weighted sum of personas' vectors; NaN where one of them is gone, and never the base model's answer."""
        total = torch.zeros(len(self.layers), self.values.shape[-1])
        for digest, weight in parts:
            vectors = self.folder.vectors(digest)
            if vectors is None:
                _log.error("the persona of a request was removed before the request was run; its answer is NaN")
                return torch.full_like(total, math.nan).to(self.values)
            total += weight * torch.from_numpy(vectors)[self.layers]
        return total.to(self.values)


class TokenPersonas:
    """The personas of a model's requests, and of the tokens of the batch that comes.

    What is added comes after the sum over tensor parallel ranks, so that it enters once.

    Attributes:
        rows: the vectors.
        slots: int64 [most tokens of a batch], the row of each token.
        held: request -> its row, and the first position that is steered; requests without a persona are not in it.
    """

    def __init__(self, vllm_config: Any, model: nn.Module) -> None:
        """Put buffers into a model that was built and not loaded yet.

        Raises:
            InputError: a table is damaged, or another model's.
            ValueError: a model that is built on no device.
        """
        config, scheduling = vllm_config.model_config, vllm_config.scheduler_config
        attentions = [(name, module) for name, module in model.named_modules() if hasattr(module, "o_proj")]
        layers, hidden = [extract_layer_index(name) for name, _ in attentions], config.get_hidden_size()
        folder = PersonaFolder(Path(config.model), (config.hf_text_config.num_hidden_layers, hidden))
        folder.refresh()
        values = torch.empty(len(layers), 1 + scheduling.max_num_seqs, hidden, dtype=config.dtype)
        if values.is_meta:
            raise ValueError("a persona per request does not run with a loader that builds the model without a device")
        self.rows = PersonaRows(folder, layers, values)
        self.slots = torch.zeros(scheduling.max_num_batched_tokens, dtype=torch.int64)
        self.held: dict[str, tuple[int, int]] = {}
        self.clear = True
        for place, (_, attention) in enumerate(attentions):
            attention.register_buffer("persona_rows", values[place], persistent=False)
            attention.register_buffer("persona_slots", self.slots, persistent=False)
            attention.register_forward_hook(_add)

    def take(self, request: Any) -> tuple[int, int]:
        """The row of a request that vLLM's scheduler gives for the first time, and its first steered position.

        Raises:
            RuntimeError: it has a persona that was not looked up.
        """
        self.give_back(request.req_id)
        params = request.sampling_params
        said = (params.extra_args if params is not None else None) or {}
        if RESOLVED not in said:
            if PERSONA in said:
                raise RuntimeError(f"a request with persona {said[PERSONA]!r} came past pasctl's check of requests")
            return 0, 0
        steering = RequestSteering.of_document(said[RESOLVED])
        self.held[request.req_id] = self.rows.take(steering.parts), steering.first(request.prompt_len)
        return self.held[request.req_id]

    def give_back(self, name: str) -> None:
        """A request has ended."""
        if name in self.held:
            self.rows.give_back(self.held.pop(name)[0])

    @property
    def by_answer(self) -> bool:
        """Whether a request is steered from its answer on."""
        return any(first for _, first in self.held.values())

    def fill(self, rows: Tensor | None) -> None:
        """Note the rows of the tokens of the batch that comes, [tokens]; None if no request has a persona."""
        if rows is None and self.clear:
            return
        count = 0 if rows is None else len(rows)
        if rows is not None:
            self.slots[:count] = rows
        self.slots[count:] = 0
        self.clear = rows is None


def _add(attention: nn.Module, args: Any, output: Tensor) -> Tensor:
    """Add to each token's output [tokens, hidden] its row."""
    rows: Any = attention.persona_rows
    slots: Any = attention.persona_slots
    moved: Tensor = output + rows[slots[: output.shape[0]]]
    return moved
