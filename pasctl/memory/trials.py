"""Trials of memory tasks on a model: with a memory, with a window alone, with full attention."""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import pairwise
from typing import Any

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import Answer
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.full import FullAttention
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.memory.recall import Recalled
from pasctl.memory.results import Cost, Result
from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.trial import Trial, exact_match
from pasctl.models.device import resident_memory
from pasctl.models.load import LoadedModel

NLL_EDGES = (0, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144, 524288, 1048576)


def make_trial(model: LoadedModel, task: str, length: int, depth: float, seed: int) -> Trial:
    """A trial whose text has `length` tokens of the model's tokenizer."""
    prompt = Prompt(model.chat)
    trial: Trial = TASKS.build(task)(length, depth, seed, lambda text: len(prompt.encode(text)))
    return trial


def run_trial(
    model: LoadedModel, trial: Trial, system: str, params: MemoryParams, *, max_new_tokens: int = 32
) -> tuple[Result, Cost]:
    """Let a system read the trial's text and answer its question."""
    prompt = Prompt(model.chat)
    ids = prompt.text(trial.text)
    reading, cost = _read(model, ids, system, params)
    events: int | None = None
    if isinstance(reading, FullAttention):
        text = reading.answer(prompt.question(trial.question), max_new_tokens)
        attended, recall = 1.0, None
    else:
        [answer] = reading.ask_all([trial.question], SamplingParams(max_new_tokens=max_new_tokens))
        text, attended = answer.text, attended_share(reading, answer)
        recall = evidence_recall(reading, answer, prompt.spans(trial.text, trial.evidence))
        events = len(reading.reader.past.events.starts)
    result = Result(
        system=system,
        task=trial.task,
        length=trial.length,
        depth=trial.depth,
        seed=trial.seed,
        answer=text,
        expected=trial.answers,
        right=exact_match(text, trial),
        tokens=len(ids),
        events=events if system == "memory" else None,
        attended=round(attended, 4),
        recall=None if recall is None or system != "memory" else round(recall, 4),
    )
    return result, cost


def mean_surprise(
    model: LoadedModel, ids: list[int], system: str, params: MemoryParams
) -> tuple[list[dict[str, Any]], Cost]:
    """Mean surprise in nats/token of each stretch of a text between `NLL_EDGES`, and of all of it."""
    reading, cost = _read(model, ids, system, params)
    found = reading.surprise if isinstance(reading, FullAttention) else reading.reader.surprise
    edges = [edge for edge in NLL_EDGES if edge < len(ids)] + [len(ids)]
    stretches = [
        {"system": system, "start": start, "stop": stop, "nll": round(float(found[max(start, 1) : stop].mean()), 4)}
        for start, stop in [*pairwise(edges), (0, len(ids))]
    ]
    return stretches, cost


def evidence_recall(memory: EpisodicMemory, answer: Answer, spans: list[tuple[int, int]]) -> float | None:
    """Share of layers that recalled some event of a span for the answer's first token, mean over spans outside."""
    events, first = memory.reader.past.events, _asked(answer)
    outside = range(events.evicted)
    shares = []
    for start, stop in spans:
        true = {number for number in outside if events.starts[number] < stop and events.starts[number + 1] > start}
        if true and first:
            shares.append(sum(not true.isdisjoint(each.events) for each in first) / len(first))
    return sum(shares) / len(shares) if shares else None


def attended_share(memory: EpisodicMemory, answer: Answer) -> float:
    """Share of the text's tokens that were attended for the answer's first token, mean over layers."""
    reader, first = memory.reader, _asked(answer)
    local = sum(len(reader.ids) - window.start for window in reader.windows) / len(reader.windows)
    spans = [reader.past.events.span(event) for each in first for event in each.events]
    far = sum(stop - start for start, stop in spans) / max(len(first), 1)
    initial = min(reader.params.n_init, reader.windows[0].start)
    return (initial + far + local) / len(reader.ids)


def _asked(answer: Answer) -> list[Recalled]:
    """What each layer recalled for the last piece of the question, which the first token of the answer follows."""
    return [each for each in answer.recalled if each.step == answer.first_step]


def _read(
    model: LoadedModel, ids: list[int], system: str, params: MemoryParams
) -> tuple[EpisodicMemory | FullAttention, Cost]:
    reading: EpisodicMemory | FullAttention
    if system == "full":
        reading = FullAttention(model)
    else:
        reading = EpisodicMemory(model, params=params if system == "memory" else replace(params, n_mem=0))
    began = time.monotonic()
    reading.read_ids(ids)
    seconds = time.monotonic() - began
    return reading, Cost(round(seconds, 3), round(len(ids) / seconds, 1), round(resident_memory() / 2**20, 1))
