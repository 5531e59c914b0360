"""Log-probabilities over HTTP are those of the model itself, for every persona and in whatever company."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from torch import Tensor

import pasctl
from pasctl.commands.serve import Serve
from pasctl.commands.target import SteeringTarget
from pasctl.models.conversation import Conversation
from pasctl.serving.server import open_service
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.steering import steer
from tests.serving.conftest import Running, running
from tests.serving.test_server import MODEL, PEOPLE, chat

TEXTS = [
    "I am the life of the party.",
    "Größe 🙂 naïve – 中文, I worry",
    "a",
    "I have a vivid imagination. I get stressed out easily. 🙃🙂",
]
ALPHA = 4.0


Oracle = Callable[[str | None, Sequence[int]], Tensor]


@pytest.fixture(scope="module")
def oracle(tiny_folder: Path, served_store: Path) -> Oracle:
    """Log-probabilities [n - 1, vocabulary] of what comes after each of the tokens but the last, for a persona.

    The model is another object than the server's, which runs in a thread of its own.
    """
    model, one_at_a_time = pasctl.load_model(str(tiny_folder), dtype="float32"), threading.Lock()

    def logprobs(persona: str | None, ids: Sequence[int]) -> Tensor:
        told = None if persona is None else pasctl.intervention(model, persona, ALPHA, store=served_store)
        with one_at_a_time, steer(model, told), torch.inference_mode():
            return model.model(torch.tensor([list(ids)])).logits[0, :-1].float().log_softmax(-1)

    return logprobs


def completion(prompt: Any, persona: str | None = None, **more: Any) -> dict[str, Any]:
    extras = {"persona": persona, "alpha": ALPHA} if persona else {}
    own = more.pop("extra_body", {})
    return {
        "model": MODEL,
        "prompt": prompt,
        "temperature": 0,
        "max_tokens": 5,
        "extra_body": {**own, **({"pasctl": extras} if extras else {})},
        **more,
    }


def ids_of(handle: ModelHandle, text: str) -> list[int]:
    return list(handle.load().tokenizer(text)["input_ids"])


def agree(found: Any, expected: Tensor, ids: Sequence[int], top: int) -> None:
    """The log-probabilities of `ids`, which begin a text, are those in expected [n - 1, vocabulary]."""
    assert found.token_logprobs[0] is found.top_logprobs[0] is None
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == len(ids)
    for token, logprob, likeliest, row in zip(
        ids[1:], found.token_logprobs[1:], found.top_logprobs[1:], expected, strict=True
    ):
        assert logprob == pytest.approx(row[token].item(), abs=1e-4)
        values = row.topk(top).values.tolist()
        assert sorted(likeliest.values(), reverse=True)[:top] == pytest.approx(values, abs=1e-4)
        assert logprob in likeliest.values()
        assert len(likeliest) in (top, top + 1)


@pytest.mark.parametrize("given", ["text", "ids"])
@pytest.mark.parametrize("tokens", [0, 1, 5])
def test_echoed_prompts_have_the_models_own_likelihoods_alone_and_together(
    server: Running, handle: ModelHandle, oracle: Oracle, given: str, tokens: int
) -> None:
    prompts = TEXTS if given == "text" else [ids_of(handle, text) for text in TEXTS]
    who = [None, *PEOPLE[:2]]

    def asked(prompt: Any, persona: str | None) -> Any:
        request = completion(prompt, persona, max_tokens=tokens, echo=True, logprobs=3)
        answer = client.completions.create(**request)
        for choice in answer.choices:
            # what a rerun in token ids says, of tokens that are no text of their own too
            ids = ids_of(handle, TEXTS[choice.index] if prompt is prompts else TEXTS[prompts.index(prompt)])
            named = client.completions.create(
                **{
                    **request,
                    "prompt": ids,
                    "extra_body": {**request["extra_body"], "return_tokens_as_token_ids": True},
                }
            ).choices[0]
            written = [int(token.removeprefix("token_id:")) for token in named.logprobs.tokens]
            assert written[: len(ids)] == ids
            assert len(written) == len(ids) + tokens or named.finish_reason == "stop"
            expected = oracle(persona, written)
            agree(choice.logprobs, expected, written, 3)
            for likeliest, row in zip(named.logprobs.top_logprobs[1:], expected, strict=True):
                assert [f"token_id:{token}" for token in row.topk(3).indices.tolist()] == list(likeliest)[:3]
        return [choice.logprobs.token_logprobs[1:] for choice in answer.choices]

    with server.client() as client, ThreadPoolExecutor(9) as threads:
        cases = list(itertools.product(prompts, who))
        single = [asked(prompt, persona)[0] for prompt, persona in cases]
        together = list(threads.map(lambda case: asked(*case)[0], cases))
        lists = dict(zip(who, threads.map(lambda persona: asked(prompts, persona), who), strict=True))
    for one, other, (prompt, persona) in zip(single, together, cases, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
        assert one == pytest.approx(lists[persona][prompts.index(prompt)], abs=1e-4)
    assert single[0] != pytest.approx(single[1], abs=0.1)  # personas do differ


def test_offsets_are_characters_of_the_text(server: Running, handle: ModelHandle) -> None:
    with server.client() as client:
        for text, echo in itertools.product(TEXTS, (True, False)):
            ids = ids_of(handle, text)
            # bias makes it write characters of several tokens as well
            bias = {str(token): 30 for token in ids_of(handle, "🙂中")}
            request = completion(text, echo=echo, logprobs=0, max_tokens=12, logit_bias=bias, presence_penalty=2)
            [choice] = client.completions.create(**request).choices
            [same] = client.completions.create(**{**request, "prompt": ids}).choices
            found = choice.logprobs
            assert (same.text, same.logprobs) == (choice.text, found)
            assert choice.text.startswith(text if echo else "")
            assert found.text_offset == sorted(found.text_offset)
            assert len(found.tokens) == (len(ids) if echo else 0) + 12
            ends = [*found.text_offset[1:], len(choice.text)]
            for token, start, end in zip(found.tokens, found.text_offset, ends, strict=True):
                if token.startswith("bytes:"):  # a part of a character begins where that does
                    assert end - start <= 1
                else:
                    assert choice.text[start:end] == token


def test_an_answer_is_streamed_with_the_likelihoods_it_has_whole(server: Running) -> None:
    prompts = [TEXTS[1], TEXTS[3]]
    request = completion(prompts, PEOPLE[0], echo=True, logprobs=2, n=2, temperature=1.2, seed=5)
    request["extra_body"]["top_k"] = 40
    with server.client() as client:
        whole = client.completions.create(**request)
        chunks = list(client.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    assert chunks[-1].usage == whole.usage
    for choice in whole.choices:
        mine = [chunk.choices[0] for chunk in chunks[:-1] if chunk.choices[0].index == choice.index]
        assert "".join(each.text for each in mine) == choice.text
        assert [each.finish_reason for each in mine if each.finish_reason] == [choice.finish_reason]
        for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
            told = [one for each in mine if each.logprobs for one in getattr(each.logprobs, name)]
            expected = getattr(choice.logprobs, name)
            if name in ("tokens", "text_offset"):
                assert told == expected
            assert len(told) == len(expected)


def test_several_texts_of_a_prompt_have_seeds_of_their_own(server: Running, handle: ModelHandle) -> None:
    prompts = [TEXTS[0], TEXTS[3]]
    request = completion(prompts, PEOPLE[1], temperature=1.3, seed=11)
    with server.client() as client:
        several = client.completions.create(**request, n=3)
        assert len({choice.text for choice in several.choices}) == 6
        for choice in several.choices:
            one = {**request, "prompt": prompts[choice.index // 3], "seed": 11 + choice.index % 3}
            assert client.completions.create(**one).choices[0].text == choice.text
        read = sum(len(ids_of(handle, text)) for text in prompts)
        assert several.usage is not None
        assert several.usage.prompt_tokens == read
        words = chat(n=2, temperature=1.3, seed=3, persona=PEOPLE[1])
        answers = [choice.message.content for choice in client.chat.completions.create(**words).choices]
        assert len(set(answers)) == 2
        assert [
            client.chat.completions.create(**{**words, "n": 1, "seed": 3 + number}).choices[0].message.content
            for number in range(2)
        ] == answers


def test_a_chats_answer_tells_its_likelihoods(server: Running, handle: ModelHandle, oracle: Oracle) -> None:
    request = chat(persona=PEOPLE[2], alpha=ALPHA, logprobs=True, top_logprobs=4)
    request["extra_body"]["prompt_logprobs"] = 2
    with server.client() as client:
        answer = client.chat.completions.create(**request)
        body = {**request["extra_body"], "prompt_logprobs": None}
        streamed = list(client.chat.completions.create(**{**request, "extra_body": body}, stream=True))
        plain = client.chat.completions.create(**chat(logprobs=True))
    prompt = answer.model_extra["prompt_logprobs"]
    content = answer.choices[0].logprobs.content
    tokenizer = handle.load().tokenizer
    words = [each for each in content if each.token not in tokenizer.all_special_tokens]
    assert b"".join(bytes(each.bytes) for each in words).decode() == answer.choices[0].message.content
    rows = iter(prompt[1:])
    assert prompt[0] is None
    conversation = Conversation(handle.load().chat)
    asked = [*conversation.opening(), *conversation.question(request["messages"][0]["content"])]
    expected = oracle(PEOPLE[2], asked)
    for token, row, told in zip(asked[1:], expected, rows, strict=True):
        assert told[str(token)]["logprob"] == pytest.approx(row[token].item(), abs=1e-4)
        assert told[str(token)]["rank"] == 1 + int((row > row[token]).sum())
        values, likeliest = row.topk(2)
        assert {str(each) for each in likeliest.tolist()} <= told.keys()
        assert [told[str(each)]["logprob"] for each in likeliest.tolist()] == pytest.approx(values.tolist(), abs=1e-4)
    assert all(len(each.top_logprobs) == 4 for each in content)
    assert all(each.top_logprobs[0].logprob == each.logprob for each in content)  # greedy
    told = [one for chunk in streamed if chunk.choices[0].logprobs for one in chunk.choices[0].logprobs.content]
    assert [each.token for each in told] == [each.token for each in content]
    assert all(each.top_logprobs == [] for each in plain.choices[0].logprobs.content)


def test_fields_that_contradict_each_other_are_refused(server: Running) -> None:
    with server.client() as client:
        for wrong, told in (
            (chat(top_logprobs=3), "logprobs to be true"),
            (chat(extra_body={"min_tokens": 13}), "min_tokens is 13, the answer may have at most 12"),
            (chat(extra_body={"prompt_logprobs": 1}, stream=True), "prompt_logprobs cannot be streamed"),
            (chat(n=100), "100 texts at a time, expected at most 80"),
        ):
            with pytest.raises(openai.BadRequestError, match=told):
                client.chat.completions.create(**wrong)


def test_a_persona_of_answers_alone_has_no_likelihoods_of_prompts(handle: ModelHandle, served_store: Path) -> None:
    settings = Settings(port=0)
    served = Serve(
        model=handle,
        settings=settings,
        directions=["latest"],
        steering=SteeringTarget(alpha=ALPHA, positions="answer"),
    )
    with (
        open_service(served, Run(served_store)) as service,
        running(service, settings) as server,
        server.client() as client,
    ):
        asked = completion(TEXTS[0], PEOPLE[0], logprobs=1)
        for wrong in ({"echo": True}, {"extra_body": {**asked["extra_body"], "prompt_logprobs": 0}}):
            with pytest.raises(openai.BadRequestError, match="--positions all"):
                client.completions.create(**{**asked, **wrong})
        assert client.completions.create(**{**asked, "echo": True, "logprobs": None}).choices[0].text
        assert client.completions.create(**completion(TEXTS[0], echo=True, logprobs=1)).choices[0].logprobs
