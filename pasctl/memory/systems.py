"""Systems that read a long text and answer a question: the memory, and what it is compared with, at equal tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.attention_layers import attention_layers
from pasctl.memory.bm25 import select_tokens
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.full import FullAttention
from pasctl.memory.params import MemoryParams
from pasctl.memory.press_kinds import PRESSES, press_budget
from pasctl.memory.pressed import PressedText
from pasctl.memory.prompt import Prompt
from pasctl.memory.recall import Recalled
from pasctl.memory.results import Cost
from pasctl.models.device import resident_memory
from pasctl.models.load import LoadedModel

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Asked:
    """What is put to a system.

    Attributes:
        text: read first.
        question: asked after it.
        answer_prefix: the answer is made to begin with it.
        evidence: parts of the text that tell the answer.
    """

    text: str
    question: str
    answer_prefix: str = ""
    max_new_tokens: int = 32
    think: bool = False
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reply:
    """What a system answered, and what it took.

    Attributes:
        text: without the prefix.
        cut: whether it was cut off after the most tokens allowed.
        tokens: of the text.
        attended: tokens of the text that the answer's first token attends, mean over layers.
        held_bytes: keys and values of the text that are held for the answer, wherever they are stored.
        events: that the text was cut into; None without a memory.
        recall: see `Result.recall`.
    """

    text: str
    cut: bool
    tokens: int
    attended: float
    held_bytes: int
    events: int | None
    recall: float | None
    cost: Cost


def ask_system(model: LoadedModel, asked: Asked, system: str, params: MemoryParams) -> Reply:
    """Let a system read a text and answer its question."""
    prompt = Prompt(model.chat)
    ids = prompt.text(asked.text)
    read = _selected(prompt, asked, params) if system == "bm25" else ids
    reading, cost = (_press if system in PRESSES else read_text)(model, read, system, params)
    question = [*prompt.question(asked.question, asked.think), *prompt.encode(asked.answer_prefix)]
    request = Request(question, _sampling(asked), memory=reading, strip=True, keep_recalled=True)
    [stream] = generate(model, [request])
    events, recall, attended = None, None, float(len(read))
    held = len(read) * _token_bytes(model, None)
    if isinstance(reading, EpisodicMemory):
        asked_by = (len(question) - 1) // reading.params.chunk
        step = max((each.step for each in stream.recalled if each.step <= asked_by), default=asked_by)
        first = [retrieved for retrieved in stream.recalled if retrieved.step == step]
        attended = attended_tokens(reading, first)
        held = round((len(ids) if system != "window" else attended) * _token_bytes(model, params.kv_dtype))
        if system != "window":
            recall = evidence_recall(reading, first, prompt.spans(asked.text, asked.evidence))
            events = len(reading.reader.past.events.starts)
    elif isinstance(reading, PressedText):
        attended, held = reading.attended, reading.held_bytes
    cut = stream.finish_reason == "length"
    return Reply(stream.written, cut, len(ids), attended, held, events, recall, cost)


def read_text(
    model: LoadedModel, ids: list[int], system: str, params: MemoryParams
) -> tuple[EpisodicMemory | FullAttention, Cost]:
    """Let a system read token ids."""
    reading: EpisodicMemory | FullAttention
    if system in ("full", "bm25"):
        reading = FullAttention(model)
    else:
        reading = EpisodicMemory(model, params=_params(system, params))
        if system == "random-retrieval":
            reading.reader.past.events.rescore = random_scores(params.seed)
    return reading, _read(reading, ids)


def _press(model: LoadedModel, ids: list[int], system: str, params: MemoryParams) -> tuple[PressedText, Cost]:
    reading = PressedText(model, system, press_budget(params))
    return reading, _read(reading, ids)


def _read(reading: EpisodicMemory | FullAttention | PressedText, ids: list[int]) -> Cost:
    began = time.monotonic()
    reading.read_ids(ids)
    seconds = time.monotonic() - began
    return Cost(round(seconds, 3), round(len(ids) / seconds, 1), round(resident_memory() / 2**20, 1))


def random_scores(seed: int) -> Callable[[int, Tensor], Tensor]:
    """Scores of events that know nothing of them: the same for the same seed, layer and number of events."""
    return partial(_random_scores, seed)


def _random_scores(seed: int, layer: int, scores: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed((seed * 1_000_003 + layer) * 1_000_003 + len(scores))
    return torch.rand(len(scores), generator=generator)


def evidence_recall(memory: EpisodicMemory, first: Sequence[Recalled], spans: Spans) -> float | None:
    """Share of layers that recalled some event of a span for the answer's first token, mean over spans outside."""
    events = memory.reader.past.events
    outside = range(events.evicted)
    shares = []
    for start, stop in spans:
        true = {number for number in outside if events.starts[number] < stop and events.starts[number + 1] > start}
        if true and first:
            shares.append(sum(not true.isdisjoint(each.events) for each in first) / len(first))
    return sum(shares) / len(shares) if shares else None


def attended_tokens(memory: EpisodicMemory, first: Sequence[Recalled]) -> float:
    """The text's tokens that were attended for the answer's first token, mean over layers."""
    reader = memory.reader
    local = sum(len(reader.ids) - window.start for window in reader.windows) / len(reader.windows)
    spans = [reader.past.events.span(event) for each in first for event in each.events]
    far = sum(stop - start for start, stop in spans) / max(len(first), 1)
    return min(reader.params.n_init, reader.windows[0].start) + far + local


def _params(system: str, params: MemoryParams) -> MemoryParams:
    if system == "window":
        return replace(params, n_mem=0)
    if system == "fixed":
        return replace(params, segmenter="fixed")
    return replace(params, segmenter="random") if system == "random" else params


def _selected(prompt: Prompt, asked: Asked, params: MemoryParams) -> list[int]:
    ids, starts = prompt.encode_with_starts(asked.text)
    sizes = {"first": params.n_init, "budget": params.n_mem, "last": params.n_local}
    kept = select_tokens(asked.text, starts, asked.question, **sizes)
    return [*prompt.opening, *(ids[place] for place in kept)]


def _sampling(asked: Asked) -> SamplingParams:
    return SamplingParams(max_new_tokens=asked.max_new_tokens, think=asked.think)


def _token_bytes(model: LoadedModel, kv_dtype: str | None) -> int:
    """Bytes of keys and values of one token, all layers with a memory together."""
    layers = attention_layers(model)
    width = layers.head_dim + 4 if kv_dtype == "int8" else layers.head_dim * model.model.dtype.itemsize
    return 2 * len(layers.layers) * layers.kv_heads * width
