"""Tokens of several texts side by side in one forward pass, without padding between them.

Linear layers, norms and experts work on each token alone, so they take the tokens of all texts as one row
[1, S, hidden]. Attention is the texts' own affair: an attention function of ours hands each text its part of the
queries, keys and values. No model class is patched (see `pasctl.models.attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pasctl.generation.text_state import TextState
from pasctl.models.attention import Scoring, own_attention, run_backbone
from pasctl.models.layer_states import LayerStates, has_states
from pasctl.models.load import LoadedModel
from pasctl.models.transformers_compat import is_failure
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class PackedSegment:
    """The next n tokens of one text in a pass, at least one.

    Attributes:
        ids: of the tokens.
        positions: [n] that the model rotates to; zeros if the state rotates them itself.
        state: what attends for them.
        intervention: of one row, or None.
        steered: which of the tokens [n] are displaced; None is all.
    """

    ids: Sequence[int]
    positions: Sequence[int]
    state: TextState
    intervention: Intervention | None = None
    steered: tuple[bool, ...] | None = None

    @property
    def size(self) -> int:
        """Tokens in the pass."""
        return len(self.ids)


@dataclass(eq=False)
class _Pass:
    segments: Sequence[PackedSegment]
    failed: dict[int, BaseException] = field(default_factory=dict)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [1, H, S, D]; zeros for a text whose attention fails, and it is not asked any more."""
        sizes = [segment.size for segment in self.segments]
        parts = zip(*(torch.split(each, sizes, dim=2) for each in (query, key, value)), strict=True)
        outputs = [self._attend(number, layer, q, k, v, scoring) for number, (q, k, v) in enumerate(parts)]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=2)

    def _attend(self, number: int, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """One segment's output [1, H, n, D]."""
        if number in self.failed:
            return torch.zeros_like(query)
        try:
            return self.segments[number].state.attend(layer, query, key, value, scoring)
        except BaseException as error:  # whatever it is, the other texts must not die of it
            if not is_failure(error):
                raise
            self.failed[number] = error
            return torch.zeros_like(query)


class PackedModel:
    """Runs passes of several texts, each under its own steering; between passes the model stays set up for the next.

    Attributes:
        length_dependent: the kind of rotary positions, if they change with the longest text of a pass: then texts must
            not share one; else None.
        alone: whether a pass has to be of one text: for that reason, or as layers have a state of each text.
        passes: forward passes run.
        tokens: tokens run in them.
    """

    def __init__(self, model: LoadedModel) -> None:
        """Take a model; it is as it was before whenever `release` was called."""
        rotary: Any = getattr(model.backbone, "rotary_emb", None)
        kind = str(getattr(rotary, "rope_type", "default"))
        self.length_dependent = kind if "dynamic" in kind or kind == "longrope" else None
        self._has_states = has_states(model)
        self.alone = self._has_states or self.length_dependent is not None
        self.model, self.passes, self.tokens = model, 0, 0
        self._attention, self._steering = ExitStack(), ExitStack()
        self._prepared = False
        self._layout: _Layout = ((), ())

    @torch.inference_mode()
    def run(self, segments: Sequence[PackedSegment]) -> tuple[list[Tensor], dict[int, BaseException]]:
        """One forward pass.

        Returns:
            For each segment the last hidden states [n, hidden] of its tokens, views of the pass's own; and the segments
            whose attention failed, with the reason.
        """
        self._set_up(segments)
        device, step = self.model.device, _Pass(segments)
        ids = torch.tensor([[token for segment in segments for token in segment.ids]], device=device)
        positions = torch.tensor([[place for segment in segments for place in segment.positions]], device=device)
        hidden = run_backbone(self.model, ids, step, positions, self._states(segments))[0]
        self.passes, self.tokens = self.passes + 1, self.tokens + len(hidden)
        return list(torch.split(hidden, [segment.size for segment in segments])), step.failed

    def _states(self, segments: Sequence[PackedSegment]) -> LayerStates | None:
        """States of the layers that have one, of the only text of the pass."""
        if not self._has_states:
            return None
        [segment] = segments
        if segment.state.layer_states is None:
            segment.state.layer_states = LayerStates(self.model)
        return segment.state.layer_states

    def release(self) -> None:
        """Give the model back as it was before the first pass."""
        self._steering.close()
        self._layout = ((), ())
        self._attention.close()
        self._prepared = False

    def _set_up(self, segments: Sequence[PackedSegment]) -> None:
        if not self._prepared:
            self._attention.enter_context(own_attention(self.model))
            self._prepared = True
        layout = _layout(segments)
        if layout == self._layout:
            return
        self._steering.close()
        self._layout = layout
        distinct, rows = layout
        if len(distinct) == 1 and not any(rows):
            self._steering.enter_context(steer(self.model, distinct[0]))
        elif distinct:
            # the last row displaces nothing
            stacked = Intervention.stack([*distinct, None])
            self._steering.enter_context(steer(self.model, stacked, rows=torch.tensor([rows])))


_Layout = tuple[tuple[Intervention, ...], tuple[int, ...]]


def _layout(segments: Sequence[PackedSegment]) -> _Layout:
    """The different interventions of a pass, and for each token the place of its own; after the last for none."""
    distinct = tuple(dict.fromkeys(each.intervention for each in segments if each.intervention is not None))
    if not distinct:
        return (), ()
    places = {intervention: place for place, intervention in enumerate(distinct)}
    rows: list[int] = []
    for segment in segments:
        own = len(distinct) if segment.intervention is None else places[segment.intervention]
        steered = segment.steered or (True,) * segment.size
        rows += [own if each else len(distinct) for each in steered]
    return distinct, tuple(rows)
