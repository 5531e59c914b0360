"""What a question looks for: its words, each by itself, less what every chunk looks for."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.events import Events
from pasctl.memory.queries import UsualQueries, WordFinder
from pasctl.memory.retrieval import OFFSET_EVENTS
from tests.memory.test_exactness import SMALL, text_ids
from tests.tiny import tiny_loaded, tiny_tokenizer

SLIDING = SMALL | {"n_local": 32}


CPU = torch.device("cpu")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def word_scores(words: Tensor, events: Tensor) -> list[float]:
    """The formula, a number at a time: each word's sum over heads of cosines, standardized over events; the largest."""
    offset = events[:OFFSET_EVENTS].double().mean(0)
    best = [-math.inf] * len(events)
    for word in words.double():
        fits = []
        for event in events.double() - offset:
            fits.append(sum(float(q @ r) / float(r.norm()) for q, r in zip(word, event, strict=True)))
        mean = sum(fits) / len(fits)
        spread = math.sqrt(sum((fit - mean) ** 2 for fit in fits) / len(fits))
        best = [max(old, (fit - mean) / spread) for old, fit in zip(best, fits, strict=True)]
    return best


@pytest.mark.parametrize("count", [2, 40, 256, 257, 700])
@pytest.mark.parametrize("words", [1, 5])
def test_scores_of_words_are_the_formula(count: int, words: int) -> None:
    events, vectors, query = Events(0, 3, 4, [CPU]), drawn(count, 3, 4), drawn(words, 3, 4, seed=1)
    events.common = {0: torch.full((3, 1, 4), 99.0)}
    events.starts = list(range(count + 1))
    events.leave(count)
    events.represent(0, 0, vectors + 100)  # what all have in common says nothing
    kept = events.representatives(0)[:, 0]
    assert torch.allclose(kept, vectors + 100, atol=0.05)
    for outside in (count, max(2, count // 2), count):  # what is kept of full blocks holds for fewer events as well
        chosen, scores, _ = events.recall(0, query, [], outside=outside, budget=10**6, contiguity=0.0, by_word=True)
        assert chosen == list(range(outside))
        assert scores == pytest.approx(word_scores(query, kept[:outside]), abs=2e-3)


def test_usual_queries_are_the_mean_of_chunks() -> None:
    usual, queries = UsualQueries.none(2, 3, 4), drawn(7, 3, 4)
    assert not usual.of(0).any()
    for query in queries:
        usual.add(1, query)
    fork = usual.fork()
    fork.add(1, queries[0])
    assert torch.allclose(usual.of(1), queries.mean(0), atol=1e-6)
    assert not usual.of(0).any()
    assert fork.counts.tolist() == [0, 8]


def test_line_breaks_and_the_template_look_for_nothing() -> None:
    memory = EpisodicMemory(tiny_loaded(template="qwen3"), **SMALL)
    prompt, decode = memory.prompt, memory.model.tokenizer.decode
    ids = prompt.question("Who worries\n\nabout things?")
    seekers = WordFinder(memory.model.tokenizer, prompt.tail, "words").seekers(ids)
    assert seekers is not None
    found = "".join(decode([ids[place]]) for place in sorted(seekers.places))
    assert found.replace(" ", "") == "Whoworriesaboutthings?"
    chunks = [seekers.among(start, ids[start : start + 8]) for start in range(0, len(ids), 8)]
    joined = [start + place for start, places in zip(range(0, len(ids), 8), chunks, strict=True) for place in places]
    assert joined == sorted(seekers.places)
    last = WordFinder(memory.model.tokenizer, prompt.tail, "last").seekers(ids)
    assert last is not None
    assert last.places == {max(seekers.places)}
    assert WordFinder(memory.model.tokenizer, prompt.tail, "mean").seekers(ids) is None


def test_of_an_answer_words_look_and_line_breaks_do_not() -> None:
    tokenizer = tiny_tokenizer()
    finder = WordFinder(tokenizer, [], "words")
    [seekers] = [finder.seekers(tokenizer.encode("Who?"))]
    assert seekers is not None
    newline = tokenizer.encode("\n")
    word = tokenizer.encode("worry")[:1]
    assert seekers.among(100, newline) == []
    assert seekers.among(100, [tokenizer.eos_token_id]) == []
    assert seekers.among(100, word) == [0]


def first_found(memory: EpisodicMemory, question: list[int]) -> list[tuple[int, ...]]:
    """Events that each layer retrieves for a question."""
    [stream] = generate(memory.model, [Request(question, memory=memory, keep_recalled=True)])
    last = max(each.step for each in stream.recalled if each.step <= (len(question) - 1) // SMALL["chunk"])
    return [each.events for each in stream.recalled if each.step == last]


def test_each_way_of_looking_finds_others_and_words_differ_most_between_questions() -> None:
    same = dict[str, float]()
    questions = [text_ids(6, seed=seed) for seed in range(8)]
    every = dict[str, list[Any]]()
    for query in ("words", "last", "mean"):
        memory = EpisodicMemory(tiny_loaded(), **SLIDING, query=query)
        memory.read_ids(text_ids(600))
        every[query] = [first_found(memory, question) for question in questions]
        pairs = [
            len(set(a) & set(b)) / len(set(a) | set(b))
            for one, other in combinations(every[query], 2)
            for a, b in zip(one, other, strict=True)
        ]
        same[query] = sum(pairs) / len(pairs)
    assert every["words"] != every["mean"] != every["last"] != every["words"]
    assert max(same["words"], same["last"]) < same["mean"]


def test_a_line_break_in_an_answer_keeps_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = EpisodicMemory(tiny_loaded(), **SLIDING)
    memory.read_ids(text_ids(200))
    [newline], [word] = memory.prompt.encode("\n"), memory.prompt.encode("worry")[:1]
    scripted = iter([word, newline, newline, word, word])
    monkeypatch.setattr("pasctl.generation.active.sample", lambda *given: [next(scripted)])
    [stream] = generate(
        memory.model, [Request([9, 10, 11], SamplingParams(max_new_tokens=5), memory=memory, keep_recalled=True)]
    )
    assert sorted({each.step for each in stream.recalled}) == [0, 1, 4]  # the question, and the answer's words


@pytest.mark.parametrize("kept", [1, 3])
def test_what_chunks_look_for_is_kept_with_the_text(tmp_path: Path, kept: int) -> None:
    files: list[Path] = []

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        files.append(tmp_path / f"{number}.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files[-1])
        return files[-1]

    model, text = tiny_loaded(), text_ids(230)
    whole = EpisodicMemory(model, writer=write, **SLIDING)
    whole.read_ids(text)
    whole.finish()
    later = EpisodicMemory(model, **SLIDING)
    later.restore(files[:kept])
    later.read_ids(text[len(later.reader.ids) :])
    assert torch.equal(later.reader.past.usual.sums, whole.reader.past.usual.sums)
    assert later.reader.past.usual.counts.tolist() == whole.reader.past.usual.counts.tolist()
    assert torch.equal(later.logits([text_ids(20, seed=9)]), whole.logits([text_ids(20, seed=9)]))
