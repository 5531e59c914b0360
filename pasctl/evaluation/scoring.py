"""Answer-letter probabilities of a questionnaire, read from the logits: no text is generated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.activations.budget import plan_within
from pasctl.activations.forward import run_plan
from pasctl.activations.plan import FORKS, Batch
from pasctl.models.footprint import LOGITS_BYTES
from pasctl.models.load import LoadedModel
from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Scores:
    """What a model answers to N prompts under U interventions.

    Attributes:
        logprobs: float32 [U, N, letters], log-probability of each letter in the whole vocabulary.
        tokens_asked: length of all prompts together, once for each intervention.
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
    interventions: Sequence[Intervention | None] = (None,),
    positions: str = "all",
) -> Scores:
    """Score the letters that may follow each prompt (design section 6).

    Where only the answer position is steered, the prompts are read once for all interventions, and their last token
    once for each.

    Args:
        model: the loaded model.
        prompts: token ids that end where the answer letter begins.
        letter_ids: token id of each letter, in the form the prompt asks for.
        batch_tokens: bound on the tokens of a forward pass, the shared prefix counted per row.
        interventions: steering while the prompts are read, each of one row; None leaves the model as it is.
        positions: where it is applied: every position, or the answer position alone.
    """
    together = FORKS if positions == "answer" and model.takes_masks else 1
    parts = [
        _score(model, prompts, letter_ids, batch_tokens, interventions[start : start + together], positions)
        for start in range(0, len(interventions), together)
    ]
    return Scores(
        np.concatenate([part.logprobs for part in parts]),
        sum(part.tokens_asked for part in parts),
        sum(part.tokens_run for part in parts),
    )


def _score(
    model: LoadedModel,
    prompts: Sequence[Sequence[int]],
    letter_ids: Sequence[int],
    batch_tokens: int,
    interventions: Sequence[Intervention | None],
    positions: str,
) -> Scores:
    """As `score_letters`, in one pass: each prompt once for each intervention, of which the plan makes forks."""
    count = len(interventions)
    sequences = [prompt for prompt in prompts for _ in interventions]
    plan = plan_within(model.footprint, sequences, batch_tokens=batch_tokens, own_mask=model.takes_masks)
    logprobs = np.empty((len(sequences), len(letter_ids)), np.float32)
    at_once = max(1, LOGITS_BYTES // (4 * model.vocabulary))

    def consume(batch: Batch, hidden: Tensor) -> None:
        for start in range(0, len(hidden), at_once):
            rows = list(batch.rows[start : start + at_once])
            logprobs[rows] = _letter_logprobs(model, hidden[start : start + at_once], letter_ids).cpu().numpy()

    run_plan(
        model,
        plan,
        consume,
        intervention=interventions[0] if count == 1 else Intervention.stack(interventions),
        positions=positions,
        of_row=None if count == 1 else [row % count for row in range(len(sequences))],
    )
    of_intervention = logprobs.reshape(len(prompts), count, len(letter_ids)).transpose(1, 0, 2)
    return Scores(np.ascontiguousarray(of_intervention), plan.tokens_asked, plan.tokens_run)


def _letter_logprobs(model: LoadedModel, hidden: Tensor, letter_ids: Sequence[int]) -> Tensor:
    """Log-probability of each letter, float32 [n, letters], from hidden states [n, hidden]."""
    # the letters in float32: a bfloat16 logit near 20 is known to 1/8 only. The sum over the vocabulary must hold
    # the same values, or the letters could have more than all of the mass.
    letters = model.letter_logits(hidden, letter_ids)
    logits = model.logits(hidden)
    logits[:, list(letter_ids)] = letters
    return letters - torch.logsumexp(logits, dim=-1, keepdim=True)
