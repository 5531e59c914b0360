"""Answers to the report items steered at the answer alone: 20 respondents, 6 strengths; SmolLM2-135M, bfloat16."""

from __future__ import annotations

import torch

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.evaluation.scoring import Scores, score_letters
from pasctl.steering.intervention import Intervention
from tests.bench.models import items, random_steering, report_prompts, small_model
from tests.bench.timing import Timing, agreement, race

RESPONDENTS = 20
ALPHAS = (0.5, 1.0, 2.0, 4.0, 6.0, 8.0)
FEW = slice(20, None, 60)  # of the units; these are run with every position steered
ROUNDS = 2


def run() -> list[Timing]:
    model = small_model()
    prompts, letters = report_prompts(model, items()), model.chat.letter_ids()
    units = [random_steering(model, alpha, seed) for seed in range(RESPONDENTS) for alpha in ALPHAS]
    few = units[FEW]

    def score(interventions: list[Intervention], positions: str) -> Scores:
        return score_letters(
            model,
            prompts,
            letters,
            batch_tokens=DEFAULT_BATCH_TOKENS,
            interventions=interventions,
            positions=positions,
        )

    alone = score(few[:1], "answer")  # which warms up as well
    share = len(few) / len(units)
    answer, everywhere = race(
        lambda: score(units, "answer"), lambda: score(few, "all"), shares=[1, share], rounds=ROUNDS
    )
    # steered at every position the answers are others, so what is compared is a unit among all and alone
    agreement(
        "log-probabilities of the letters, a unit among all and alone",
        torch.from_numpy(answer.result.logprobs[FEW][:1]),
        torch.from_numpy(alone.logprobs),
    )
    tokens = f"{answer.result.tokens_run:,} tokens run of {answer.result.tokens_asked:,} asked"
    return [
        answer.line(
            'pasctl, positions "answer": prompts read once for many units',
            f"{tokens}, {len(units)} units of {len(prompts)} prompts",
        ),
        everywhere.line(
            'pasctl, positions "all": prompts read for each unit',
            f"{everywhere.result.tokens_run / share:,.0f} tokens run",
        ),
    ]
