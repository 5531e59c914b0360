"""Full attention with the model's own attention and cache: what an episodic memory is compared with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.text_state import PlainTextState
from pasctl.memory.surprise import token_surprise
from pasctl.models.kv_cache import behind
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
                model = self.model
                surprise = token_surprise(states, targets, model.tile_logits, model.vocabulary, model.vocabulary_tile)
                self.surprise = torch.cat([self.surprise, surprise.float().cpu()])
            self._last = hidden[-1:]
            self.ids += piece
            if on_pass is not None:
                on_pass(len(piece))

    def answer(self, question: Sequence[int], max_new_tokens: int) -> str:
        """The most likely answer."""
        how = SamplingParams(max_new_tokens=max_new_tokens)
        [stream] = generate(self.model, [Request(question, how, memory=self, strip=True)])
        return stream.written

    @property
    def intervention(self) -> None:
        """Nothing steers it."""

    def text_state(self, question: Sequence[int], *, keep_retrieved: bool) -> PlainTextState:
        """Where the question and its answer begin; they take over the cache (called by what writes them)."""
        cache, self._cache = self._cache, DynamicCache(config=self.model.model.config)
        return PlainTextState.after(cache)

    def _forward(self, ids: list[int]) -> Tensor:
        """Last hidden states [C, hidden]."""
        given = torch.tensor([ids], device=self.model.device)
        out: Any = self.model.backbone(input_ids=given, **behind(self.model, self._cache))
        hidden: Tensor = out.last_hidden_state[0]
        return hidden
