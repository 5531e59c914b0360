"""Few-shot questions: 30 items behind one long prompt, on a random Llama of SmolLM2-135M's shape, bfloat16."""

from __future__ import annotations

import torch

from pasctl.activations.forward import run_plan
from pasctl.activations.plan import DEFAULT_BATCH_TOKENS, plan_tokens
from pasctl.evaluation.scoring import score_letters
from pasctl.inventory import builtin_inventory, few_shot, load_personas, question
from pasctl.models.load import LoadedModel
from tests.bench.extract import random_smollm2
from tests.bench.timing import Timing, timed

LOOP_SHARE = 0.2


def run() -> list[Timing]:
    model, inventory = random_smollm2(), builtin_inventory()
    agreements = load_personas("builtin:0-1", inventory).agreements[0]
    told = few_shot(inventory, agreements, inventory.indices("fit"))
    prompts = [
        model.chat.encode(question(inventory.items[row], inventory), told) for row in inventory.indices("report")
    ]
    letters = model.chat.letter_ids()
    some = prompts[: int(len(prompts) * LOOP_SHARE)]
    asked = f"{sum(map(len, prompts)):,} tokens"
    _loop(model, prompts[:1])
    plan = plan_tokens(prompts)
    return [
        timed(
            "pasctl: the prompt once, the items packed behind it",
            f"{plan.tokens_run:,} tokens run",
            lambda: score_letters(model, prompts, letters, batch_tokens=DEFAULT_BATCH_TOKENS),
        ),
        timed(
            "the prompt once, its keys and values repeated for each item",
            f"{plan.tokens_run:,} tokens run",
            lambda: run_plan(model, plan, lambda batch, hidden: None),
        ),
        timed("each prompt whole, full lm_head", asked, lambda: _loop(model, some), share=LOOP_SHARE),
    ]


@torch.inference_mode()
def _loop(model: LoadedModel, prompts: list[list[int]]) -> None:
    for prompt in prompts:
        model.model(torch.tensor([prompt]), use_cache=False)
