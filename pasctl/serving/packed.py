"""Tokens of several texts side by side in one forward pass, without padding.

Linear layers, norms and experts work on each token alone, so they take the tokens of all texts as one row
[1, S, hidden]. Attention is the texts' own affair: an attention function of ours hands each text its part of the
queries, keys and values. No model class is patched (see `pasctl.memory.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory.attention import Recall, memory_attention, run_backbone
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Span:
    """Tokens of one text in a pass.

    Attributes:
        tokens: ids, at least one.
        positions: those that the model rotates queries and keys to; zeros if the text rotates them itself.
        text: what attends for them.
        intervention: of one row, or None.
        steered: the first of the tokens that is displaced.
    """

    tokens: Sequence[int]
    positions: Sequence[int]
    text: Recall
    intervention: Intervention | None = None
    steered: int = 0


@dataclass(eq=False)
class _Pass:
    spans: Sequence[Span]
    failed: dict[int, Exception] = field(default_factory=dict)

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [1, H, S, D]; zeros for a text whose attention fails, and it is not asked any more."""
        out, start = torch.zeros_like(query), 0
        for number, span in enumerate(self.spans):
            own = slice(start, start + len(span.tokens))
            start = own.stop
            if number in self.failed:
                continue
            try:
                out[:, :, own] = span.text.attend(
                    layer, query[:, :, own], key[:, :, own], value[:, :, own], scaling, sliding
                )
            except Exception as error:  # whatever it is, the other texts must not die of it
                self.failed[number] = error
        return out


class PackedModel:
    """Runs passes of several texts, each under its own steering; between passes the model stays set up for the next.

    Attributes:
        passes: forward passes run.
        tokens: tokens run in them.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Take a model; it is as it was before whenever `release` was called.

        Raises:
            InputError: its rotary frequencies change with the length of what is in a pass.
        """
        rotary: Any = getattr(model.backbone, "rotary_emb", None)
        kind = str(getattr(rotary, "rope_type", "default"))
        if "dynamic" in kind or kind == "longrope":
            raise InputError(
                f"rotary positions of type {kind} depend on the longest text of a batch, so none is shared"
            )
        self.model, self.passes, self.tokens = model, 0, 0
        self._attention, self._steering = ExitStack(), ExitStack()
        self._held = False
        self._layout: tuple[tuple[Intervention, ...], tuple[int, ...]] = ((), ())

    @torch.inference_mode()
    def run(self, spans: Sequence[Span]) -> tuple[Tensor, dict[int, Exception]]:
        """One forward pass.

        Returns:
            The last hidden state [spans, hidden] of each span, and the spans whose attention failed, with the reason.
        """
        self._set_up(spans)
        device, step = self.model.device, _Pass(spans)
        ids = torch.tensor([[token for span in spans for token in span.tokens]], device=device)
        positions = torch.tensor([[place for span in spans for place in span.positions]], device=device)
        hidden = run_backbone(self.model, ids, step, positions)[0]
        last = torch.tensor([len(span.tokens) for span in spans]).cumsum(0) - 1
        self.passes, self.tokens = self.passes + 1, self.tokens + ids.shape[1]
        return hidden[last.to(hidden.device)], step.failed

    def release(self) -> None:
        """Give the model back as it was before the first pass."""
        self._steering.close()
        self._layout = ((), ())
        self._attention.close()
        self._held = False

    def _set_up(self, spans: Sequence[Span]) -> None:
        if not self._held:
            self._attention.enter_context(memory_attention(self.model))
            self._held = True
        layout = _layout(spans)
        if layout == self._layout:
            return
        self._steering.close()
        self._layout = layout
        distinct, rows = layout
        if distinct:
            # the last row displaces nothing
            stacked = Intervention.stack([*distinct, None])
            self._steering.enter_context(steer(self.model, stacked, rows=torch.tensor([rows])))


def _layout(spans: Sequence[Span]) -> tuple[tuple[Intervention, ...], tuple[int, ...]]:
    """The different interventions of a pass, and for each token the place of its own; behind the last for none."""
    distinct = tuple(dict.fromkeys(span.intervention for span in spans if span.intervention is not None))
    if not distinct:
        return (), ()
    places = {intervention: place for place, intervention in enumerate(distinct)}
    rows: list[int] = []
    for span in spans:
        own = len(distinct) if span.intervention is None else places[span.intervention]
        rows += [len(distinct)] * span.steered + [own] * (len(span.tokens) - span.steered)
    return distinct, tuple(rows)
