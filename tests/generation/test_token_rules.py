"""Rules for an answer's tokens: each against its formula, written out; what is sampled depends on the request alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pasctl.errors import InputError
from pasctl.generation import loop
from pasctl.generation.detokenizer import IncrementalDetokenizer
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling import AlteredLogits, sample
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.token_rules import TokenRules
from pasctl.models.load import LoadedModel
from tests.generation.test_engine import mixed
from tests.memory.test_exactness import text_ids
from tests.tiny import tiny_loaded, tiny_tokenizer

GREEDY = SamplingParams(max_new_tokens=14)
HOT = SamplingParams(max_new_tokens=14, temperature=1.3)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


def naive(logits: Sequence[float], rules: TokenRules, prompt: Sequence[int], written: Sequence[int]) -> list[float]:
    """The formulas of OpenAI (frequency, presence, bias) and of CTRL (repetition), a token at a time."""
    result = list(logits)
    for token, bias in rules.logit_bias:
        result[token] += bias
    for token, value in enumerate(result):
        if token in prompt or token in written:
            factor = rules.repetition_penalty
            value = value / factor if value > 0 else value * factor
        count = list(written).count(token)
        result[token] = value - rules.frequency_penalty * count - rules.presence_penalty * (count > 0)
    return result


@pytest.mark.parametrize(
    "rules",
    [
        TokenRules(presence_penalty=0.7),
        TokenRules(frequency_penalty=-0.4),
        TokenRules(repetition_penalty=1.7),
        TokenRules(logit_bias=((3, 5.0), (0, -100.0))),
        TokenRules(
            presence_penalty=0.3,
            frequency_penalty=1.1,
            repetition_penalty=0.8,
            logit_bias=((2, -1.0), (9, 2.5), (2, 0.5)),
        ),
    ],
)
def test_altered_logits_are_those_of_the_formulas(rules: TokenRules) -> None:
    prompt, written = [1, 1, 4], [2, 2, 9, 1]
    altered = AlteredLogits(rules, prompt, {7})
    for count in range(len(written) + 1):
        logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(count))
        before = logits.clone()
        expected = naive(logits[0].tolist(), rules, prompt, written[:count])
        assert altered(logits)[0].tolist() == pytest.approx(expected, abs=1e-5)
        assert torch.equal(logits, before)  # a view of the batch's
        if count < len(written):
            altered.wrote(written[count])


def test_an_answer_under_rules_is_an_argmax_loop_over_the_formulas(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "end_tokens", lambda model: set())
    rules = TokenRules(presence_penalty=1.5, frequency_penalty=0.5, repetition_penalty=1.2, logit_bias=((40, 3.0),))
    prompt, expected = text_ids(20), list[int]()
    for _ in range(14):
        with torch.inference_mode():
            logits = model.model(torch.tensor([[*prompt, *expected]], device=model.device)).logits[0, -1]
        values = naive(logits.tolist(), rules, prompt, expected)
        expected.append(max(range(len(values)), key=lambda token: values[token]))
    others = mixed(5)
    plain, ruled, *_ = generate(model, [Request(prompt, GREEDY), Request(prompt, GREEDY, rules=rules), *others])
    assert ruled.tokens == expected != plain.tokens


@pytest.mark.parametrize("top_p", [1.0, 0.7])
@pytest.mark.parametrize(("top_k", "min_p"), [(0, 0.0), (-1, 0.0), (3, 0.0), (1, 0.0), (0, 0.3), (2, 0.9), (4, 0.1)])
def test_tokens_are_drawn_as_often_as_their_share_of_those_that_are_left(
    top_k: int, min_p: float, top_p: float
) -> None:
    logits, draws = [0.3, 2.0, -1.0, 1.1, 0.0, 1.6], 20000
    weights = {token: math.exp(each) for token, each in enumerate(logits)}
    left = sorted((token for token in weights if weights[token] >= min_p * math.exp(2.0)), key=lambda t: -weights[t])
    left = left[: top_k if top_k > 0 else None]
    total, kept = sum(weights[token] for token in left), list[int]()
    for token in left:  # the fewest that have top_p together
        if sum(weights[each] for each in kept) < top_p * total - 1e-9:
            kept.append(token)
    params, rules = SamplingParams(temperature=1.0, top_p=top_p), TokenRules(top_k=top_k, min_p=min_p)
    drawn = sample(torch.tensor([logits] * draws), params, torch.Generator().manual_seed(0), rules)
    counts = Counter(drawn)
    assert set(counts) == set(kept)
    for token in kept:
        share = weights[token] / sum(weights[each] for each in kept)
        # five standard deviations
        assert abs(counts[token] / draws - share) <= 5 * math.sqrt(share * (1 - share) / draws)


def test_an_answer_ends_no_sooner_than_it_may(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Request(text_ids(20), GREEDY)
    [free] = generate(model, [asked])
    place = min(at for at, token in enumerate(free.tokens) if at > 1 and token not in free.tokens[:at])
    end = free.tokens[place]
    monkeypatch.setattr(loop, "end_tokens", lambda model: {end})
    [short, later, never, stopped, both] = generate(
        model,
        [
            asked,
            replace(asked, rules=TokenRules(min_tokens=place + 4)),
            replace(asked, rules=TokenRules(ignore_eos=True)),
            replace(asked, rules=TokenRules(stop_token_ids=frozenset(free.tokens[:1]), ignore_eos=True)),
            replace(asked, rules=TokenRules(stop_token_ids=frozenset(free.tokens[:1]), min_tokens=place)),
        ],
    )
    assert (short.tokens, short.finish_reason) == (free.tokens[:place], "stop")
    assert later.tokens[:place] == free.tokens[:place]
    assert end not in later.tokens[: place + 4]
    assert len(later.tokens) >= place + 4
    assert (never.tokens, never.finish_reason) == (free.tokens, "length")
    assert (stopped.tokens, stopped.finish_reason) == ([], "stop")
    assert not {end, free.tokens[0]} & set(both.tokens)
    assert len(both.tokens) >= place


def test_a_stop_string_counts_only_behind_the_least_number_of_tokens() -> None:
    tokenizer = tiny_tokenizer()
    ids = tokenizer("one two one two")["input_ids"]
    for least in range(len(ids) + 1):
        text = IncrementalDetokenizer(tokenizer, stop=["two"])
        told = ""
        for count, token in enumerate(ids, start=1):
            told += text.add(token, may_stop=count > least)
            if text.stopped:
                break
        else:
            told += text.finish()
        free = tokenizer.decode(ids[:least])
        place = "one two one two".find("two", len(free))
        assert told == "one two one two"[: None if place < 0 else place], least


def test_sampled_answers_do_not_depend_on_their_neighbours(model: LoadedModel) -> None:
    rules = [
        TokenRules(),
        TokenRules(top_k=20),
        TokenRules(min_p=0.02, presence_penalty=1.0),
        TokenRules(repetition_penalty=1.3, logit_bias=((44, 4.0),)),
    ]
    requests = [
        replace(each, how=replace(HOT, seed=number), rules=rules[number % 4]) for number, each in enumerate(mixed())
    ]
    together = [stream.tokens for stream in generate(model, requests)]
    assert len({tuple(tokens) for tokens in together}) == len(together)
    assert together[::-1] == [stream.tokens for stream in generate(model, requests[::-1], batch_tokens=16)]
    assert together == [generate(model, [request])[0].tokens for request in requests]


@pytest.mark.parametrize(
    "wrong",
    [
        {"top_k": -2},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"min_p": math.nan},
        {"min_tokens": -1},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": math.inf},
        {"presence_penalty": math.nan},
        {"logit_bias": ((1, math.inf),)},
    ],
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="expected"):
        TokenRules(**wrong)


def test_a_token_that_is_not_there_is_refused(model: LoadedModel) -> None:
    for token in (-1, model.vocabulary):
        for rules in (TokenRules(logit_bias=((token, 1.0),)), TokenRules(stop_token_ids=frozenset([token]))):
            with pytest.raises(InputError, match=f"token {token}, expected 0 to {model.vocabulary - 1}"):
                generate(model, [Request(text_ids(4), rules=rules)])
