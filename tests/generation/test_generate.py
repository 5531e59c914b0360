"""Batches and caches are an economy: each text written alone, all of it read anew for every token, is the same."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from pasctl.errors import InputError, PasctlError
from pasctl.generation.loop import generate, generate_deltas
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.models.load import LoadedModel
from pasctl.steering import Intervention, steer
from tests.steering.test_hooks import random_intervention
from tests.tiny import FAMILIES, tiny_config, tiny_loaded, tiny_tokenizer

NEW = 12


def weak(seed: int, layers: tuple[int, ...]) -> Intervention:
    """A stronger one makes these models say one word for ever."""
    return Intervention({layer: 0.3 * each for layer, each in random_intervention(seed, layers).displacements.items()})


INTERVENTIONS = (weak(0, (0, 2)), None, weak(1, (1,)), weak(2, (0, 1)), None)


def some_prompts(count: int = 10) -> list[list[int]]:
    """Of lengths 5, 6 and 7, so that batches mix rows from all over."""
    generator = np.random.default_rng(3)
    return [generator.integers(10, 400, 5 + row % 3).tolist() for row in range(count)]


GIVEN = [INTERVENTIONS[row % len(INTERVENTIONS)] for row in range(10)]
"""The intervention on each of them."""


def generate_texts(
    model: LoadedModel,
    prompts: Sequence[list[int]],
    interventions: Sequence[Intervention | None],
    *,
    max_new_tokens: int = NEW,
    positions: str = "all",
    batch_tokens: int,
) -> list[list[int]]:
    """Greedy texts after each prompt, each under its own steering."""
    how = SamplingParams(max_new_tokens=max_new_tokens)
    requests = [Request(*row, positions) for row in zip(prompts, itertools.repeat(how), interventions)]
    return [stream.tokens for stream in generate(model, requests, batch_tokens=batch_tokens)]


def naive_text(model: LoadedModel, prompt: list[int], intervention: Intervention | None, positions: str) -> list[int]:
    """The oracle, where nothing ends a text: all of it goes through the model for every token, one row, no cache."""
    ids = list(prompt)
    for _ in range(NEW):
        where = "all" if positions == "all" else torch.arange(len(prompt) - 1, len(ids))
        with steer(model, intervention, positions=where), torch.inference_mode():
            ids.append(
                int(model.model(torch.tensor([ids], device=model.device), use_cache=False).logits[0, -1].argmax())
            )
    return ids[len(prompt) :]


def until(text: list[int], ends: set[int]) -> list[int]:
    """What stands before the first of `ends`."""
    return list(itertools.takewhile(lambda token: token not in ends, text))


def _new(text: list[int]) -> list[int]:
    """Its tokens in the order in which they first appear."""
    return list(dict.fromkeys(text))


def end_at(model: LoadedModel, ends: set[int]) -> None:
    model.model.generation_config.eos_token_id = sorted(ends)


@functools.cache
def texts_alone(family: str, positions: str) -> tuple[LoadedModel, set[int], list[list[int]]]:
    """A model, the tokens that end its texts, and its text behind each prompt; batches have no part in them."""
    model = tiny_loaded(family)
    free = [naive_text(model, *row, positions) for row in zip(some_prompts(), GIVEN, strict=True)]
    # texts end at tokens that one comes to at once, others late or never
    ends = {free[1][0], _new(free[2])[-1], _new(free[5])[-1], _new(free[9])[1], model.tokenizer.eos_token_id}
    return model, ends, [until(text, ends) for text in free]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("positions", ["all", "answer"])
@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_each_text_is_as_if_it_were_alone(family: str, positions: str, batch_tokens: int) -> None:
    model, ends, expected = texts_alone(family, positions)
    lengths = {len(text) for text in expected}
    assert {0, NEW} < lengths
    assert len(lengths) > 3
    end_at(model, ends)
    found = generate_texts(
        model, some_prompts(), GIVEN, max_new_tokens=NEW, positions=positions, batch_tokens=batch_tokens
    )
    assert found == expected


def test_a_row_is_steered_by_its_own_displacement_from_its_own_place_on() -> None:
    model, prompt = tiny_loaded(), some_prompts()[0]
    both = [
        generate_texts(model, [prompt] * 5, INTERVENTIONS, max_new_tokens=NEW, positions=positions, batch_tokens=1000)
        for positions in ("all", "answer")
    ]
    for texts in both:
        assert texts[1] == texts[4]
        assert len(set(map(tuple, texts))) == 4
    assert both[0][1] == both[1][1]
    assert both[0][0] != both[1][0]


def test_a_sliding_window_shorter_than_the_text_is_kept() -> None:
    config = tiny_config("mistral")
    config.sliding_window = 6
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa")
    with torch.no_grad():
        for parameter in network.parameters():
            parameter *= 4  # as it is drawn the model says one word for ever
    model, prompts = LoadedModel.wrap(network, tiny_tokenizer()), some_prompts()
    given = [INTERVENTIONS[row % 2] for row in range(len(prompts))]
    free = [naive_text(model, *row, "answer") for row in zip(prompts, given, strict=True)]
    end_at(model, {free[0][2]})
    expected = [until(text, {free[0][2], model.tokenizer.eos_token_id}) for text in free]
    found = generate_texts(model, prompts, given, max_new_tokens=NEW, positions="answer", batch_tokens=1000)
    assert found == expected


def test_no_prompts_make_no_texts_and_hooks_are_gone() -> None:
    model = tiny_loaded()
    assert generate_texts(model, [], [], max_new_tokens=3, batch_tokens=100) == []
    generate_texts(model, some_prompts(1), INTERVENTIONS[:1], max_new_tokens=3, batch_tokens=100)
    assert not any(module._forward_hooks for module in model.outputs())


def test_what_makes_no_sense_is_refused() -> None:
    model, prompts = tiny_loaded(), some_prompts(2)
    with pytest.raises(InputError, match="max new tokens: expected at least 1, found 0"):
        generate_texts(model, prompts, [None, None], max_new_tokens=0, batch_tokens=100)
    with pytest.raises(InputError, match="positions 'prompt' is unknown"):
        generate_texts(model, prompts, [None, None], max_new_tokens=3, batch_tokens=100, positions="prompt")


def test_texts_whose_rotary_positions_depend_on_length_share_no_pass() -> None:
    model, prompts = tiny_loaded("llama"), some_prompts(4)
    expected = [naive_text(model, *row, "all") for row in zip(prompts, GIVEN, strict=False)]
    end_at(model, set())
    model.backbone.rotary_emb.rope_type = "dynamic"
    model.backbone.rotary_emb.max_seq_len_cached = 4096  # so long that its frequencies stay
    sizes: list[int] = []
    model.backbone.register_forward_pre_hook(
        lambda module, args, named: sizes.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    found = generate_texts(model, prompts, GIVEN[:4], batch_tokens=10_000)
    assert [until(text, {model.tokenizer.eos_token_id}) for text in expected] == found
    assert set(sizes) <= {1, *map(len, prompts)}


def test_the_model_is_as_it_was_between_two_deltas() -> None:
    model, streams = tiny_loaded(), list[Stream]()
    requests = [Request(prompt, SamplingParams(max_new_tokens=NEW), weak(1, (1,))) for prompt in some_prompts(2)]
    written = ["", ""]
    for number, delta in generate_deltas(model, requests, streams):
        assert model.model.config._attn_implementation == "sdpa"
        assert not any(module._forward_hooks for module in model.outputs())
        written[number] += delta
    assert written == [model.tokenizer.decode(stream.tokens, skip_special_tokens=True) for stream in streams]
    assert all(written)


def test_a_failing_model_is_told_at_once_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_loaded()
    with monkeypatch.context() as patched:
        patched.setattr(type(model.backbone), "forward", lambda *given, **named: 1 / 0)
        with pytest.raises(PasctlError, match="the model failed: ZeroDivisionError"):
            generate_texts(model, some_prompts(), GIVEN, batch_tokens=60)
    assert model.model.config._attn_implementation == "sdpa"
    assert not any(module._forward_hooks for module in model.outputs())
