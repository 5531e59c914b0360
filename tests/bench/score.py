"""Few-shot answers to the report items: 3 respondents, 2 strengths, every position steered; SmolLM2-135M, bfloat16."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.evaluation.scoring import Scores, score_letters
from pasctl.inventory import few_shot
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention
from tests.bench.models import items, random_steering, report_prompts, respondents, small_model
from tests.bench.timing import Timing, agreement, race

RESPONDENTS = 3
ALPHAS = (1.0, 4.0)
ROUNDS = 2
OURS = "pasctl: the answers told once a unit, items packed"
PUBLISHED = "published loop: each prompt whole, full lm_head"


def run() -> list[Timing]:
    model, inventory = small_model(), items()
    letters, fit = model.chat.letter_ids(), inventory.indices("fit")
    prompts = [
        report_prompts(model, inventory, few_shot(inventory, agreements, fit))
        for agreements in respondents(inventory, RESPONDENTS).agreements
    ]
    steered = [[random_steering(model, alpha, seed) for alpha in ALPHAS] for seed in range(RESPONDENTS)]
    # one prompt of each respondent, from all over the questionnaire, stands for all
    places = [len(asked) * (2 * who + 1) // (2 * RESPONDENTS) for who, asked in enumerate(prompts)]
    few = [(prompts[who][place], steered[who][0]) for who, place in enumerate(places)]

    def score(who: int, count: int | None = None) -> Scores:
        asked = prompts[who][:count]
        return score_letters(model, asked, letters, batch_tokens=DEFAULT_BATCH_TOKENS, interventions=steered[who])

    score(0, 8)
    published(model, few[:1], letters)
    tokens_asked = len(ALPHAS) * sum(len(prompt) for asked in prompts for prompt in asked)
    ours, theirs = race(
        lambda: [score(who) for who in range(RESPONDENTS)],
        lambda: published(model, few, letters),
        shares=[1, sum(len(prompt) for prompt, _ in few) / tokens_asked],
        rounds=ROUNDS,
    )
    same = np.stack([ours.result[who].logprobs[0, place] for who, place in enumerate(places)])
    agreement("log-probabilities of the letters", torch.from_numpy(same), theirs.result)
    tokens_run = sum(scores.tokens_run for scores in ours.result)
    asked = f"{RESPONDENTS * len(ALPHAS)} units of {len(prompts[0])} prompts"
    return [
        Timing(OURS, tokens_run, asked, "", "tokens run"),
        Timing(PUBLISHED, tokens_asked, asked, "", "tokens run"),
        ours.line(OURS, f"{tokens_run:,} tokens run", "time"),
        theirs.line(PUBLISHED, f"{tokens_asked:,} tokens run", "time"),
    ]


@torch.inference_mode()
def published(model: LoadedModel, asked: list[tuple[list[int], Intervention]], letters: list[int]) -> Tensor:
    """Log-probabilities [N, letters] as the published code gets at them: one prompt a time, logits of all positions.

    In bfloat16 a logit near 20 is known to 1/8; ours are summed in float32.
    """
    found = []
    for prompt, intervention in asked:
        with steer(model, intervention):
            logits = model.model(torch.tensor([prompt]), use_cache=False).logits
        found.append(logits[0, -1].float().log_softmax(-1)[letters])
    return torch.stack(found)
