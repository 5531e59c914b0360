"""How likely a model finds tokens: log-probabilities in nats of its own logits, before temperature and rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pasctl.errors import PasctlError
from pasctl.models.footprint import LOGITS_BYTES
from pasctl.models.load import LoadedModel


@dataclass(frozen=True)
class TokenLikelihood:
    """How likely one token was where it stands.

    Attributes:
        token: its id.
        logprob: ln p(token | those before it) in nats; None if nothing stands before it.
        rank: 1 is the most likely token; None as above.
        top: the most likely tokens there as (id, logprob), most likely first.
    """

    token: int
    logprob: float | None
    rank: int | None
    top: tuple[tuple[int, float], ...]


def token_likelihoods(logits: Tensor, tokens: Sequence[int], top: int) -> list[TokenLikelihood]:
    """How likely tokens are.

    Args:
        logits: float32 [n, vocabulary], of what follows.
        tokens: [n], what did follow.
        top: number of most likely tokens to tell as well.

    Raises:
        PasctlError: a probability is no number.
    """
    logprobs = logits.log_softmax(-1)
    own = logprobs.gather(-1, torch.tensor(tokens, device=logits.device)[:, None])
    if bool(own.isnan().any()):
        raise PasctlError("the model's probabilities are no numbers")
    ranks = (logprobs > own).sum(-1) + 1
    values, ids = logprobs.topk(min(top, logprobs.shape[-1]))
    rows = zip(tokens, own[:, 0].tolist(), ranks.tolist(), ids.tolist(), values.tolist(), strict=True)
    return [
        TokenLikelihood(token, logprob, rank, tuple(zip(likeliest, theirs, strict=True)))
        for token, logprob, rank, likeliest, theirs in rows
    ]


class PromptLikelihoods:
    """Those of a prompt's tokens, gathered while it is read in parts.

    Attributes:
        found: of the tokens that are known so far; the first has none.
    """

    def __init__(self, model: LoadedModel, prompt: Sequence[int], top: int) -> None:
        """Begin; `top` as for `token_likelihoods`."""
        self._model, self._prompt, self._top = model, prompt, top
        self.found = [TokenLikelihood(prompt[0], None, None, ())]

    @torch.inference_mode()
    def add(self, hidden: Tensor) -> None:
        """The next n tokens were read, with these last hidden states [n, hidden]."""
        at_once = max(1, LOGITS_BYTES // (4 * self._model.vocabulary))
        for part in torch.split(hidden, at_once):
            following = self._prompt[len(self.found) : len(self.found) + len(part)]  # of the prompt's last token none
            if following:
                logits = self._model.logits(part[: len(following)])
                self.found += token_likelihoods(logits, following, self._top)
