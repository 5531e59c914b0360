"""Likelihoods of prompts and answers are those of a plain forward pass, whoever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.generation import loop
from pasctl.generation.engine import Engine
from pasctl.generation.likelihoods import PromptLikelihoods, TokenLikelihood
from pasctl.generation.loop import generate
from pasctl.generation.request import PromptTooLongError, QueueFullError, Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.load import LoadedModel
from pasctl.steering import steer
from tests.generation.test_engine import mixed, persona
from tests.memory.test_exactness import text_ids
from tests.tiny import tiny_loaded

TOP = 4


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


def forward(model: LoadedModel, request: Request, ids: Sequence[int]) -> Tensor:
    """Log-probabilities [n - 1, vocabulary] of what comes after each token but the last, by transformers alone."""
    own = torch.tensor([list(ids)], device=model.device)
    first = 0 if request.positions == "all" else (request.answer_from or len(request.prompt)) - 1
    parts, cache = [], None
    with torch.inference_mode():
        # the tokens before the answer are read as they are, those of the answer steered
        for part, told in ((own[:, :first], None), (own[:, first:], request.intervention)):
            if part.shape[1]:
                with steer(model, told):
                    output = model.model(part, past_key_values=cache, use_cache=True)
                parts.append(output.logits[0].float())
                cache = output.past_key_values
    return torch.cat(parts)[:-1].log_softmax(-1).cpu()


def agree(found: Sequence[TokenLikelihood], ids: Sequence[int], expected: Tensor, top: int) -> None:
    """Likelihoods of `ids` are those in expected [n, vocabulary], with the most likely tokens and the rank."""
    assert [each.token for each in found] == list(ids)
    for each, row in zip(found, expected, strict=True):
        assert each.logprob == pytest.approx(row[each.token].item(), abs=1e-4)
        values, likeliest = row.topk(top)
        assert [token for token, _ in each.top] == likeliest.tolist()
        assert [value for _, value in each.top] == pytest.approx(values.tolist(), abs=1e-4)
        assert each.rank == 1 + sum(1 for value in row.tolist() if value > row[each.token].item())


def check(model: LoadedModel, request: Request, stream: loop.Stream) -> None:
    first, *prompt = stream.prompt_likelihoods
    assert first == TokenLikelihood(request.prompt[0], None, None, ())
    written = [each.token for each in stream.likelihoods]
    assert written[: len(stream.tokens)] == stream.tokens
    assert len(written) == len(stream.tokens) + (stream.finish_reason == "stop")
    expected = forward(model, request, [*request.prompt, *written])
    agree(prompt, request.prompt[1:], expected[: len(prompt)], TOP)
    agree(stream.likelihoods, written, expected[len(prompt) :], TOP)


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
def test_likelihoods_are_those_of_a_plain_forward_pass(family: str) -> None:
    model = tiny_loaded(family)
    requests = [replace(each, logprobs=TOP, prompt_logprobs=TOP) for each in mixed()]
    for step in (7, 4096):
        for request, stream in zip(requests, generate(model, requests, batch_tokens=step), strict=True):
            check(model, request, stream)
    [alone] = generate(model, [requests[4]])
    check(model, requests[4], alone)


def test_a_prompts_logits_are_made_a_few_at_a_time(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    request, sizes = Request(text_ids(30), prompt_logprobs=TOP, prompt_only=True), list[int]()
    logits = LoadedModel.logits

    def noted(self: LoadedModel, hidden: Tensor) -> Tensor:
        sizes.append(len(hidden))
        return logits(self, hidden)

    monkeypatch.setattr("pasctl.generation.likelihoods.LOGITS_BYTES", 4 * model.vocabulary * 8)
    monkeypatch.setattr(LoadedModel, "logits", noted)
    [stream] = generate(model, [request])
    monkeypatch.undo()
    assert sizes == [8, 8, 8, 5]  # nothing is to be known after the last token
    agree(stream.prompt_likelihoods[1:], request.prompt[1:], forward(model, request, request.prompt), TOP)


def test_a_prompt_that_is_only_read_writes_nothing_and_may_fill_the_context(model: LoadedModel) -> None:
    with Engine(model) as engine:
        engine.context = 20
        full = Request(text_ids(20), prompt_logprobs=0, prompt_only=True)
        stream = engine.submit(full)
        assert (stream.text(), stream.tokens, stream.finish_reason) == ("", [], "length")
        assert len(stream.prompt_likelihoods) == 20
        assert engine.counts().tokens_written == 0
        for wrong in (replace(full, prompt_only=False), replace(full, prompt=text_ids(21))):
            with pytest.raises(PromptTooLongError):
                engine.submit(wrong)


def test_without_asking_nothing_is_kept(model: LoadedModel) -> None:
    [stream] = generate(model, [Request(text_ids(9))])
    assert stream.likelihoods == stream.prompt_likelihoods == []


def test_the_token_that_ends_a_text_has_its_likelihood(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    request = Request(text_ids(9), SamplingParams(max_new_tokens=8), logprobs=TOP, prompt_logprobs=TOP)
    [free] = generate(model, [request])
    place = max(free.tokens.index(token) for token in free.tokens)
    assert place > 1
    end = free.tokens[place]
    monkeypatch.setattr(loop, "end_tokens", lambda model: {end})
    [stream] = generate(model, [request])
    assert (stream.tokens, stream.likelihoods[-1].token) == (free.tokens[:place], end)
    check(model, request, stream)


def test_an_answer_that_begins_in_the_prompt_is_steered_from_there(model: LoadedModel) -> None:
    asked = Request(text_ids(20), intervention=persona(1), positions="answer", logprobs=TOP, prompt_logprobs=TOP)
    for start in (1, 7, 19, 20, None):
        request = replace(asked, answer_from=start)
        [stream] = generate(model, [request], batch_tokens=6)
        check(model, request, stream)


def test_several_requests_are_queued_together_or_not_at_all(model: LoadedModel) -> None:
    request = Request(text_ids(5))
    with Engine(model, max_batch=1, queue=2) as engine:
        with pytest.raises(InputError, match="4 texts at a time, expected at most 3"):
            engine.submit_all([request] * 4)
        with pytest.raises(InputError, match="empty"):
            engine.submit_all([request, Request([])])
        busy = engine.submit(Request(text_ids(5), SamplingParams(max_new_tokens=5000)))
        with pytest.raises(QueueFullError):
            engine.submit_all([request] * 3)
        assert engine.counts().outcomes == {"refused": 3}
        busy.cancel()
        assert len({stream.text() for stream in engine.submit_all([request] * 2)}) == 1


def test_probabilities_that_are_no_numbers_are_told(model: LoadedModel) -> None:
    prompt = PromptLikelihoods(model, text_ids(4), TOP)
    with pytest.raises(Exception, match="no numbers"):
        prompt.add(torch.full((3, 48), torch.nan))
