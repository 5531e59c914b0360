"""What the self-check of a loaded model found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class CheckReport:
    """What the self-check found.

    Attributes:
        layers: sites of the kind that is steered by default.
        head_output_shape: of such a site's head outputs, [1, T, H*D].
        letter_ids: the answer letters' tokens.
        shifts: for each kind of sites with heads, how far a head shifted before its projection is from the projection
            shifted, as a share of the shift's effect on the last hidden states.
        logits: how far lm_head's logits as pasctl reads them are from the model's, over their standard deviation.
        prefix: how far the last hidden states behind a shared prefix are from those of the whole text, over theirs.
        masks: whether the model takes a mask of our own.
    """

    layers: int
    head_output_shape: tuple[int, int, int]
    letter_ids: dict[str, int]
    shifts: dict[str, float] = field(default_factory=dict)
    logits: float = 0.0
    prefix: float = 0.0
    masks: bool = True
