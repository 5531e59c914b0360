"""How many tokens go through the model at once, and how many make a segment."""

from __future__ import annotations

from pasctl.memory.params import MemoryParams

SEGMENT_TOKENS = 1024
PASS_TOKENS = 512  # matrix products are hardly faster with more rows


def pass_tokens(params: MemoryParams) -> int:
    """Tokens of one pass: as many chunks as may run at once.

    Events that leave the window before a pass's last chunk must have ended before the pass, and be in a segment.
    """
    longest = min(PASS_TOKENS, params.n_local + params.chunk - 2 * params.max_block)
    return max(1, longest // params.chunk) * params.chunk


def segment_tokens(params: MemoryParams) -> int:
    """Tokens of a segment, at least; a text's end makes one as well."""
    return min(SEGMENT_TOKENS, params.n_local + params.chunk - pass_tokens(params))
