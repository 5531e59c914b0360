"""Is a checkpoint the steered model? Proven by the log-probabilities that both give the tokens of fixed texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pasctl.errors import PasctlError

PROMPTS = (
    "How was your week?",
    "Describe yourself in two sentences.",
    "What do you do when a plan fails?",
    "A stranger asks you for help. What do you say?",
    "Name three things that are blue.",
    "What is the capital of France?",
)
"""User turns that the steered model answers; the tokens of its answers are compared."""
CONTINUATION = 16
TEXT_TOKENS = 64

TOLERANCE = {"float32": 1e-4, "float16": 0.02, "bfloat16": 0.15}
"""How far log-probabilities may be off on average, in nats; a single one ten times as far.

Hooks add W_o d to o_proj's rounded output, a bias is added before rounding, so each layer may differ in the last place:
2^-24 of a number in float32, 2^-11 in float16, 2^-8 in bfloat16. On SmolLM2-135M the mean is 3e-6, 0.006 and 0.045, the
largest five times that. A single one may be further off, where rounding sends a token to another expert.
"""
LARGEST = 10.0
_MARGIN = 3.0  # times the mean difference: so much steering must do, or the model without steering might pass
_SHARE = 0.1  # the part of the steering's effect that may lack or be too much; rounding averages out of it


@dataclass(frozen=True)
class Passage:
    """Tokens, and the first whose log-probability counts (at least 1); what is before it is only read."""

    ids: tuple[int, ...]
    start: int


@dataclass(frozen=True, eq=False)
class Reference:
    """What a checkpoint is compared with.

    Attributes:
        prompts: token ids of PROMPTS, as the model's own tokenizer and chat template give them.
        text: those of the beginning of the neutral text.
        passages: the prompts with the steered model's answers, and the text.
        steered: log-probabilities of the N tokens that count.
        unsteered: those of the model without steering.
    """

    prompts: tuple[tuple[int, ...], ...]
    text: tuple[int, ...]
    passages: tuple[Passage, ...]
    steered: tuple[float, ...]
    unsteered: tuple[float, ...]


@dataclass(frozen=True)
class Proof:
    """Differences of log-probabilities, in nats, over the tokens of texts.

    Attributes:
        engine: what ran the checkpoint.
        dtype: what it ran in.
        tokens: how many are compared.
        mean: of the absolute differences between the checkpoint and the steered model.
        largest: of them.
        tolerance: bound on `mean`.
        effect_mean: of the absolute differences between the steered and the unsteered model.
        effect_largest: of them.
        share: of that effect which the checkpoint has: slope of its differences from the unsteered model on the
            steered model's. 1 is all, 0 is the unsteered model.
    """

    engine: str
    dtype: str
    tokens: int
    mean: float
    largest: float
    tolerance: float
    effect_mean: float
    effect_largest: float
    share: float

    @classmethod
    def of(cls, reference: Reference, found: Sequence[float], *, engine: str, dtype: str) -> Proof:
        """Compare log-probabilities that a checkpoint gives the reference's tokens.

        Raises:
            PasctlError: they are not finite.
        """
        if not np.isfinite(found).all():
            raise PasctlError(f"the checkpoint's log-probabilities are not finite in {dtype}")
        off = np.abs(np.subtract(found, reference.steered))
        effect = np.subtract(reference.steered, reference.unsteered)
        share = np.dot(np.subtract(found, reference.unsteered), effect) / np.dot(effect, effect)
        size = np.abs(effect)
        return cls(
            engine=engine,
            dtype=dtype,
            tokens=len(off),
            mean=float(off.mean()),
            largest=float(off.max()),
            tolerance=TOLERANCE[dtype],
            effect_mean=float(size.mean()),
            effect_largest=float(size.max()),
            share=float(share),
        )

    def fault(self) -> str | None:
        """Why the checkpoint is not the steered model, or None."""
        for what, found, bound in (
            ("on average", self.mean, self.tolerance),
            ("at one token", self.largest, LARGEST * self.tolerance),
        ):
            if found > bound:
                return (
                    f"differs from the steered model by {found:.3g} nats {what}, "
                    f"expected at most {bound:g} in {self.dtype}"
                )
        if self.effect_mean <= _MARGIN * self.mean:
            return (
                f"cannot be told from the unsteered model in {self.dtype}: steering does {self.effect_mean:.3g} nats "
                f"on average, rounding {self.mean:.3g} (float32 or a larger alpha tells them apart)"
            )
        if abs(self.share - 1) > _SHARE:
            return f"has {self.share:.0%} of the steering's effect, expected all of it"
        return None

    def to_json(self) -> dict[str, Any]:
        """The figures."""
        return asdict(self)
