"""Greedy answers to many prompts at once, each under its own steering."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from transformers import DynamicCache

from pasctl.activations.budget import text_rows
from pasctl.errors import InputError
from pasctl.memory.prompt import end_tokens
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention


@torch.inference_mode()
def generate_texts(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    interventions: Sequence[Intervention | None],
    *,
    max_new_tokens: int,
    positions: str = "all",
    batch_tokens: int,
) -> list[list[int]]:
    """Write on from each prompt, the most likely token each time, as if each were alone.

    Rows of a batch have prompts of one length, so nothing is padded; a row that has ended leaves its batch.

    Args:
        model: the loaded model.
        prompts: token ids, none empty.
        interventions: one a prompt, each of one row; None leaves the model as it is.
        max_new_tokens: at most this many tokens a text.
        positions: "all", or "answer": the prompt's last token and all that is written after it, nothing before.
        batch_tokens: bound on the tokens that a batch holds in the end; a longer text is written alone.

    Returns:
        The tokens written after each prompt, without the one that ended the text.

    Raises:
        InputError: not one intervention a prompt, max_new_tokens below 1, or unknown positions.
    """
    if len(interventions) != len(prompts):
        raise InputError(
            f"expected an intervention or None for each of {len(prompts)} prompts, found {len(interventions)}"
        )
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens is {max_new_tokens}, expected at least 1")
    ends = end_tokens(model)
    written: list[list[int]] = [[] for _ in prompts]
    for rows in _batches(model, prompts, max_new_tokens, batch_tokens):
        writing = _Writing(model, [prompts[row] for row in rows], [interventions[row] for row in rows])
        while rows:
            # a text that has ended has left, with its displacement: the hooks are set anew for those that are left
            with steer(model, writing.intervention, positions=positions):
                rows = _write_until_one_ends(writing, rows, written, max_new_tokens, ends)
    return written


def _batches(model: LoadedModel, prompts: Sequence[Sequence[int]], more: int, batch_tokens: int) -> Iterator[list[int]]:
    """Places of prompts of one length, so many that prompts and what is written hold at most `batch_tokens`."""
    footprint = model.footprint
    by_length: defaultdict[int, list[int]] = defaultdict(list)
    for place, prompt in enumerate(prompts):
        by_length[len(prompt)].append(place)
    for length, rows in sorted(by_length.items()):
        size = text_rows(footprint, length + more, batch_tokens)
        yield from (rows[start : start + size] for start in range(0, len(rows), size))


def _write_until_one_ends(
    writing: _Writing, rows: list[int], written: list[list[int]], max_new_tokens: int, ends: set[int]
) -> list[int]:
    """Append tokens to the texts of `rows`; gives the rows that go on when others have ended, which have left."""
    while True:
        tokens = writing.step()
        staying = []
        for place, (row, token) in enumerate(zip(rows, tokens, strict=True)):
            if token in ends:
                continue
            written[row].append(token)
            if len(written[row]) < max_new_tokens:
                staying.append(place)
        writing.keep(staying, [tokens[place] for place in staying])
        if len(staying) < len(rows):
            return [rows[place] for place in staying]


class _Writing:
    """A batch while it is written: the tokens to read next, keys and values of those read, and the displacements.

    Attributes:
        intervention: of the rows that are left.
    """

    def __init__(
        self, model: LoadedModel, prompts: Sequence[Sequence[int]], interventions: Sequence[Intervention | None]
    ) -> None:
        self._model, self._interventions = model, list(interventions)
        self._next = torch.tensor(
            [list(prompt) for prompt in prompts], device=model.device
        )  # int64 [B, T], then [B, 1]
        self._cache = DynamicCache(config=model.model.config)
        self.intervention = Intervention.stack(self._interventions)

    def step(self) -> list[int]:
        """Read the tokens that are next; gives the most likely one after them, for each row."""
        output = self._model.backbone(self._next, past_key_values=self._cache, use_cache=True)
        logits = self._model.logits(output.last_hidden_state[:, -1])
        return [int(token) for token in logits.argmax(-1)]

    def keep(self, places: list[int], tokens: list[int]) -> None:
        """Go on with these rows, by their places in the batch, and with these tokens next."""
        if places and len(places) < len(self._interventions):
            self._cache.batch_select_indices(torch.tensor(places, device=self._model.device))
            self._interventions = [self._interventions[place] for place in places]
            self.intervention = Intervention.stack(self._interventions)
        self._next = torch.tensor(tokens, device=self._model.device)[:, None]
