"""One forward pass through memory: what each layer recalls, and the attention over it and the window."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from pasctl.memory.attention import Keys, Scratch, joint_attention
from pasctl.memory.attention_layers import AttentionLayers
from pasctl.memory.codec import round_trip
from pasctl.memory.events import Events
from pasctl.memory.params import MemoryParams
from pasctl.memory.rotary import Angles, Rotary
from pasctl.memory.segments import Segments
from pasctl.memory.window import Window
from pasctl.models.attention import Scoring

_Kind = tuple[int, torch.device]
"""Of angles that layers share (see `Rotary.kind`)."""


@dataclass(frozen=True)
class Recalled:
    """One layer's retrieval in one step: the log entry that pictures are drawn from."""

    step: int
    row: int
    layer: int
    events: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(eq=False)
class MemoryState:
    """Everything that a pass reads and does not change: the text's events, keys and values.

    Layers are those of full attention, by their place among them; `layers` knows the numbers of the decoder layers.

    Attributes:
        first: layer -> keys and values [1, G, n_init, D] of the first tokens; not there while the window holds them.
        wide: whether attention scores are kept in float32 (see `joint_attention`).
    """

    params: MemoryParams
    layers: AttentionLayers
    rotary: Rotary
    events: Events
    segments: Segments
    first: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    scratch: Scratch = field(default_factory=Scratch)
    wide: bool = False

    def __post_init__(self) -> None:
        """Angles of a query that looks at what is all at one distance, by kind of rotation."""
        distance = torch.tensor([[self.params.n_local - 1]])
        self.afar, self.afar_exact = dict[_Kind, Angles](), dict[_Kind, Angles]()
        for layer in range(len(self.layers.layers)):
            kind = self.rotary.kind(layer)
            self.afar[kind] = self.rotary.angles(layer, distance)
            self.afar_exact[kind] = self.rotary.angles(layer, distance, torch.float32)


@dataclass(frozen=True)
class _Far:
    """Unrotated keys and values [B, G, M, D] from outside the window.

    Attributes:
        key: keys.
        value: values.
        real: how many keys of each row are no padding.
        lengths: the same, int64 [B, 1].
        places: real positions int64 [B, M], where they are wanted.
    """

    key: Tensor
    value: Tensor
    real: tuple[int, ...]
    lengths: Tensor
    places: Tensor | None


class ForwardPass:
    """Attends one chunk of B rows, layer by layer, and appends its keys and values to the windows."""

    def __init__(
        self,
        past: MemoryState,
        windows: list[Window],
        queues: list[list[list[int]]],
        positions: Tensor,
        *,
        chosen: list[list[list[int]]] | None = None,
        step: int = 0,
        count: bool = True,
    ) -> None:
        """Prepare a pass.

        Args:
            past: the text's memory.
            windows: one a layer, of B rows.
            queues: layer -> row -> queue of neighbouring events.
            positions: of the chunk's tokens, int64 [B, C]; -1 is padding.
            chosen: layer -> row -> events recalled by an earlier pass, to use again; None retrieves anew.
            step: number of the pass, for the log.
            count: whether to add up the attention that each key receives.
        """
        self.past, self.windows, self.queues, self.positions = past, windows, queues, positions
        self.chosen: list[list[list[int]]] = chosen or []
        self._given = chosen is not None
        self._outside = past.events.evicted  # later, as other chunks of the same pass begin, more will have left
        self._step, self._count = step, count
        self.log: list[Recalled] = []
        self.attended = 0
        self._hidden: dict[tuple[int, int | None, torch.device], tuple[Tensor, int]] = {}
        self._here: dict[_Kind, Angles] = {}
        self._packed: dict[tuple[_Kind, int], Angles] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [B, H, C, D] (see `pasctl.models.attention.Attender`)."""
        place, past, width = self.past.layers.place(layer), self.past, value.shape[-1]
        query, key, value = (_widened(x, past.layers.head_dim) for x in (query, key, value))
        window, sliding = self.windows[place], past.layers.sliding[place]
        if past.params.kv_dtype == "int8":
            key, value = round_trip(key), round_trip(value)
        far = self._far(place, query) if sliding is None else None
        here = self._angles_here(place)
        window.append(key, past.rotary.key(place, key, here), value, self.positions)
        rotated = past.rotary.query(place, query, here)
        near = Keys(rotated, window.turned, window.value, *self._hidden_near(window, sliding))
        placed = None if far is None else self._place(place, far, query, rotated, window.start)
        out, mass = joint_attention(placed, near, scoring, past.scratch, count=self._count, wide=past.wide)
        if mass is not None:
            window.receive(mass)
        return out if out.shape[-1] == width else out[..., :width]

    def _angles_here(self, layer: int) -> Angles:
        """Angles of the chunk's own positions."""
        rotary = self.past.rotary
        kind = rotary.kind(layer)
        if kind not in self._here:
            self._here[kind] = rotary.angles(layer, self.positions.clamp_min(0))
        return self._here[kind]

    def _place(self, layer: int, far: _Far, query: Tensor, rotated: Tensor, start: int) -> Keys:
        """Far keys where the chosen kind of position wants them, and the queries [B, H, C, D] that fit to them."""
        rotary, positions = self.past.rotary, self.past.params.positions
        longest = far.key.shape[2]
        # the shortest row's keys are all real
        clear = min(far.real)
        order = torch.arange(clear, longest, device=query.device)[None]
        hidden = (order >= far.lengths)[:, None]
        if positions == "paper":
            afar = self.past.afar[rotary.kind(layer)]
            return Keys(rotary.query(layer, query, afar), far.key, far.value, hidden, clear)
        angles = self._before(layer, start, far) if far.places is None else rotary.angles(layer, far.places)
        return Keys(rotated, rotary.key(layer, far.key, angles), far.value, hidden, clear)

    def _before(self, layer: int, start: int, far: _Far) -> Angles:
        """Angles of far keys that stand packed before the window; there is room, since they come from before it."""
        longest, rotary = far.key.shape[2], self.past.rotary
        name = (rotary.kind(layer), start)
        if name not in self._packed:
            most = min(start, self.past.params.n_init + self.past.params.n_mem)
            self._packed[name] = rotary.angles(layer, torch.arange(start - most, start)[None])
        packed = self._packed[name]
        if min(far.real) == longest:
            return packed.last(longest)
        room = packed.cosine.shape[2]
        places = room - far.lengths + torch.arange(longest, device=far.lengths.device)
        return packed.at(places.clamp_max(room - 1))

    def _hidden_near(self, window: Window, sliding: int | None) -> tuple[Tensor, int]:
        """Which near keys each query may not attend: later ones, padding, what is beyond a sliding window.

        Gives bool [B or 1, C, keys behind the first `clear`], and `clear`: so many of the first keys all may attend.
        """
        device = window.positions.device
        name = (window.start, sliding, device)
        if name not in self._hidden:
            keys, query = window.positions[:, None, :], self.positions[:, :, None].to(device)
            padded = bool((keys < 0).any())
            clear = 0 if padded or sliding is not None else keys.shape[-1] - query.shape[1]
            keys = keys[:, :, clear:]
            hidden = (keys < 0) | (keys > query)
            self._hidden[name] = (hidden if sliding is None else hidden | (query - keys >= sliding), clear)
        return self._hidden[name]

    def _far(self, layer: int, query: Tensor) -> _Far | None:
        """First tokens and recalled events of each row, padded to the longest."""
        past = self.past
        if layer not in past.first:
            return None
        if not self._given:
            self._retrieve(layer, query)
        rows = [self._row(layer, events) for events in self.chosen[layer]]
        real = tuple(row[0].shape[1] for row in rows)
        self.attended += sum(real)
        keys, values = (_stack([row[part] for row in rows], max(real)) for part in (0, 1))
        places = None
        if past.params.positions == "true":
            places = _stack([self._positions(events)[None, :, None] for events in self.chosen[layer]], max(real))
            places = places[:, 0, :, 0].to(keys.device)
        return _Far(keys, values, real, torch.tensor(real, device=keys.device)[:, None], places)

    def _row(self, layer: int, events: list[int]) -> tuple[Tensor, Tensor]:
        """Keys and values [G, M, D] of the first tokens and some events."""
        key, value = (each[0] for each in self.past.first[layer])
        if not events:
            return key, value
        spans = [self.past.events.span(event) for event in events]
        found_key, found_value = self.past.segments.read(layer, spans)
        return torch.cat([key, found_key.to(key.device)], dim=1), torch.cat(
            [value, found_value.to(value.device)], dim=1
        )

    def _positions(self, events: list[int]) -> Tensor:
        """Real positions [M] of the first tokens and some events."""
        spans = [self.past.events.span(event) for event in events]
        return torch.cat([torch.arange(self.past.params.n_init), *(torch.arange(*span) for span in spans)])

    def _retrieve(self, layer: int, query: Tensor) -> None:
        params, past = self.past.params, self.past
        batch, heads, _, width = query.shape
        real = (self.positions >= 0).to(query.device)
        share = real / real.sum(-1, keepdim=True).clamp_min(1)
        # the mean over the chunk and the rotation can change places: one vector is rotated and not all of them
        mean = torch.einsum("bhcd,bc->bhd", query.float(), share.float())[:, :, None]
        turned = past.rotary.query(layer, mean, past.afar_exact[past.rotary.kind(layer)])
        groups = past.segments.kv_heads
        summed = turned.view(batch, groups, heads // groups, width).sum(2)
        asked = real.any(-1).tolist()
        before = list(self.queues[layer])
        found = past.events.recall(
            layer,
            summed,
            self.queues[layer],
            outside=self._outside,
            budget=params.n_mem,
            contiguity=params.contiguity,
        )
        while len(self.chosen) <= layer:  # layers with a sliding window of their own recall nothing
            self.chosen.append([[] for _ in range(batch)])
        self.chosen[layer] = [events for events, _ in found]
        for row, (events, scores) in enumerate(found):
            if not asked[row]:  # a row of padding: its question has ended, and its queue must not move on
                self.queues[layer][row] = before[row]
                continue
            number = past.layers.numbers[layer]
            self.log.append(Recalled(self._step, row, number, tuple(events), tuple(scores)))


def _stack(rows: list[Tensor], length: int) -> Tensor:
    """Rows [G, n, D] as one tensor [B, G, length, D], padded with zeros."""
    if len(rows) == 1:
        return rows[0][None]
    return torch.stack([torch.nn.functional.pad(row, (0, 0, 0, length - row.shape[1])) for row in rows])


def _widened(x: Tensor, width: int) -> Tensor:
    """Queries, keys or values [B, heads, C, D] of a layer whose heads are narrower than others', with zeros behind."""
    return x if x.shape[-1] == width else torch.nn.functional.pad(x, (0, width - x.shape[-1]))
