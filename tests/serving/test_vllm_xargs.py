"""`vllm_xargs`, as vLLM with the plugin takes it: the same persona, strength and places as the field `pasctl` says."""

from __future__ import annotations

from typing import Any

import numpy as np
import openai
import pytest
import torch

import pasctl
from pasctl.stages.model import ModelHandle
from pasctl.steering import steer
from tests.serving.conftest import Running
from tests.serving.test_server import MODEL

IDS = [int(token) for token in np.random.default_rng(4).integers(20, 400, 40)]


def ask(server: Running, model: str = MODEL, **more: Any) -> Any:
    return server.client().completions.create(
        model=model, prompt=IDS, max_tokens=1, temperature=0, extra_body={"prompt_logprobs": 0, **more}
    )


def logprobs(answer: Any) -> list[float]:
    entries = answer.choices[0].prompt_logprobs
    return [entries[place][str(IDS[place])]["logprob"] for place in range(1, len(IDS))]


def test_it_says_what_the_field_pasctl_says(server: Running) -> None:
    own = ask(server, vllm_xargs={"persona": "s01", "alpha": 2.0, "positions": "all"})
    model = ask(server, f"{MODEL}+s01", vllm_xargs={"alpha": 2, "positions": "all"})
    both = ask(server, pasctl={"persona": "s01"}, vllm_xargs={"alpha": 2, "positions": "all"})
    assert own.pasctl["alpha"] == model.pasctl["alpha"] == both.pasctl["alpha"] == 2
    np.testing.assert_allclose([logprobs(model), logprobs(both)], [logprobs(own)] * 2, atol=1e-5)
    assert np.abs(np.subtract(logprobs(own), logprobs(ask(server)))).max() > 1e-2


@pytest.mark.parametrize("start", [0, 17, len(IDS) - 1])
def test_the_tokens_from_a_place_on_are_steered(
    server: Running, handle: ModelHandle, tiny_folder: Any, served_store: Any, start: int
) -> None:
    found = logprobs(ask(server, vllm_xargs={"persona": "s01", "alpha": 3, "positions": start}))
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    moved = pasctl.intervention(model, "s01", 3, store=served_store)
    row = torch.tensor([IDS])
    with steer(model, moved, positions=torch.arange(start, len(IDS))), torch.inference_mode():
        logits = model.model(row, use_cache=False).logits[0, :-1]
    expected = logits.log_softmax(-1).gather(-1, row[0, 1:, None])[:, 0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"vllm_xargs": {"persona": "s01"}, "pasctl": {"persona": "s02"}}, "expected one of them"),
        ({"vllm_xargs": {"alpha": 1}, "pasctl": {"persona": "s02", "alpha": 2}}, "pasctl.alpha is 2.0"),
        ({"vllm_xargs": {"positions": "all"}}, "positions without a persona"),
        ({"vllm_xargs": {"persona": "s01", "positions": len(IDS)}}, "expected a place in the prompt"),
        ({"vllm_xargs": {"persona": "s01", "positions": -1}}, "vllm_xargs.positions"),
        ({"vllm_xargs": {"persona": "s01", "positions": "answer"}}, "steered at the answer alone"),
        ({"vllm_xargs": {"persona": "nobody"}}, "nobody"),
        ({"vllm_xargs": {"person": "s01"}}, "person"),
    ],
)
def test_what_cannot_be_meant_is_refused(server: Running, more: dict[str, Any], expected: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(server, **more)
    assert caught.value.status_code in (400, 404)
    assert expected in str(caught.value)
