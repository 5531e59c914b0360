"""Texts that share a batch are those that the same requests give alone, from transformers and from a memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from pasctl.errors import InputError, IntegrityError, PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.request import EngineClosedError, OutOfTimeError, QueueFullError, Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.load import LoadedModel
from pasctl.models.sites import RESIDUAL
from pasctl.steering import Intervention, steer
from tests.memory.test_exactness import SMALL, text_ids
from tests.memory.test_sliding import sliding_model
from tests.tiny import HEAD_DIM, HEADS, HIDDEN, LAYERS, tiny_loaded, tiny_model, tiny_tokenizer

LENGTHS = (1, 3, 40, 17, 90, 8)
GREEDY = SamplingParams(max_new_tokens=12)


def persona(seed: int, layers: Sequence[int] = range(LAYERS)) -> Intervention:
    generator = torch.Generator().manual_seed(seed)
    return Intervention({layer: torch.randn(1, HEADS * HEAD_DIM, generator=generator) for layer in layers})


def alone(model: LoadedModel, request: Request) -> list[int]:
    """What transformers writes for one request."""
    ids = torch.tensor([list(request.prompt)])
    with steer(model, request.intervention, positions=request.positions), torch.inference_mode():
        made = model.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=request.how.max_new_tokens, do_sample=False
        )
    written = [int(token) for token in made[0, ids.shape[1] :]]
    return written[:-1] if written[-1] == model.tokenizer.eos_token_id else written


def together(engine: Engine, requests: Sequence[Request]) -> list[list[int]]:
    streams = [engine.submit(request) for request in requests]
    texts = [stream.text() for stream in streams]
    for stream, text in zip(streams, texts, strict=True):
        assert text == engine.model.tokenizer.decode(stream.tokens, skip_special_tokens=True)
    return [stream.tokens for stream in streams]


def mixed(count: int = 12) -> list[Request]:
    """Prompts of many lengths, steered by two personas in two ways or not at all."""
    personas = [None, persona(1), persona(2, [1])]
    return [
        Request(
            text_ids(LENGTHS[n % len(LENGTHS)], seed=n),
            GREEDY,
            intervention=personas[n % 3],
            positions="answer" if n % 2 else "all",
        )
        for n in range(count)
    ]


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
def test_a_batch_writes_what_transformers_writes_alone(family: str) -> None:
    model, requests = tiny_loaded(family), mixed()
    expected = [alone(model, request) for request in requests]
    assert len({tuple(tokens) for tokens in expected}) > 8
    with Engine(model, max_batch=5, step_tokens=16) as engine:
        assert together(engine, requests) == expected
        # five at most ran, those that left made room at once, and no token of a prompt was run twice
        counts = engine.counts()
        assert counts.outcomes.keys() <= {"stop", "length"}
        ended = counts.outcomes.get("stop", 0)
        assert counts.tokens_written == sum(map(len, expected)) + ended
        assert counts.tokens_run == sum(len(each.prompt) for each in requests) + counts.tokens_written - len(requests)
        assert counts.passes < sum(map(len, expected))
    assert model.model.config._attn_implementation == "sdpa"
    assert not any(output._forward_hooks for output in model.outputs())


@pytest.mark.parametrize("kind", ["middle", "every"])
@pytest.mark.parametrize("width", [3, 20])
def test_layers_with_a_sliding_window_keep_to_it(kind: str, width: int) -> None:
    windowed: dict[str, Any] = {"sliding_window": width}
    every = LoadedModel.wrap(tiny_model("mistral", **windowed), tiny_tokenizer())
    model, requests = every if kind == "every" else sliding_model(kind, width), mixed(6)
    with Engine(model, step_tokens=7) as engine:
        found = together(engine, requests)
        assert found == [alone(model, request) for request in requests]


def test_texts_that_shift_different_kinds_of_sites_are_written_as_each_alone() -> None:
    model, requests = tiny_loaded(), mixed(9)
    shift = torch.randn(1, HIDDEN, generator=torch.Generator().manual_seed(1))
    for place in (1, 4, 5):
        requests[place] = replace(requests[place], intervention=Intervention({1: shift}, RESIDUAL))
    with Engine(model, step_tokens=16) as engine:
        assert together(engine, requests) == [alone(model, request) for request in requests]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return tiny_loaded()


def read(model: LoadedModel, seed: int, **how: Any) -> EpisodicMemory:
    memory = EpisodicMemory(model, **SMALL | {"n_local": 48}, **how)
    memory.read_ids(text_ids(150, seed=seed))
    assert memory.reader.past.events.evicted > 5
    return memory


def asked(memory: EpisodicMemory, words: str, **how: Any) -> Request:
    return Request(memory.prompt.question(words), GREEDY, memory=memory, strip=True, **how)


WORDS = ["Who?", "I worry about things, and what?"]


@pytest.mark.parametrize("family", ["qwen3", "qwen3_moe", "llama"])
def test_memories_answer_as_if_asked_alone(family: str) -> None:
    model = tiny_loaded(family, template="qwen3")
    steered = read(model, 3, intervention=persona(5))
    plain = [read(model, seed) for seed in (1, 2)]
    memories = [*plain, steered]
    expected = [[memory.ask(words, max_new_tokens=12) for words in WORDS] for memory in memories]
    assert len({text for row in expected for text in row}) > 3
    # the first memory's text, asked as a persona
    plain[0].intervention = persona(6)
    as_persona = [plain[0].ask(words, max_new_tokens=12) for words in WORDS]
    plain[0].intervention = None
    assert as_persona != expected[0]
    others = mixed(6)
    with Engine(model, max_batch=8, step_tokens=10) as engine:
        asking = [engine.submit(asked(memory, words)) for words in WORDS for memory in memories]
        beside = [engine.submit(request) for request in others]
        personas = [engine.submit(asked(plain[0], words, intervention=persona(6))) for words in WORDS]
        assert [stream.text() for stream in asking] == [row[place] for place in range(2) for row in expected]
        assert [stream.text() for stream in personas] == as_persona
        for stream, request in zip(beside, others, strict=True):
            stream.text()
            assert stream.tokens == alone(model, request)
    assert [[memory.ask(words, max_new_tokens=12) for words in WORDS] for memory in memories] == expected


def test_what_was_recalled_is_told_if_wanted(model: LoadedModel) -> None:
    memory = read(model, 1)
    [answer] = memory.ask_all(WORDS[1:2], SamplingParams(max_new_tokens=9, retrieve_every=4))
    with Engine(model) as engine:
        how = SamplingParams(max_new_tokens=9, retrieve_every=4)
        prompt = memory.prompt.question(WORDS[1])
        kept, other = (
            engine.submit(Request(prompt, how, memory=memory, strip=True, keep_recalled=keep)) for keep in (True, False)
        )
        assert kept.text() == other.text() == answer.text
        assert [(each.layer, each.events) for each in kept.recalled] == [
            (each.layer, each.events) for each in answer.recalled
        ]
        assert not other.recalled


def test_sampling_depends_on_the_seed_alone(model: LoadedModel) -> None:
    def request(seed: int) -> Request:
        return Request(text_ids(9), SamplingParams(max_new_tokens=20, temperature=1.5, top_p=0.9, seed=seed))

    with Engine(model, max_batch=4, step_tokens=5) as engine:
        single = [engine.submit(request(seed)) for seed in (7,)]
        single[0].text()
        crowd = [engine.submit(request(seed)) for seed in (1, 7, 2, 7, 3)]
        for stream in crowd:
            stream.text()
    assert crowd[1].tokens == crowd[3].tokens == single[0].tokens
    assert len({tuple(stream.tokens) for stream in crowd}) == 4


def test_a_stop_string_ends_the_text_before_it(model: LoadedModel) -> None:
    with Engine(model) as engine:
        whole = engine.submit(Request(text_ids(8), SamplingParams(max_new_tokens=40)))
        text = whole.text()
        stop = text[20:23]
        cut = engine.submit(Request(text_ids(8), SamplingParams(max_new_tokens=40), stop=("never written", stop)))
        pieces = list(cut)
    assert (whole.finish_reason, cut.finish_reason) == ("length", "stop")
    assert "".join(pieces) == text[: text.index(stop)]
    assert len(cut.tokens) < len(whole.tokens) == 40


def test_a_text_ends_where_the_context_does() -> None:
    model = tiny_loaded()
    model.model.config.max_position_embeddings = 30
    with Engine(model) as engine:
        stream = engine.submit(Request(text_ids(26), GREEDY))
        stream.text()
        assert (stream.completion_tokens, stream.finish_reason) == (4, "length")
        with pytest.raises(InputError, match="has 30 tokens, the model's context is 30"):
            engine.submit(Request(text_ids(30), GREEDY))


def test_a_full_queue_refuses_and_a_cancelled_text_frees_its_place(model: LoadedModel) -> None:
    endless = SamplingParams(max_new_tokens=5000)
    with Engine(model, max_batch=2, queue=1) as engine:
        running = [engine.submit(Request(text_ids(5, seed=seed), endless)) for seed in range(2)]
        for stream in running:
            next(iter(stream))
        waiting = engine.submit(Request(text_ids(5), GREEDY))
        with pytest.raises(QueueFullError, match="3 requests run or wait"):
            engine.submit(Request(text_ids(5), GREEDY))
        assert engine.counts().running == 2
        running[0].cancel()
        assert waiting.text()
        assert running[0].text() is not None
        assert running[0].finish_reason == "cancelled"
        running[1].cancel()
        list(running[1])
        counts = engine.counts()
    assert (counts.outcomes["refused"], counts.outcomes["cancelled"], counts.running) == (1, 2, 0)


def test_a_request_has_so_much_time_to_wait_and_to_be_written(model: LoadedModel) -> None:
    with Engine(model, max_batch=1, timeout=0.4) as engine:
        streams = [engine.submit(Request(text_ids(5), SamplingParams(max_new_tokens=8000))) for _ in range(2)]
        with pytest.raises(OutOfTimeError, match=r"being written after 0\.4 seconds"):
            streams[0].text()
        with pytest.raises(OutOfTimeError, match=r"waiting|written"):
            streams[1].text()
        assert streams[0].completion_tokens > 0
        assert engine.counts().outcomes == {"timeout": 2}


def test_closing_ends_what_runs_and_waits(model: LoadedModel) -> None:
    engine = Engine(model, max_batch=1)
    streams = [engine.submit(Request(text_ids(5), SamplingParams(max_new_tokens=8000))) for _ in range(2)]
    engine.close()
    for stream in streams:
        with pytest.raises(EngineClosedError):
            stream.text()
    with pytest.raises(EngineClosedError):
        engine.submit(Request(text_ids(5), GREEDY))
    with pytest.raises(EngineClosedError):
        engine.call(list)
    assert model.model.config._attn_implementation == "sdpa"


def test_one_texts_damaged_memory_leaves_the_others_alone(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, whole, plain = read(model, 1), read(model, 2), Request(text_ids(30), GREEDY)

    def damaged(*given: Any) -> Any:
        raise IntegrityError("segment 0 is damaged")

    expected = whole.ask("Who?", max_new_tokens=12)
    monkeypatch.setattr(broken.reader.past.segments, "read", damaged)
    with Engine(model) as engine:
        streams = [engine.submit(each) for each in (asked(broken, "Who?"), asked(whole, "Who?"), plain)]
        with pytest.raises(IntegrityError, match="damaged"):
            streams[0].text()
        assert streams[1].text() == expected
        streams[2].text()
        assert streams[2].tokens == alone(model, plain)


def test_a_model_that_fails_ends_the_batch_and_not_the_engine(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Engine(model) as engine:
        with monkeypatch.context() as patched:
            patched.setattr(type(model.backbone), "forward", lambda *given, **named: 1 / 0)
            with pytest.raises(PasctlError, match="the model failed: ZeroDivisionError"):
                engine.submit(Request(text_ids(5), GREEDY)).text()
        [tokens] = together(engine, mixed(1))
        assert tokens == alone(model, mixed(1)[0])


def test_others_may_run_the_model_between_passes(model: LoadedModel) -> None:
    with Engine(model) as engine:
        stream = engine.submit(Request(text_ids(5), SamplingParams(max_new_tokens=300), intervention=persona(1)))
        next(iter(stream))
        memory = engine.call(lambda: read(model, 1)).result()
        assert stream.finish_reason is None
        assert engine.submit(asked(memory, "Who?")).text() == read_alone().ask("Who?", max_new_tokens=12)
        with pytest.raises(ZeroDivisionError):
            engine.call(lambda: 1 // 0).result()
        stream.cancel()


def read_alone() -> EpisodicMemory:
    return read(tiny_loaded(), 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"prompt": []}, "prompt is empty"),
        ({"prompt": [3, 512]}, "token outside 0 to 511"),
        ({"prompt": [-1]}, "token outside"),
        ({"stop": ("a", "")}, "stop string is empty"),
        ({"positions": "some"}, "positions 'some' is unknown"),
        ({"intervention": Intervention({0: torch.zeros(2, HEADS * HEAD_DIM)})}, "of 2 rows"),
    ],
)
def test_what_cannot_be_written_is_refused(model: LoadedModel, wrong: dict[str, Any], told: str) -> None:
    with Engine(model) as engine, pytest.raises(InputError, match=told):
        engine.submit(Request(**{"prompt": [3], **wrong}))


def test_a_memory_that_does_not_fit_is_refused(model: LoadedModel) -> None:
    steered, foreign = read(model, 1, intervention=persona(1)), read(tiny_loaded(), 1)
    with Engine(model) as engine:
        with pytest.raises(InputError, match="read steered"):
            engine.submit(asked(steered, "Who?", intervention=persona(2)))
        with pytest.raises(InputError, match="another model object"):
            engine.submit(asked(foreign, "Who?"))


@pytest.mark.parametrize("wrong", [{"max_batch": 0}, {"queue": -1}, {"timeout": 0}, {"step_tokens": 0}])
def test_numbers_that_make_no_sense_are_refused(model: LoadedModel, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Engine(model, **wrong)


def test_a_model_whose_frequencies_depend_on_length_is_refused() -> None:
    model = tiny_loaded("llama")
    model.backbone.rotary_emb.rope_type = "dynamic"
    with pytest.raises(InputError, match="dynamic"):
        Engine(model)


def test_a_text_that_cannot_begin_a_pass_ends_alone(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, [plain] = read(model, 1), mixed(1)
    monkeypatch.setattr("pasctl.memory.reader.ChunkedPass", lambda *given, **named: 1 / 0)
    with Engine(model) as engine:
        for _ in range(2):
            with pytest.raises(PasctlError, match="ZeroDivisionError"):
                engine.submit(asked(memory, "Who?")).text()
        broken, whole = engine.submit(asked(memory, "Who?")), engine.submit(plain)
        with pytest.raises(PasctlError):
            broken.text()
        whole.text()
        assert whole.tokens == alone(model, plain)


def test_streams_are_waited_for_in_asyncio_too(model: LoadedModel) -> None:
    requests = mixed(3)

    async def text(stream: Stream) -> str:
        return "".join([piece async for piece in stream])

    async def both(engine: Engine) -> list[str]:
        streams = [engine.submit(request) for request in requests]
        found = await asyncio.gather(*map(text, streams))
        endless = engine.submit(Request(text_ids(5), SamplingParams(max_new_tokens=8000)))
        asyncio.get_running_loop().call_later(0.2, endless.cancel)
        assert await text(endless)
        assert endless.finish_reason == "cancelled"
        engine.close()
        with pytest.raises(EngineClosedError):
            engine.submit(requests[0])
        return found

    with Engine(model) as engine:
        expected = [engine.submit(request).text() for request in requests]
        assert asyncio.run(both(engine)) == expected
