"""What was read before is not read again, and changes no answer: the tokens that a model ran are counted by a hook."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

import pytest
import torch

from pasctl.errors import InputError, PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.generation.token_rules import TokenRules
from pasctl.models.layer_states import has_states
from pasctl.models.load import LoadedModel
from pasctl.models.sites import RESIDUAL
from pasctl.steering import Intervention
from tests.generation.test_engine import GREEDY, alone, persona
from tests.memory.test_exactness import text_ids
from tests.tiny import HIDDEN, LAYERS, tiny_loaded
from tests.tiny_configs import EVERY_FAMILY

PROMPT = text_ids(332, seed=1)
TOLERANCE = 1e-4  # of log-probabilities in float32
OFF: dict[str, Any] = {"prefix_cache": 0}


@contextmanager
def tokens_run(model: LoadedModel) -> Iterator[list[int]]:
    """The tokens of each forward pass while the block runs."""
    passes: list[int] = []
    handle = model.backbone.register_forward_pre_hook(
        lambda _module, _args, given: passes.append(given["input_ids"].numel()), with_kwargs=True
    )
    yield passes
    handle.remove()


def mild(seed: int, share: float = 0.3) -> Intervention:
    """A persona whose answers are not all alike."""
    return Intervention({layer: share * delta for layer, delta in persona(seed).displacements.items()})


def shifted(seed: int) -> Intervention:
    """A persona of any family: the residual stream is shifted."""
    return Intervention({1: 0.5 * torch.randn(1, HIDDEN, generator=torch.Generator().manual_seed(seed))}, RESIDUAL)


def one_by_one(engine: Engine, requests: Sequence[Request]) -> list[Stream]:
    streams = []
    for request in requests:
        streams.append(engine.submit(request))
        streams[-1].text()
    return streams


def same(found: Sequence[Stream], expected: Sequence[Stream]) -> None:
    """The same tokens, and likelihoods that differ by rounding alone."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.tokens == theirs.tokens
        for one, other in zip(ours.likelihoods, theirs.likelihoods, strict=True):
            assert one.logprob == pytest.approx(other.logprob, abs=TOLERANCE)
            mine, whole = dict(one.top), dict(other.top)
            assert all(mine[token] == pytest.approx(whole[token], abs=TOLERANCE) for token in mine.keys() & whole)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


@pytest.mark.parametrize("step", [7, 256, 4096])
@pytest.mark.parametrize("family", ["qwen3", "gemma3_text", "deepseek_v3", "qwen3_5_text"])
def test_the_same_prompt_three_times_is_read_once(family: str, step: int) -> None:
    """Its last token is read each time, as what follows is chosen from the model's state there."""
    model, request = tiny_loaded(family), Request(PROMPT, prompt_only=True)
    with Engine(model, step_tokens=step) as engine, tokens_run(model) as passes:
        streams = one_by_one(engine, [request] * 3)
        prefixes = engine.counts().prefixes
    assert sum(passes) == 332 + 2 * 1
    assert [stream.cached_tokens for stream in streams] == [0, 331, 331]
    assert (prefixes.tokens_read, prefixes.tokens_reused) == (334, 662)
    assert prefixes.entries >= 3
    assert 0 < prefixes.bytes <= prefixes.limit == 1 << 30


def test_answers_are_not_read_again_either(model: LoadedModel) -> None:
    with Engine(model) as engine, tokens_run(model) as passes:
        first = one_by_one(engine, [Request(PROMPT, GREEDY)])[0]
        written = len(passes) - 2
        said = [*PROMPT, *first.tokens, *text_ids(20, seed=2)]
        passes.clear()
        [second] = one_by_one(engine, [Request(said, GREEDY)])
    # all that was run: the last token of an answer that was cut off was not
    assert second.cached_tokens == 332 + written == len(PROMPT) + len(first.tokens) - 1
    assert passes[0] == len(said) - second.cached_tokens
    assert second.tokens == alone(model, Request(said, GREEDY))


@pytest.mark.parametrize("family", EVERY_FAMILY)
def test_answers_are_those_without_a_cache(family: str) -> None:
    """The same again, a branch from the middle, and two turns more, on every family; sliding windows are of 24."""
    model, how = tiny_loaded(family), SamplingParams(max_new_tokens=10)
    prompt = PROMPT[:110]
    with Engine(model, **OFF) as engine:
        requests = [Request(prompt, how, logprobs=5)] * 2 + [Request(prompt[:70] + text_ids(9), how, logprobs=5)]
        [*_, turn] = expected = one_by_one(engine, requests)
        for seed in (3, 4):
            said = [*requests[-1].prompt, *turn.tokens, *text_ids(12, seed=seed)]
            requests.append(Request(said, how, logprobs=5))
            [turn] = one_by_one(engine, requests[-1:])
            expected.append(turn)
        assert not any(stream.cached_tokens for stream in expected)
        assert engine.counts().prefixes.bytes == 0
    with Engine(model, step_tokens=32) as engine:
        found = one_by_one(engine, requests)
    same(found, expected)
    reused = [stream.cached_tokens for stream in found]
    assert reused[:2] == [0, 109]
    if has_states(model):  # a state cannot be cut: it is there after the prompt and after the text
        assert reused[2] == 0
        ended = [len(each.prompt) + len(stream.tokens) for each, stream in zip(requests, expected, strict=True)]
        assert all(count in (end - 1, end) for count, end in zip(reused[3:], ended[2:4], strict=True))
    else:
        assert reused[2] == 70
        assert all(count >= len(each.prompt) for count, each in zip(reused[3:], requests[2:4], strict=True))


def test_personas_share_what_is_not_steered_and_nothing_else(model: LoadedModel) -> None:
    one, other, weaker = mild(1), mild(2), mild(1, 0.1)
    kinds = [(None, "all"), (one, "all"), (other, "all"), (weaker, "all"), (one, "answer"), (other, "answer")]
    requests = [Request(PROMPT, GREEDY, intervention=who, positions=where) for who, where in kinds]
    expected = [alone(model, request) for request in requests]
    assert len({tuple(tokens) for tokens in expected}) == len(requests)
    with Engine(model) as engine:
        found = one_by_one(engine, requests * 2)
        # an intervention that is made anew is the same persona
        again = one_by_one(engine, [replace(requests[1], intervention=mild(1))])
    assert [stream.tokens for stream in found] == expected * 2
    assert [stream.cached_tokens for stream in found] == [0, 0, 0, 0, 331, 331] + [331] * 6
    assert again[0].cached_tokens == 331
    # in any order: a steered answer leaves nothing that an unsteered one would take
    with Engine(model) as engine:
        backwards = one_by_one(engine, requests[::-1])
        said = [[*each.prompt, *tokens, *text_ids(30)] for each, tokens in zip(requests, expected, strict=True)]
        turns = [replace(each, prompt=ids) for each, ids in zip(requests, said, strict=True)]
        later = one_by_one(engine, turns)
    assert [stream.tokens for stream in backwards] == expected[::-1]
    assert [stream.cached_tokens for stream in backwards] == [0, 331, 0, 0, 0, 331]
    assert [stream.tokens for stream in later] == [alone(model, each) for each in turns]
    # the answer of who is steered from there on is read again, unsteered
    assert [stream.cached_tokens for stream in later] == [343] * 4 + [332] * 2


def test_an_answer_that_begins_with_given_words_is_steered_from_there(model: LoadedModel) -> None:
    requests = [
        Request(PROMPT, GREEDY, intervention=mild(1), positions="answer", answer_from=start, logprobs=5)
        for start in (300, 332, 310, 200, 1, 0)
    ]
    with Engine(model, **OFF) as engine:
        expected = one_by_one(engine, requests)
    assert len({round(stream.likelihoods[0].top[0][1], 3) for stream in expected}) == 5
    with Engine(model) as engine:
        found = one_by_one(engine, requests)
    same(found, expected)
    assert [stream.cached_tokens for stream in found] == [0, 299, 309, 199, 0, 331]


def test_a_digest_is_of_all_that_an_intervention_is() -> None:
    assert {each.name for each in fields(Intervention)} == {"displacements", "kind"}
    delta = {0: torch.ones(1, 96)}
    different = [
        Intervention(delta),
        Intervention(delta, "residual"),
        Intervention({1: delta[0]}),
        Intervention({0: 2 * delta[0]}),
        Intervention({0: delta[0], 1: delta[0]}),
        Intervention({0: torch.ones(1, 48)}),
        Intervention({}),
    ]
    assert len({each.digest for each in different}) == len(different)
    assert Intervention({1: delta[0], 0: delta[0]}).digest == different[4].digest
    assert Intervention({0: torch.ones(1, 96)}).digest == different[0].digest


def test_who_asks_for_a_prompts_likelihoods_has_all_of_it_read(model: LoadedModel) -> None:
    plain, told = Request(PROMPT, GREEDY), Request(PROMPT, GREEDY, prompt_logprobs=3)
    with Engine(model, **OFF) as engine:
        [expected] = one_by_one(engine, [told])
    with Engine(model) as engine:
        found = one_by_one(engine, [told, plain, told])
    assert [stream.cached_tokens for stream in found] == [0, 331, 0]
    for stream in (found[0], found[2]):
        assert len(stream.prompt_likelihoods) == 332
        assert [each.rank for each in stream.prompt_likelihoods] == [each.rank for each in expected.prompt_likelihoods]
        assert [each.logprob for each in stream.prompt_likelihoods[1:]] == pytest.approx(
            [each.logprob for each in expected.prompt_likelihoods[1:]], abs=TOLERANCE
        )
    same(found, [expected] * 3)


@pytest.mark.parametrize("family", ["qwen3", "gemma3_text", "qwen3_5_text"])
def test_texts_of_one_request_read_their_prompt_once(family: str) -> None:
    model = tiny_loaded(family)
    sampled = [SamplingParams(max_new_tokens=8, temperature=1.3, seed=seed) for seed in range(4)]
    requests = [Request(PROMPT, how, rules=TokenRules(ignore_eos=True)) for how in sampled]
    with Engine(model, **OFF) as engine:
        expected = one_by_one(engine, requests)
    with Engine(model, step_tokens=64) as engine, tokens_run(model) as passes:
        streams = engine.submit_all(requests)
        for stream in streams:
            stream.text()
    same(streams, expected)
    assert sum(passes) == 332 + 3 * 1 + 4 * 7
    assert sorted(stream.cached_tokens for stream in streams) == [0, 331, 331, 331]


def test_texts_at_the_same_time_read_what_they_share_once(model: LoadedModel) -> None:
    shared, own = text_ids(200, seed=7), [text_ids(size, seed=size) for size in (40, 41, 60)]
    requests = [Request([*shared, *rest], GREEDY) for rest in own]
    requests.append(Request(requests[0].prompt, GREEDY, intervention=persona(3)))
    with Engine(model, step_tokens=50) as engine, tokens_run(model) as passes:
        streams = engine.submit_all(requests)
        for stream in streams:
            stream.text()
        counts = engine.counts()
    assert [stream.tokens for stream in streams] == [alone(model, request) for request in requests]
    assert [stream.cached_tokens for stream in streams] == [0, 200, 200, 0]
    read = 200 + 40 + 41 + 60 + 240
    assert counts.prefixes.tokens_read == read
    assert sum(passes) == read + sum(len(stream.tokens) - 1 + (stream.finish_reason == "stop") for stream in streams)


def test_a_request_that_was_cancelled_in_the_middle_leaves_what_it_read(model: LoadedModel) -> None:
    expected = alone(model, Request(PROMPT, GREEDY))
    endless = SamplingParams(max_new_tokens=4000)
    with Engine(model, step_tokens=16) as engine:
        # in the middle of its prompt, of which one that waits for it then reads the rest
        reading, waiting = engine.submit_all([Request(PROMPT, GREEDY)] * 2)
        while engine.counts().prefixes.tokens_read < 48:
            assert reading.first is None
        reading.cancel()
        assert waiting.text() is not None
        assert waiting.tokens == expected
        assert waiting.cached_tokens >= 48
        # in the middle of its text
        writing = engine.submit(Request(PROMPT[:100], endless))
        next(iter(writing))
        writing.cancel()
        list(writing)
        said = [*PROMPT[:100], *writing.tokens][:4000]
        [after] = one_by_one(engine, [Request(said, GREEDY)])
    assert 100 <= after.cached_tokens < len(said)
    assert after.tokens == alone(model, Request(said, GREEDY))


@pytest.mark.parametrize("limit", [150_000, 400_000, 1 << 30])
@pytest.mark.parametrize("family", ["qwen3", "gemma2", "deepseek_v2", "qwen3_next"])
def test_a_crowd_of_texts_that_begin_alike_is_answered_as_without(family: str, limit: int) -> None:
    """Whatever is dropped meanwhile; some are asked twice, as the same persona or another."""
    model, draw = tiny_loaded(family), random.Random(limit)
    trunks = [text_ids(160, seed=seed) for seed in range(3)]
    people = [(None, "all"), (shifted(1), "all"), (shifted(2), "answer")]
    requests = []
    for number in range(24):
        who, where = draw.choice(people)
        prompt = [*draw.choice(trunks)[: draw.choice([30, 100, 160])], *text_ids(draw.randint(1, 40), seed=number)]
        if number % 4 == 3:
            prompt = list(requests[-draw.randint(1, 3)].prompt)
        requests.append(Request(prompt, SamplingParams(max_new_tokens=6), intervention=who, positions=where))
    with Engine(model, **OFF) as engine:
        expected = [stream.tokens for stream in one_by_one(engine, requests)]
    with Engine(model, step_tokens=40, max_batch=6, prefix_cache=limit) as engine:
        streams = [engine.submit(request) for request in requests]
        for stream in streams:
            stream.text()
        prefixes = engine.counts().prefixes
    assert [stream.tokens for stream in streams] == expected
    assert prefixes.tokens_reused == sum(stream.cached_tokens for stream in streams) > 0
    assert prefixes.tokens_read + prefixes.tokens_reused == sum(len(request.prompt) for request in requests)
    assert 0 < prefixes.bytes <= limit == prefixes.limit


def test_short_beginnings_are_read_anew(model: LoadedModel) -> None:
    with Engine(model) as engine:
        streams = one_by_one(engine, [Request(PROMPT[:n], GREEDY) for n in (16, 16, 17, 17)])
    assert [stream.cached_tokens for stream in streams] == [0, 0, 16, 16]


def test_nothing_is_left_of_a_pass_that_failed(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with Engine(model) as engine:
        one_by_one(engine, [Request(PROMPT, GREEDY)])
        assert engine.counts().prefixes.bytes > 0
        with monkeypatch.context() as patched:
            patched.setattr(type(model.backbone), "forward", lambda *given, **named: 1 / 0)
            with pytest.raises(PasctlError, match="the model failed"):
                engine.submit(Request(PROMPT, GREEDY)).text()
        assert engine.counts().prefixes.bytes == engine.counts().prefixes.entries == 0
        [again] = one_by_one(engine, [Request(PROMPT, GREEDY)])
    assert (again.cached_tokens, again.tokens) == (0, alone(model, Request(PROMPT, GREEDY)))
    assert engine.counts().prefixes.bytes == 0  # closed


def test_it_takes_half_of_what_a_memory_limit_leaves() -> None:
    model = tiny_loaded()
    resting = model.footprint.resting
    for limit, least, most in (
        (resting, 0, 0),
        (resting + (40 << 20), 1, 20 << 20),
        (resting + (9 << 30), 1 << 30, 1 << 30),
    ):
        model.max_memory = limit
        with Engine(model) as engine:
            assert least <= engine.counts().prefixes.limit <= most
    with pytest.raises(InputError, match="prefix_cache is -1"):
        Engine(model, prefix_cache=-1)


def test_there_are_as_many_layers_stored_as_attend() -> None:
    """The bytes that are counted are those of a token's keys and values in every layer."""
    model = tiny_loaded()
    with Engine(model) as engine:
        one_by_one(engine, [Request(PROMPT[:128], prompt_only=True)])
        counts = engine.counts().prefixes
    numbers = model.footprint.keys_and_values(128)
    assert counts.entries == 1
    assert counts.bytes == numbers + 2 * LAYERS * 512 + 128 * 40
