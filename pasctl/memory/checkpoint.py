"""What a reader must write down with each segment, so that another process can go on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pasctl.errors import IntegrityError, PasctlError
from pasctl.memory.attention_layers import Probe
from pasctl.memory.codec import common_part, segment_tensors
from pasctl.memory.index import Clusters, Index
from pasctl.memory.queries import UsualQueries
from pasctl.memory.reader import Reader
from pasctl.memory.retrieval import OFFSET_EVENTS
from pasctl.memory.rounded import Rounded
from pasctl.memory.stored_text import INDEX, SCALES, in_order, read_segment, settled_starts
from pasctl.memory.window import Window
from pasctl.models.attention import own_attention, run_backbone
from pasctl.models.layer_states import PREFIX, LayerStates

_WANTED = (
    "ids",
    "surprise",
    "representatives",
    SCALES,
    "counts",
    "starts",
    "new_starts",
    "pending",
    *INDEX,
)  # of every segment
_PARTS = ("centroids", "along", "across", "cluster")  # of `Clusters`
# of the text's end alone; segments of memories of versions before have them as well
_OF_END = (
    "mass",
    "window_starts",
    "queue",
    "queue_sizes",
    "last_hidden",
    "usual_queries",
    "usual_counts",
    "codec_offsets",
    "first_queries",
    "query_directions",
)


@dataclass(frozen=True)
class Written:
    """What the segments that are written have of a text's events.

    Attributes:
        evicted: events with a representative.
        begun: events whose first token is known for certain.
        slabs: of the index of events (see `pasctl.memory.index`).
    """

    evicted: int = 0
    begun: int = 0
    slabs: int = 0

    @classmethod
    def by(cls, reader: Reader) -> Written:
        """All that a reader knows; before the first token that is nothing."""
        events = reader.past.events
        slabs = len(events.indexes[0].slabs) if events.indexes else 0
        return cls(events.evicted, len(events.starts), slabs) if reader.ids else cls()


def checkpoint(reader: Reader, start: int, stop: int, before: Written) -> dict[str, Tensor]:
    """Tensors of the segment start..stop: its keys and values, and the reader's state at its end.

    Args:
        reader: at the end of the segment.
        start: first token of the segment.
        stop: the one behind its last.
        before: what the segments before have; this one has the rest.
    """
    key, value = reader.past.segments.read_all_layers(start, stop)
    events = reader.past.events
    vectors = events.rounded(before.evicted)
    return {
        **segment_tensors(key, value, reader.params.kv_dtype == "int8", reader.past.offsets),
        "ids": torch.tensor(reader.ids[start:stop], dtype=torch.int32),
        "surprise": reader.surprise[start:stop],
        "representatives": vectors.steps,
        SCALES: vectors.scale,
        **_index(events.indexes, before.slabs),
        "new_starts": torch.tensor(events.starts[before.begun :], dtype=torch.int64),
        "pending": torch.tensor(events.pending, dtype=torch.int64),
        "counts": torch.tensor([start, stop, events.evicted, reader.tokens_attended]),
        **(_end_of(reader) if stop == len(reader.ids) else {}),
    }


def _index(indexes: Sequence[Index], slab: int) -> dict[str, Tensor]:
    """What indexes, one a layer, have of the slabs from number `slab` on, as tensors [slabs, L, ...]."""
    new = [index.slabs[slab:] for index in indexes]
    if not new or not new[0]:
        return {}
    return {
        name: torch.stack([torch.stack([getattr(each, part) for each in layer]).cpu() for layer in new], dim=1)
        for name, part in zip(INDEX, _PARTS, strict=True)
    }


def _restore_index(reader: Reader, parts: Sequence[Mapping[str, Tensor]], last: Mapping[str, Tensor]) -> None:
    """Take up what `_index` gave of all segments, and what there is to be more of an index from."""
    past, kept = reader.past, [part for part in parts if INDEX[0] in part]
    devices = [to for to, sliding in zip(past.layers.devices, past.layers.sliding, strict=True) if sliding is None]
    indexes = past.events.indexes
    for layer, (index, device) in enumerate(zip(indexes, devices, strict=False)):
        for part in kept:
            for tensors in zip(*(part[name][:, layer] for name in INDEX), strict=True):
                index.add(Clusters(*tensors).on(device))
        if "first_queries" in last:
            index.queries = list(last["first_queries"][layer].to(device))
        if "query_directions" in last:
            index.directions = last["query_directions"][layer].to(device)


def text_end(reader: Reader) -> dict[str, Tensor]:
    """Where a text that was read to its end is to be read on from, as `restore` takes it beside the segments."""
    return {**_end_of(reader), "tokens": torch.tensor([len(reader.ids)])}


def _end_of(reader: Reader) -> dict[str, Tensor]:
    """What reading goes on from, of no use to a segment that others follow."""
    if reader.last_hidden is None:
        raise PasctlError("nothing was read, so there is nothing to write down")
    queues, states, common = reader.queues, reader.layer_states, reader.past.events.common
    indexes = reader.past.events.indexes
    queries = [torch.stack(index.queries).cpu() for index in indexes if index.queries]
    directions = [index.directions.cpu() for index in indexes if index.directions is not None]
    return {
        **({"first_queries": torch.stack(queries)} if queries else {}),
        **({"query_directions": torch.stack(directions)} if directions else {}),
        **({} if states is None else states.tensors()),
        "codec_offsets": torch.stack([common[layer].cpu() for layer in sorted(common)]),
        "mass": torch.cat([window.mass[0].flatten().cpu() for window in reader.windows]),
        "window_starts": torch.tensor([window.start for window in reader.windows]),
        "queue": torch.tensor([event for queue in queues for event in queue], dtype=torch.int64),
        "queue_sizes": torch.tensor([len(queue) for queue in queues]),
        "last_hidden": reader.last_hidden.cpu(),
        "usual_queries": reader.past.usual.sums,
        "usual_counts": reader.past.usual.counts,
    }


def restore(reader: Reader, files: Sequence[Path], states: Path | None = None) -> int:
    """Bring a fresh reader to where the segments' files end.

    Args:
        reader: the reader.
        files: of the segments, in order.
        states: of what `states_of` gave of the last segment; None looks in the last segment's file. Segments behind
            the one that it belongs to are left out.

    Returns:
        The number of segments that were taken.

    Raises:
        IntegrityError: a file is damaged, or the files do not follow each other.
    """
    end = None if states is None else _read_states(states)
    until = None if end is None else int(end.pop("tokens"))
    parts: list[dict[str, Tensor]] = []
    for path, tensors in in_order(files, _WANTED, "pt"):
        if until is not None and int(tensors["counts"][1]) > until:
            break
        reader.past.segments.attach(path, *tensors["counts"][:2].tolist())
        parts.append(tensors)
    if not parts:
        return 0
    if until is not None and int(parts[-1]["counts"][1]) != until:
        raise IntegrityError(
            f"{states} is of the first {until:,} tokens, and segment {files[len(parts) - 1]} of others"
        )
    last = _last(files[len(parts) - 1], parts[-1], end or {})
    reader.ids = [token for part in parts for token in part["ids"].tolist()]
    reader.surprise = torch.cat([part["surprise"] for part in parts])
    reader.flushed = len(reader.ids)
    reader.last_hidden = last["last_hidden"].to(reader.model.device)
    reader.tokens_attended = int(last["counts"][3])
    queues = torch.split(last["queue"], last["queue_sizes"].tolist())
    reader.queues = [queue.tolist() for queue in queues]
    if "usual_queries" in last:  # not of versions before
        reader.past.usual = UsualQueries(last["usual_queries"], last["usual_counts"])
    events = reader.past.events
    events.starts, events.pending = settled_starts(parts), last["pending"].tolist()
    events.leave(int(last["counts"][2]))
    _restore_representatives(reader, parts, last)
    _restore_index(reader, parts, last)
    _restore_windows(reader, last)
    if reader.layer_states is not None:
        _restore_states(reader, reader.layer_states, {name: last[name] for name in last if name.startswith(PREFIX)})
    return len(parts)


def _restore_representatives(reader: Reader, parts: Sequence[Mapping[str, Tensor]], last: Mapping[str, Tensor]) -> None:
    """Take up what stands for the events, which memories of versions before have in the model's dtype."""
    events, devices = reader.past.events, reader.past.layers.devices
    common = last.get("codec_offsets", last.get("offsets"))
    if common is None:
        vectors = torch.cat([part["representatives"] for part in parts])[:OFFSET_EVENTS]
        if not len(vectors):  # all events are in the window, whose keys say it
            return
        common = common_part(vectors.permute(1, 2, 0, 3))
    events.common = {layer: each.to(to) for layer, (each, to) in enumerate(zip(common, devices, strict=False))}
    first = 0
    for part in parts:
        vectors = part["representatives"]
        if SCALES in part:
            events.represent_all(first, Rounded(vectors, part[SCALES]))
        else:
            for layer, rows in enumerate(vectors.unbind(1)):
                events.represent(layer, first, rows)
        first += len(vectors)


def _last(path: Path, part: Mapping[str, Tensor], end: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All that is known of the text's end: by its last segment, and by the file of what reading goes on from."""
    last = {**part, **end}
    if "mass" not in last:  # the writer has not parted them, or was of a version before
        last = {**read_segment(path, None, "pt"), **last}
    if "mass" not in last:
        raise IntegrityError(f"segment {path} ends the text, and where reading is to go on from is not there")
    return last


def states_of(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The part of a checkpoint that only its latest version is wanted of, with the number of tokens that it follows."""
    states = {name: tensor for name, tensor in tensors.items() if name in _OF_END or name.startswith(PREFIX)}
    return states and {**states, "tokens": tensors["counts"][1:2]}


def _read_states(path: Path) -> dict[str, Tensor]:
    """What `states_of` gave, from its file."""
    try:
        with safe_open(path, framework="pt") as file:
            states = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        if states["tokens"].shape != (1,):
            raise ValueError("tokens is not one number")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise IntegrityError(
            f"states {path} cannot be read: {error}", hint="`pasctl store verify --deep` tells what is damaged"
        ) from error
    return states


def _restore_states(reader: Reader, states: LayerStates, kept: Mapping[str, Tensor]) -> None:
    with own_attention(reader.model), torch.inference_mode():
        run_backbone(reader.model, torch.tensor([reader.ids[-1:]]), Probe(), states=states)  # makes room for them
        states.load(kept)


def _restore_windows(reader: Reader, last: dict[str, Tensor]) -> None:
    devices, end, segments = reader.past.layers.devices, len(reader.ids), reader.past.segments
    starts = last["window_starts"].tolist()
    base = min(starts)
    keys, values = segments.read_all_layers(base, end)
    rotary = reader.past.rotary
    sizes = [segments.kv_heads * (end - start) for start in starts]
    masses = torch.split(last["mass"], sizes)
    for layer, (start, mass, device) in enumerate(zip(starts, masses, devices, strict=True)):
        positions = torch.arange(start, end, device=device)[None]
        key = keys[layer, :, start - base :][None].to(device, copy=True)
        reader.windows[layer] = Window(
            start,
            key,
            rotary.key(layer, key, rotary.angles(layer, positions)),
            values[layer, :, start - base :][None].to(device, copy=True),
            mass.view(1, segments.kv_heads, -1).to(device),
        )
        reader.past.learn(layer, reader.windows[layer].key)  # of a short text that a version before wrote
    if reader.past.events.evicted:
        keys, values = segments.read_all_layers(0, reader.params.n_init)
        reader.past.first = {
            layer: (key[None].to(device), value[None].to(device))
            for layer, (key, value, device) in enumerate(zip(keys, values, devices, strict=True))
        }
