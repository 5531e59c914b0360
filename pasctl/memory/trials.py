"""Trials of memory tasks and items of benchmarks on a model, by the memory and by what it is compared with."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pasctl.memory.benchmarks.item import Item, Shape
from pasctl.memory.benchmarks.metrics import METRICS
from pasctl.memory.full import FullAttention
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.memory.results import Cost, Result
from pasctl.memory.systems import Asked, Reply, ask_system, read_text
from pasctl.memory.tasks import TASKS
from pasctl.memory.tasks.trial import Trial, exact_match, share_of_answers
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
    asked = Asked(trial.text, trial.question, max_new_tokens=max_new_tokens, evidence=trial.evidence)
    reply = ask_system(model, asked, system, params)
    result = Result(
        task=trial.task,
        length=trial.length,
        depth=trial.depth,
        seed=trial.seed,
        expected=trial.answers,
        right=exact_match(reply.text, trial),
        score=share_of_answers(reply.text, trial),
        metric="answers",
        **_measured(reply, system),
    )
    return result, reply.cost


def run_item(model: LoadedModel, item: Item, system: str, params: MemoryParams) -> tuple[Result, Cost]:
    """Let a system read a benchmark item's text and answer its question."""
    shape = item.shape
    asked = Asked(item.text, item.question, item.answer_prefix, shape.max_new_tokens, shape.think)
    reply = ask_system(model, asked, system, params)
    score = METRICS[shape.metric](scored_text(reply.text, reply.cut, shape), item.answers, item.choices)
    result = Result(
        task=item.task,
        length=0,
        depth=0.0,
        seed=0,
        expected=item.answers,
        right=score == 1.0,
        score=round(score, 4),
        metric=shape.metric,
        item=item.digest,
        **_measured(reply, system),
    )
    return result, reply.cost


def scored_text(reply: str, cut: bool, shape: Shape) -> str:
    """The part of a reply that is scored: what stands after the thinking; the first line where that is asked for."""
    if shape.think:
        _, closed, after = reply.rpartition("</think>")
        reply = after if closed or not cut else ""
    reply = reply.strip()
    return reply.split("\n", 1)[0] if shape.first_line else reply


def _measured(reply: Reply, system: str) -> dict[str, Any]:
    return {
        "system": system,
        "answer": reply.text,
        "cut": reply.cut,
        "tokens": reply.tokens,
        "events": reply.events,
        "attended": round(reply.attended / reply.tokens, 4),
        "attended_tokens": round(reply.attended, 1),
        "held_bytes": reply.held_bytes,
        "recall": None if reply.recall is None else round(reply.recall, 4),
    }


def mean_surprise(
    model: LoadedModel, ids: list[int], system: str, params: MemoryParams
) -> tuple[list[dict[str, Any]], Cost]:
    """Mean surprise in nats/token of each stretch of a text between `NLL_EDGES`, and of all of it."""
    reading, cost = read_text(model, ids, system, params)
    found = reading.surprise if isinstance(reading, FullAttention) else reading.reader.surprise
    edges = [edge for edge in NLL_EDGES if edge < len(ids)] + [len(ids)]
    stretches = [
        {"system": system, "start": start, "stop": stop, "nll": round(float(found[max(start, 1) : stop].mean()), 4)}
        for start, stop in [*pairwise(edges), (0, len(ids))]
    ]
    return stretches, cost
