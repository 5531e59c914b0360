"""What reading a text will take: tokens, events, bytes on disk and in memory; no weights are loaded."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

from pasctl.memory.steps import event_bytes, written_bytes
from pasctl.models.footprint import require_room
from pasctl.models.sites import HEADS, LINEAR
from pasctl.stages.memory_reading import Reading
from pasctl.stages.text import join_texts

_SAMPLE = 65536  # characters that the number of sentences is estimated from


def estimate(reading: Reading) -> dict[str, Any]:
    """Tokens, from the tokenizer, events, and bytes on disk and in memory beside the weights; none are loaded.

    Events by surprise are estimated as if surprises were distributed exponentially.
    """
    handle, params, tokens = reading.handle, reading.params, len(reading.ids())
    geometry = handle.geometry()
    wide = 4 if handle.dtype == "float32" else 2
    attended = [kind for kind in (geometry, *geometry.others) if kind.kind.startswith(HEADS)]
    vectors = sum(kind.layers * kind.kv_heads for kind in attended)
    width = max(kind.head_dim for kind in attended)
    events = math.ceil(tokens / _event_tokens(reading, tokens))
    window = params.n_init + params.n_local + params.max_block + params.chunk
    # of linear attention, as many components of keys as of values in float32; what convolutions keep is little
    states = sum(4 * kind.layers * kind.heads * kind.head_dim**2 for kind in geometry.others if kind.kind == LINEAR)
    return {
        "tokens": tokens,
        "events": events,
        "bytes": written_bytes(params, vectors, width, wide, tokens, events) + states,
        # windows have twice the room they need and hold keys twice; of mapped files 32 MiB stay
        "resident_bytes": vectors * (width * wide * 2 * 3 * window + events * _held(width)) + states + (32 << 20),
    }


def _held(width: int) -> int:
    """Bytes that stay in memory of a vector for an event: the index has sums in float32 and events as int64 as well."""
    return event_bytes(width) + width // 8 + 8


def what_fits(reading: Reading, room: int) -> str:
    """How a text that does not fit into so many bytes on disk would: in eight bits, if it may have them, or less of it.

    A memory that is read on keeps the dtype that it has.
    """
    ways, tokens = [], len(reading.ids())
    smaller: list[Literal["model", "int8"]] = (
        ["int8"] if reading.parent is None and reading.params.kv_dtype == "model" else []
    )
    for kv_dtype in (reading.params.kv_dtype, *smaller):
        planned = estimate(replace(reading, params=replace(reading.params, kv_dtype=kv_dtype)))["bytes"]
        how = " with --kv-dtype int8" if kv_dtype in smaller else ""
        if planned <= room:
            return f"all of it fits{how}, which takes {planned / 1e9:.3g} GB"
        ways.append(f"{room * tokens // planned:,}{how}")
    return f"of the {tokens:,} tokens about {', or '.join(ways)} fit"


def require_memory_room(reading: Reading) -> None:
    """Refuse a limit on memory that the weights, the windows and a forward pass do not fit into.

    Raises:
        InputError: they take more.
    """
    handle, params = reading.handle, reading.params
    if handle.max_memory is None:
        return
    footprint, attended = handle.footprint(), params.n_init + params.n_local + params.n_mem
    working = footprint.forward(1, params.chunk, attended) + footprint.logits(params.chunk)
    require_room(footprint, footprint.resting + estimate(reading)["resident_bytes"] + working)


def _event_tokens(reading: Reading, tokens: int) -> float:
    """Mean length to expect of an event."""
    params = reading.params
    if params.segmenter in ("fixed", "random"):
        length = 2.0 * params.min_block
    elif params.segmenter == "sentence":
        text = join_texts(reading.texts)[:_SAMPLE]
        share = len(text) / sum(len(each.content) for each in reading.texts)
        length = params.min_block / 2 + tokens * share / max(1, sum(text.count(end) for end in ".!?\n"))
    else:
        length = params.min_block + math.exp(min(1 + params.gamma, 100.0)) - 1
    return min(max(length, params.min_block), params.max_block)
