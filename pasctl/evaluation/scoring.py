"""Answer-letter probabilities of a questionnaire, read from the logits: no text is generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.activations.forward import can_pack, run_plan
from pasctl.activations.plan import Batch, plan_tokens
from pasctl.models.load import LoadedModel
from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model answers to N prompts.

    Attributes:
        logprobs: float32 [N, letters], log-probability of each letter in the whole vocabulary.
        tokens_asked: length of all prompts together.
        tokens_run: tokens that went through the model.
    """

    logprobs: NDArray[np.float32]
    tokens_asked: int
    tokens_run: int


def score_letters(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    letter_ids: Sequence[int],
    *,
    batch_tokens: int,
    intervention: Intervention | None = None,
    positions: str = "all",
) -> Scores:
    """Score the letters that may follow each prompt (design section 6).

    Args:
        model: the loaded model.
        prompts: token ids that end where the answer letter begins.
        letter_ids: token id of each letter, in the form the prompt asks for.
        batch_tokens: bound on the tokens of a forward pass, the shared prefix counted per row.
        intervention: steering while the prompts are read; None leaves the model as it is.
        positions: where it is applied: every position, or the answer position alone.
    """
    plan = plan_tokens(prompts, batch_tokens=batch_tokens, may_pack=can_pack(model))
    logprobs = np.empty((len(prompts), len(letter_ids)), np.float32)

    def consume(batch: Batch, hidden: Tensor) -> None:
        # the letters in float32: a bfloat16 logit near 20 is known to 1/8 only. The sum over the vocabulary must hold
        # the same values, or the letters could have more than all of the mass.
        letters = model.letter_logits(hidden, letter_ids)
        logits = model.logits(hidden)
        logits[:, list(letter_ids)] = letters
        logprobs[list(batch.rows)] = (letters - torch.logsumexp(logits, dim=-1, keepdim=True)).cpu().numpy()

    run_plan(model, plan, consume, intervention=intervention, positions=positions)
    return Scores(logprobs, plan.tokens_asked, plan.tokens_run)
