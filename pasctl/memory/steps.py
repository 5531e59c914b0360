"""How many tokens go through the model at once, how many make a segment, and what segments take on disk."""

from __future__ import annotations

import math

from pasctl.memory.params import MemoryParams

SEGMENT_TOKENS = 1024
PASS_TOKENS = 512  # matrix products are hardly faster with more rows
_OF_TOKEN = 8  # bytes of its id and its surprise
_OF_SEGMENT = 1024  # bytes of the header of its file


def pass_tokens(params: MemoryParams) -> int:
    """Tokens of one pass: as many chunks as may run at once.

    Events that leave the window before a pass's last chunk must have ended before the pass, and be in a segment.
    """
    longest = min(PASS_TOKENS, params.n_local + params.chunk - 2 * params.max_block)
    return max(1, longest // params.chunk) * params.chunk


def segment_tokens(params: MemoryParams) -> int:
    """Tokens of a segment, at least; a text's end makes one as well."""
    return min(SEGMENT_TOKENS, params.n_local + params.chunk - pass_tokens(params))


def written_bytes(params: MemoryParams, vectors: int, width: int, wide: int, tokens: int, events: int) -> int:
    """Bytes that the segments of a text take on disk.

    Args:
        params: how it is kept.
        vectors: keys of a token, in all layers.
        width: components of each.
        wide: bytes of a component in the model's dtype.
        tokens: of the text.
        events: of the text.
    """
    kept = width + 4 if params.kv_dtype == "int8" else width * wide
    # what reading goes on from is once on disk: the attention that each key of the window received, and the like
    end = 4 * vectors * (params.n_local + params.chunk + 2 * width)
    # a segment has a header, and an event is known to the index
    own = _OF_TOKEN + _OF_SEGMENT / segment_tokens(params)
    return math.ceil((2 * vectors * kept + own) * tokens) + events * vectors * event_bytes(width) + end


def event_bytes(width: int) -> int:
    """Bytes of what stands for an event, a vector of `width` components, and of its share of the index, on disk."""
    return width + width // 8 + width // 16 + 1
