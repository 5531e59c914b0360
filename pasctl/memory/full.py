"""Full attention with the model's own attention and cache: what an episodic memory is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pasctl.memory.prompt import end_tokens
from pasctl.memory.surprise import token_surprise
from pasctl.models.load import LoadedModel


class FullAttention:
    """A text read with every key kept and attended; asking changes the cache, so a text is asked once.

    Attributes:
        ids: token ids read.
        surprise: -log p of each token given those before it, float32 [T]; 0 for the very first.
    """

    def __init__(self, model: LoadedModel, chunk: int = 512) -> None:
        self.model, self._chunk = model, chunk
        self.ids: list[int] = []
        self.surprise = torch.zeros(1)
        self._cache = DynamicCache(config=model.model.config)
        self._last: Tensor | None = None

    @torch.inference_mode()
    def read_ids(self, ids: Sequence[int], *, on_pass: Callable[[int], None] | None = None) -> None:
        """Read token ids, and measure how surprising they are."""
        for start in range(0, len(ids), self._chunk):
            piece = list(ids[start : start + self._chunk])
            hidden = self._forward(piece)
            states = hidden[:-1] if self._last is None else torch.cat([self._last, hidden[:-1]])
            targets = torch.tensor(piece[len(piece) - len(states) :], device=states.device)
            if len(targets):
                found = token_surprise(states, targets, self.model.tile_logits, self.model.vocabulary)
                self.surprise = torch.cat([self.surprise, found.float().cpu()])
            self._last = hidden[-1:]
            self.ids += piece
            if on_pass is not None:
                on_pass(len(piece))

    @torch.inference_mode()
    def answer_ids(self, question: Sequence[int], max_new_tokens: int) -> list[int]:
        """The most likely answer, token by token."""
        hidden, ends, found = self._forward(list(question)), end_tokens(self.model), list[int]()
        while len(found) < max_new_tokens:
            token = int(self.model.logits(hidden[-1:]).argmax())
            if token in ends:
                break
            found.append(token)
            hidden = self._forward([token])
        return found

    def _forward(self, ids: list[int]) -> Tensor:
        """Last hidden states [C, hidden]."""
        given = torch.tensor([ids], device=self.model.device)
        out: Any = self.model.backbone(input_ids=given, past_key_values=self._cache, use_cache=True)
        hidden: Tensor = out.last_hidden_state[0]
        return hidden
