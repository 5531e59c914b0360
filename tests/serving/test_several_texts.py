"""Requests of several texts, and what their fields make of each: rules, echoes, sources, places in the queue."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
import torch

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.token_rules import TokenRules
from pasctl.stages.model import ModelHandle
from tests.serving.conftest import Running, Start
from tests.serving.test_likelihoods import TEXTS, Oracle, completion, ids_of, oracle
from tests.serving.test_server import JSON, MEMORIES, MODEL, PEOPLE, chat, until

__all__ = ["oracle"]

RULES: list[tuple[dict[str, Any], TokenRules]] = [
    ({"presence_penalty": 1.5}, TokenRules(presence_penalty=1.5)),
    ({"frequency_penalty": -1.0}, TokenRules(frequency_penalty=-1.0)),
    ({"repetition_penalty": 1.5}, TokenRules(repetition_penalty=1.5)),
    ({"logit_bias": {"40": 20, "41": -20.5}}, TokenRules(logit_bias=((40, 20.0), (41, -20.5)))),
    ({"top_k": 5}, TokenRules(top_k=5)),
    ({"top_k": -1}, TokenRules()),
    ({"min_p": 0.2}, TokenRules(min_p=0.2)),
    ({"min_tokens": 12, "stop": ["e"]}, TokenRules(min_tokens=12)),
    ({"ignore_eos": True}, TokenRules(ignore_eos=True)),
]


def test_rules_are_those_of_the_library(server: Running, handle: ModelHandle) -> None:
    how = SamplingParams(max_new_tokens=14, temperature=1.1, seed=4)
    model, prompt = handle.load(), ids_of(handle, TEXTS[0])
    requests = [Request(prompt, how, rules=rules, stop=tuple(fields.get("stop", ()))) for fields, rules in RULES]
    expected = [stream.written for stream in generate(model, requests)]
    assert len(set(expected)) > 5
    with server.client() as client:
        for (fields, _), text in zip(RULES, expected, strict=True):
            body = completion(prompt, max_tokens=14, temperature=1.1, seed=4, extra_body=fields)
            assert client.completions.create(**body).choices[0].text == text, fields


def test_an_echo_is_the_prompt(server: Running, handle: ModelHandle) -> None:
    special = f"<|im_start|>{TEXTS[1]}<|im_end|>"
    with server.client() as client:
        for text in (*TEXTS, special):
            for prompt in (text, ids_of(handle, text)):
                alone, echoed, read = (
                    client.completions.create(**completion(prompt, **more)).choices[0]
                    for more in ({}, {"echo": True}, {"echo": True, "max_tokens": 0})
                )
                assert (echoed.text, read.text) == (text + alone.text, text)
                assert (read.finish_reason, read.logprobs) == ("length", None)
        empty = client.completions.create(**completion(TEXTS[0], max_tokens=0))
        assert (empty.choices[0].text, empty.usage.completion_tokens) == ("", 0)


def test_a_completions_prompt_is_told_by_ids(server: Running, handle: ModelHandle, oracle: Oracle) -> None:
    body = completion([TEXTS[0], TEXTS[3]], PEOPLE[0], n=2, extra_body={"prompt_logprobs": 3})
    with server.client() as client:
        choices = client.completions.create(**body).choices
    for choice in choices:
        ids = ids_of(handle, (TEXTS[0], TEXTS[3])[choice.index // 2])
        first, *told = choice.model_extra["prompt_logprobs"]
        assert first is None
        for token, row, each in zip(ids[1:], oracle(PEOPLE[0], ids), told, strict=True):
            assert {int(one) for one in each} == {token, *row.topk(3).indices.tolist()}
            for one, found in each.items():
                assert found["logprob"] == pytest.approx(row[int(one)].item(), abs=1e-4)
                assert found["rank"] == 1 + int((row > row[int(one)]).sum())
    assert [choice.logprobs for choice in choices] == [None] * 4


def test_texts_of_a_memory_have_sources_of_their_own(server: Running) -> None:
    with server.client() as client:
        request = chat(memory=MEMORIES[1], n=2, temperature=1.2, seed=8, logprobs=True)
        answer = client.chat.completions.create(**request)
        singles = [client.chat.completions.create(**{**request, "n": 1, "seed": 8 + number}) for number in range(2)]
        chunks = list(client.chat.completions.create(**request, stream=True))
    for choice, single in zip(answer.choices, singles, strict=True):
        assert choice.message.content == single.choices[0].message.content
        noted = choice.model_extra["pasctl"]
        assert noted == {name: single.model_extra["pasctl"][name] for name in ("sources", "sentences")}
        [streamed] = [
            chunk.choices[0].model_extra["pasctl"]
            for chunk in chunks
            if chunk.choices[0].index == choice.index and chunk.choices[0].finish_reason
        ]
        assert streamed == noted
        probabilities = torch.tensor([each.logprob for each in choice.logprobs.content]).exp()
        assert bool(((probabilities > 0) & (probabilities <= 1)).all())
    assert "sources" not in answer.model_extra["pasctl"]


def test_several_texts_take_places_together_and_free_them_together(serve: Start) -> None:
    with serve(max_batch=2, queue=2) as server, server.client() as client:
        counts = server.service.engine.counts
        endless = {"model": MODEL, "prompt": ["a", "b"], "max_tokens": 6000, "ignore_eos": True}
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc)
        connection.request("POST", "/v1/completions", json.dumps(endless), JSON)
        until(lambda: counts().running == 2)
        with pytest.raises(openai.RateLimitError):
            client.completions.create(**completion(["a"] * 3))
        with pytest.raises(openai.BadRequestError, match="5 texts at a time, expected at most 4"):
            client.completions.create(**completion(["a"] * 5))
        connection.close()
        until(lambda: counts().running == counts().waiting == 0)
        assert counts().outcomes == {"refused": 3, "cancelled": 2}
        assert len(client.completions.create(**completion(["a"] * 4)).choices) == 4


def test_one_bad_prompt_of_several_refuses_them_all(serve: Start) -> None:
    with serve() as server, server.client() as client:
        for wrong in (["a", ""], [[1], [99999]], [[1], [1] * 99999]):
            with pytest.raises(openai.BadRequestError):
                client.completions.create(**completion(wrong))
        assert server.service.engine.counts().tokens_run == 0
