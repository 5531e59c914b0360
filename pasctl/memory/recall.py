"""One forward pass through memory: what each layer recalls, and the attention over it and the window."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pasctl.memory.attention import joint_attention
from pasctl.memory.codec import round_trip
from pasctl.memory.events import Events
from pasctl.memory.params import MemoryParams
from pasctl.memory.rotary import Rotary
from pasctl.memory.segments import Segments
from pasctl.memory.window import Window


@dataclass(frozen=True)
class Recalled:
    """One layer's retrieval in one step: the log entry that pictures are drawn from."""

    step: int
    row: int
    layer: int
    events: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(eq=False)
class Past:
    """Everything that a pass reads and does not change: the text's events, keys and values.

    Attributes:
        first: keys and values [1, G, n_init, D] of the first tokens, a pair a layer; empty while the window holds them.
    """

    params: MemoryParams
    rotary: Rotary
    events: Events
    segments: Segments
    first: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class ForwardPass:
    """Attends one chunk of B rows, layer by layer, and appends its keys and values to the windows."""

    def __init__(
        self,
        past: Past,
        windows: list[Window],
        queues: list[list[list[int]]],
        positions: Tensor,
        *,
        chosen: list[list[list[int]]] | None = None,
        step: int = 0,
    ) -> None:
        """Prepare a pass.

        Args:
            past: the text's memory.
            windows: one a layer, of B rows.
            queues: layer -> row -> queue of neighbouring events.
            positions: of the chunk's tokens, int64 [B, C]; -1 is padding.
            chosen: layer -> row -> events recalled by an earlier pass, to use again; None retrieves anew.
            step: number of the pass, for the log.
        """
        self.past, self.windows, self.queues, self.positions = past, windows, queues, positions
        self.chosen: list[list[list[int]]] = chosen or []
        self._given = chosen is not None
        self._step = step
        self.log: list[Recalled] = []
        self.attended = 0
        self._visible: dict[tuple[int, int | None], Tensor] = {}

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, sliding: int | None
    ) -> Tensor:
        """Attention output [B, H, C, D] (see `pasctl.memory.attention.Recall`)."""
        params, window = self.past.params, self.windows[layer]
        if params.kv_dtype == "int8":
            key, value = round_trip(key), round_trip(value)
        keys = torch.cat([window.key, key], dim=2)
        values = torch.cat([window.value, value], dim=2)
        where = torch.cat([window.positions, self.positions], dim=1)
        far = self._far(layer, query) if sliding is None else None
        origin = torch.zeros_like(self.positions[:, :1])
        if params.positions != "true":
            origin = origin + window.start
        if far is not None and params.positions == "compact":
            origin = origin - far[3]
        here = self.positions.clamp_min(window.start) - origin
        near_query = self.past.rotary.rotate(query, here)
        near_key = self.past.rotary.rotate(keys, where.clamp_min(window.start) - origin)
        visible = self._visibility(layer, where, sliding)
        if far is None:
            joined = None
        else:
            order = torch.arange(far[0].shape[2], device=query.device)[None]
            real = None if bool((far[3] == order.shape[1]).all()) else order < far[3]
            if params.positions == "paper":
                distance = torch.full_like(self.positions, params.n_local - 1)
                joined = (self.past.rotary.rotate(query, distance), far[0], far[1], real)
            else:
                placed = self.past.rotary.rotate(far[0], order if params.positions == "compact" else far[2])
                joined = (near_query, placed, far[1], real)
        out, mass = joint_attention(joined, (near_query, near_key, values, visible), scaling)
        window.append(key, value, mass, self.positions)
        return out

    def _visibility(self, layer: int, where: Tensor, sliding: int | None) -> Tensor:
        """Which keys [B, C, N + C] each query may attend: not later ones, no padding, not beyond a sliding window."""
        name = (self.windows[layer].start, sliding)
        if name not in self._visible:
            query, keys = self.positions[:, :, None], where[:, None, :]
            seen = (keys >= 0) & (keys <= query)
            self._visible[name] = seen if sliding is None else seen & (query - keys < sliding)
        return self._visible[name]

    def _far(self, layer: int, query: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
        """Keys and values [B, G, M, D] outside the window, their positions [B, M], and how many are real [B, 1]."""
        past = self.past
        if not past.first:
            return None
        if not self._given:
            self._retrieve(layer, query)
        rows = [self._row(layer, events) for events in self.chosen[layer]]
        lengths = [row[2].shape[0] for row in rows]
        longest = max(lengths)
        self.attended += sum(lengths)
        pad = torch.nn.functional.pad
        keys, values = (
            torch.stack([pad(row[part], (0, 0, 0, longest - row[part].shape[1])) for row in rows]) for part in (0, 1)
        )
        places = torch.stack([pad(row[2], (0, longest - row[2].shape[0])) for row in rows])
        return keys, values, places, torch.tensor(lengths, device=keys.device)[:, None]

    def _row(self, layer: int, events: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Keys and values [G, M, D] and positions [M] of the first tokens and some events."""
        key, value = (each[0] for each in self.past.first[layer])
        spans = [self.past.events.span(event) for event in events]
        places = [torch.arange(key.shape[1]), *(torch.arange(*span) for span in spans)]
        if spans:
            found_key, found_value = self.past.segments.read(layer, spans)
            key = torch.cat([key, found_key.to(key.device)], dim=1)
            value = torch.cat([value, found_value.to(value.device)], dim=1)
        return key, value, torch.cat(places).to(key.device)

    def _retrieve(self, layer: int, query: Tensor) -> None:
        params, past = self.past.params, self.past
        batch, heads, _, width = query.shape
        real = self.positions >= 0
        share = real / real.sum(-1, keepdim=True).clamp_min(1)
        # the mean over the chunk and the rotation can change places: one vector is rotated and not all of them
        mean = torch.einsum("bhcd,bc->bhd", query, share.to(query.dtype))[:, :, None]
        turned = past.rotary.rotate(mean, torch.full((batch, 1), params.n_local - 1, device=query.device))
        groups = past.segments.kv_heads
        summed = turned.view(batch, groups, heads // groups, width).sum(2)
        asked = real.any(-1).tolist()
        before = list(self.queues[layer])
        found = past.events.recall(layer, summed, self.queues[layer], params.n_mem, params.contiguity)
        while len(self.chosen) <= layer:  # layers with a sliding window of their own recall nothing
            self.chosen.append([[] for _ in range(batch)])
        self.chosen[layer] = [events for events, _ in found]
        for row, (events, scores) in enumerate(found):
            if not asked[row]:  # a row of padding: its question has ended, and its queue must not move on
                self.queues[layer][row] = before[row]
                continue
            self.log.append(Recalled(self._step, row, layer, tuple(events), tuple(scores)))
