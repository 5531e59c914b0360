"""One forward pass through memory: what each layer recalls, and the attention over it and the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pasctl.memory.attention import Keys, Scratch, joint_attention
from pasctl.memory.attention_layers import AttentionLayers
from pasctl.memory.codec import common_part, round_trip
from pasctl.memory.events import Events
from pasctl.memory.params import MemoryParams
from pasctl.memory.queries import UsualQueries
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
    layer: int
    events: tuple[int, ...]
    scores: tuple[float, ...]


@dataclass(eq=False)
class MemoryState:
    """Everything that a pass reads and does not change: the text's events, keys and values.

    Layers are those of full attention, by their place among them; `layers` knows the numbers of the decoder layers.

    Attributes:
        first: layer -> keys and values [1, G, n_init, D] of the first tokens; not there while the window holds them.
        usual: what its chunks look for on average.
        wide: whether keys have large biases: attention scores are then kept in float32 (see `joint_attention`), and
            keys rounded less what they have in common.
    """

    params: MemoryParams
    layers: AttentionLayers
    rotary: Rotary
    events: Events
    segments: Segments
    usual: UsualQueries
    first: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    scratch: Scratch = field(default_factory=Scratch)
    wide: bool = False

    def __post_init__(self) -> None:
        """Angles of a query that looks at what is all at one distance, by kind of rotation."""
        distance = torch.tensor([[self.params.n_local - 1]])
        self.afar, self.afar_exact = dict[_Kind, Angles](), dict[_Kind, Angles]()
        for layer in range(len(self.layers.layers)):
            kind = self.rotary.kind(layer)
            if kind not in self.afar:
                self.afar[kind] = self.rotary.angles(layer, distance)
                self.afar_exact[kind] = self.rotary.angles(layer, distance, torch.float32)

    @property
    def offsets(self) -> dict[int, Tensor]:
        """Layer -> float32 [G, 1, D] that keys are rounded with; none of them for keys without large biases."""
        return self.events.common if self.wide else {}

    def learn(self, layer: int, key: Tensor) -> None:
        """Take notice of what a text's first keys [1, G, n, D] have in common; later ones change nothing."""
        if layer not in self.events.common:
            self.events.common[layer] = common_part(key[0])


@dataclass(frozen=True)
class _Far:
    """Unrotated keys and values [1, G, M, D] from outside the window, and their events."""

    key: Tensor
    value: Tensor
    events: Sequence[int]


class ForwardPass:
    """Attends one chunk, layer by layer, and appends its keys and values to the windows."""

    def __init__(
        self,
        past: MemoryState,
        windows: list[Window],
        queues: list[list[int]],
        places: range,
        *,
        chosen: list[list[int]] | None = None,
        words: Sequence[int] | None = None,
        step: int = 0,
    ) -> None:
        """Prepare a pass.

        Args:
            past: the text's memory.
            windows: one a layer.
            queues: layer -> queue of neighbouring events.
            places: positions of the chunk's tokens.
            chosen: layer -> events retrieved by an earlier pass, to use again; None retrieves anew.
            words: places in the chunk of tokens that each look for events; None looks for them by the chunk's mean
                query, as a text that is read does.
            step: number of the pass, for the log.
        """
        self.past, self.windows, self.queues, self.places = past, windows, queues, places
        self.chosen: list[list[int]] = chosen or []
        self._given, self._words = chosen is not None, words
        self._outside = past.events.evicted  # later, as other chunks of the same pass begin, more will have left
        self._step = step
        self.log: list[Recalled] = []
        self.attended = 0
        self._hidden: dict[tuple[int, int | None, torch.device], tuple[Tensor, int]] = {}
        self._here: dict[_Kind, Angles] = {}
        self._packed: dict[tuple[_Kind, int], Angles] = {}

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scoring: Scoring) -> Tensor:
        """Attention output [1, H, C, D] (see `pasctl.models.attention.Attender`)."""
        place, past, width = self.past.layers.place(layer), self.past, value.shape[-1]
        query, key, value = (_widened(x, past.layers.head_dim) for x in (query, key, value))
        window, sliding = self.windows[place], past.layers.sliding[place]
        past.learn(place, key)
        if past.params.kv_dtype == "int8":
            key, value = round_trip(key, past.offsets.get(place)), round_trip(value)
        far = self._far(place, query) if sliding is None else None
        here = self._angles_here(place)
        window.append(key, past.rotary.key(place, key, here), value)
        rotated = past.rotary.query(place, query, here)
        near = Keys(rotated, window.turned, window.value, *self._hidden_near(window, sliding))
        placed = None if far is None else self._place(place, far, query, rotated, window.start)
        out, mass = joint_attention(placed, near, scoring, past.scratch, wide=past.wide)
        window.receive(mass)
        return out if out.shape[-1] == width else out[..., :width]

    def _angles_here(self, layer: int) -> Angles:
        """Angles of the chunk's own positions."""
        rotary = self.past.rotary
        kind = rotary.kind(layer)
        if kind not in self._here:
            self._here[kind] = rotary.angles(layer, self._positions_here()[None])
        return self._here[kind]

    def _positions_here(self) -> Tensor:
        return torch.arange(self.places.start, self.places.stop)

    def _place(self, layer: int, far: _Far, query: Tensor, rotated: Tensor, start: int) -> Keys:
        """Far keys where the chosen kind of position wants them, and the queries [1, H, C, D] that fit to them."""
        rotary, positions = self.past.rotary, self.past.params.positions
        if positions == "paper":
            afar = self.past.afar[rotary.kind(layer)]
            return Keys(rotary.query(layer, query, afar), far.key, far.value)
        if positions == "compact":
            angles = self._before(layer, start, far.key.shape[2])
        else:
            angles = rotary.angles(layer, self._positions(far.events)[None])
        return Keys(rotated, rotary.key(layer, far.key, angles), far.value)

    def _before(self, layer: int, start: int, count: int) -> Angles:
        """Angles of far keys that stand packed before the window; there is room, since they come from before it."""
        rotary = self.past.rotary
        name = (rotary.kind(layer), start)
        if name not in self._packed:
            most = min(start, self.past.params.n_init + self.past.params.n_mem)
            self._packed[name] = rotary.angles(layer, torch.arange(start - most, start)[None])
        return self._packed[name].last(count)

    def _hidden_near(self, window: Window, sliding: int | None) -> tuple[Tensor, int]:
        """Which near keys each query may not attend: later ones, and what is beyond a sliding window.

        Gives bool [C, keys after the first `clear`], and `clear`: so many of the first keys all may attend.
        """
        device = window.turned.device
        name = (window.start, sliding, device)
        if name not in self._hidden:
            clear = self.places.start - window.start if sliding is None else 0
            keys = torch.arange(window.start + clear, self.places.stop, device=device)
            query = self._positions_here().to(device)[:, None]
            hidden = keys > query
            self._hidden[name] = (hidden if sliding is None else hidden | (query - keys >= sliding), clear)
        return self._hidden[name]

    def _far(self, layer: int, query: Tensor) -> _Far | None:
        """First tokens and retrieved events."""
        past = self.past
        found = layer in past.first
        if not self._given:
            self._retrieve(layer, query, found=found)
        if not found:
            return None
        events = self.chosen[layer]
        key, value = self._read(layer, events)
        self.attended += key.shape[2]
        return _Far(key, value, events)

    def _read(self, layer: int, events: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Keys and values [1, G, M, D] of the first tokens and some events."""
        first = self.past.first[layer]
        if not events:
            return first
        found = self.past.segments.read(layer, [self.past.events.span(event) for event in events])
        key, value = (torch.cat([a, b[None].to(a.device)], dim=2) for a, b in zip(first, found, strict=True))
        return key, value

    def _positions(self, events: Sequence[int]) -> Tensor:
        """Real positions [M] of the first tokens and some events."""
        spans = [self.past.events.span(event) for event in events]
        return torch.cat([torch.arange(self.past.params.n_init), *(torch.arange(*span) for span in spans)])

    def _retrieve(self, layer: int, query: Tensor, *, found: bool) -> None:
        """Choose events, if there are any; a chunk of a text counts for what chunks usually look for."""
        params, past = self.past.params, self.past
        looked_for, usual = self._looked_for(layer, query.float()), past.usual.of(layer)
        if self._words is None:
            past.usual.add(layer, looked_for[0])
        if not found:
            return
        less = params.query != "mean"
        events, scores, self.queues[layer] = past.events.recall(
            layer,
            looked_for - usual.to(looked_for.device) if less else looked_for,
            self.queues[layer],
            outside=self._outside,
            budget=params.n_mem,
            contiguity=params.contiguity,
            by_word=less,
            by_index=self._words is None and len(self.places) == params.chunk,
        )
        while len(self.chosen) <= layer:  # layers with a sliding window of their own retrieve nothing
            self.chosen.append([])
        self.chosen[layer] = events
        self.log.append(Recalled(self._step, past.layers.numbers[layer], tuple(events), tuple(scores)))

    def _looked_for(self, layer: int, query: Tensor) -> Tensor:
        """Queries [T, G, D] of the words, or the chunk's mean, as far from events as all are, summed over groups."""
        past = self.past
        heads, width, groups = query.shape[1], query.shape[3], past.segments.kv_heads
        # the mean over the chunk and the rotation can change places: one vector is rotated and not all of them
        chosen = query.mean(2, keepdim=True) if self._words is None else query[:, :, list(self._words)]
        rotated = past.rotary.query(layer, chosen, past.afar_exact[past.rotary.kind(layer)])
        return rotated[0].view(groups, heads // groups, -1, width).sum(1).transpose(0, 1)


def _widened(x: Tensor, width: int) -> Tensor:
    """Queries, keys or values [1, heads, C, D] of a layer whose heads are narrower than others', with zeros behind."""
    return x if x.shape[-1] == width else torch.nn.functional.pad(x, (0, width - x.shape[-1]))
