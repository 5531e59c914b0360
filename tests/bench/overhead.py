"""What steering adds to a forward pass of 32 rows of 100 tokens; SmolLM2-135M, bfloat16, without lm_head."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.steering.hooks import steer
from pasctl.steering.intervention import Intervention
from tests.bench.models import STEERED_HEADS, random_steering, small_model
from tests.bench.timing import Timing, agreement, note, race

ROWS, LENGTH = 32, 100
ROUNDS = 15


def run() -> list[Timing]:
    model = small_model()
    ids = torch.randint(model.vocabulary, (ROWS, LENGTH), generator=torch.Generator().manual_seed(0))
    steering = random_steering(model, alpha=4)

    @torch.inference_mode()
    def forward(intervention: Intervention | None) -> Tensor:
        with steer(model, intervention):
            hidden: Tensor = model.backbone(ids, use_cache=False).last_hidden_state
        return hidden

    plain = forward(None)
    agreement("hidden states, displaced by nothing and plain", forward(random_steering(model, alpha=0)), plain)
    agreement("hidden states, steered and plain", forward(steering), plain)
    note(f"medians of {ROUNDS} passes each, in turns")
    counted = f"{ROWS * LENGTH:,} tokens run"
    without, steered = race(lambda: forward(None), lambda: forward(steering), rounds=ROUNDS)
    heads = f"{STEERED_HEADS} heads in {len(steering.displacements)} layers"
    return [
        without.line("without steering", counted),
        steered.line("steered at all positions", f"{counted}, {heads}"),
    ]
