"""Sources: every token is traced back to its own file, line and characters, and shares count layers and steps."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.sources import MemoryTexts, Retrieval, answer_sources, split_sentences
from pasctl.memory.text_bounds import FileSpan, TextBounds, file_facts, find_places, from_table, to_table
from pasctl.models.transformers_compat import tokenize_with_starts
from pasctl.stages.text import Text, join_texts, joined_spans
from tests.memory.test_exactness import SMALL
from tests.tiny import tiny_loaded, tiny_tokenizer

FILES = [
    Text("a.md", "Die Brücke 生きる 🙂🙂\nüber den Fluß.\n\nthe OLD bridge"),
    Text("b.txt", "\n\nI worry about things.\r\nVivid imagination.\n"),
    Text("c.py", "x = 1\n\n\ndef f():\n    return 橋\n"),
]


def bounds_of(texts: list[Text], first: int = 5) -> tuple[list[int], TextBounds]:
    joined = join_texts(texts)
    ids, starts = tokenize_with_starts(tiny_tokenizer(), joined, add_special_tokens=False, split_special_tokens=True)
    return ids, TextBounds.of(joined, starts, first, joined_spans(texts))


def begins_after(offsets: list[int], token: int) -> int:
    """The first character that begins in a token or behind it: one that is torn belongs where it begins."""
    return next(at for place, at in enumerate(offsets[token:], token) if place == 0 or offsets[place - 1] != at)


@pytest.mark.parametrize("seed", range(20))
def test_a_run_of_tokens_comes_from_these_characters_and_lines(seed: int) -> None:
    ids, bounds = bounds_of(FILES)
    draw = random.Random(seed)
    start, stop = sorted(draw.sample(range(5, 5 + len(ids) + 1), 2))
    places = bounds.places(start, stop)
    # the oracle: the joined text up to each character, by the tokens' own offsets
    offsets = [int(each) for each in bounds.starts]
    low, high = (begins_after(offsets, token - 5) for token in (start, stop))
    wanted, begin = [], 0
    for text in FILES:
        slice_ = text.content[max(0, low - begin) : max(0, high - begin)]
        if slice_:
            at = max(0, low - begin)
            lines = (text.content[:at].count("\n") + 1, text.content[: at + len(slice_) - 1].count("\n") + 1)
            wanted.append((text.name, slice_, lines))
        begin += len(text.content) + 2
    contents = {text.name: text.content for text in FILES}
    assert [(p.file, contents[str(p.file)][slice(*p.characters)], p.lines) for p in places] == wanted
    assert all(start <= place.first < place.stop <= stop for place in places)


def test_every_token_of_every_event_has_one_place_and_the_template_has_none() -> None:
    ids, bounds = bounds_of(FILES)
    none = [token for token in range(len(ids) + 10) if not find_places([bounds], token, token + 1)]
    # before the text, behind it, the line breaks between two files, and tokens in which no character begins
    torn = [place + 5 for place in range(1, len(ids)) if bounds.starts[place] == bounds.starts[place - 1]]
    assert {*range(5), *range(5 + len(ids), len(ids) + 10), *torn} <= set(none)
    assert len(none) <= 10 + len(torn) + 2 * 2
    assert find_places([bounds], 0, 5) == []
    assert find_places([], 3, 9) == []
    whole = find_places([bounds], 0, 10**6)
    assert [place.characters for place in whole] == [(0, len(text.content)) for text in FILES]


def test_bounds_are_kept_in_little_room() -> None:
    many = [Text(f"{n}.txt", FILES[n % 3].content * 40, float(n)) for n in range(6)]
    parts, first = [], 7
    for half in (many[:2], many[2:]):
        ids, bounds = bounds_of(half, first)
        parts.append(bounds)
        first += len(ids)
    table = to_table(parts)
    again = from_table(table, file_facts(parts))
    for old, new in zip(parts, again, strict=True):
        assert (old.first, old.files) == (new.first, new.files)
        assert np.array_equal(old.starts, new.starts)
        assert np.array_equal(old.newlines, new.newlines)
    from pasctl.store.payload import encode_table

    assert len(encode_table(table)) < 2 * first + 8192
    assert [file.name for part in from_table(table) for file in part.files] == [None] * 6


def test_a_tokenizer_without_offsets_gives_nearly_the_same_places() -> None:
    class Slow:
        is_fast = False

        def __init__(self) -> None:
            self._fast = tiny_tokenizer()

        def __call__(self, text: str, **how: Any) -> Any:
            return self._fast(text, **how)

        def decode(self, ids: list[int], **how: Any) -> str:
            return str(self._fast.decode(ids, **how))

    plain = "I worry about things. Vivid imagination."
    assert tokenize_with_starts(Slow(), plain) == tokenize_with_starts(tiny_tokenizer(), plain)
    torn = "生きる 🙂 am Fluß" * 3
    ids, starts = tokenize_with_starts(Slow(), torn)
    assert len(ids) == len(starts)
    assert starts == sorted(starts)
    assert max(starts) <= len(torn)


def texts_of(starts: list[int], **how: Any) -> tuple[MemoryTexts, list[int]]:
    ids, bounds = bounds_of(FILES, 0)
    return MemoryTexts(tiny_tokenizer(), ids, starts, [bounds], **how), ids


def test_shares_count_layers_and_steps() -> None:
    texts, _ = texts_of([0, 4, 8, 12, 16])
    words = tiny_tokenizer()("One thing. Two things. Three", add_special_tokens=False)["input_ids"]
    # steps 0-1 read the question; 2 layers retrieve; the answer's tokens follow steps 1, 2, 3, ...
    log = [Retrieval(0, 7, [4], [1.0]), Retrieval(1, 3, [0, 1], [1.0, 1.0]), Retrieval(1, 7, [1], [1.0])]
    for token in range(1, len(words)):
        log += [Retrieval(1 + token, 3, [2], [1.0]), Retrieval(1 + token, 7, [token % 2 + 2], [1.0])]
    found = answer_sources(log, 1, words, tiny_tokenizer(), texts)
    shares = {source.event: (source.share, source.first_share) for source in found.sources}
    n = len(words)
    assert shares[1] == pytest.approx((2 / (2 * n), 1.0))
    assert shares[0] == pytest.approx((1 / (2 * n), 0.5))
    twice = sum(token % 2 == 0 for token in range(1, n))
    assert shares[2] == pytest.approx(((n - 1 + twice) / (2 * n), 0.0))
    assert 4 not in shares  # of the question's first step
    assert [source.share for source in found.sources] == sorted((s.share for s in found.sources), reverse=True)
    # sentences split the tokens: weighted by their tokens, their shares are the answer's
    written = [len(tokens) for _, _, tokens in split_sentences(tiny_tokenizer(), words)]
    assert sum(written) == n
    for place, source in enumerate(found.sources):
        each = [dict(sentence.sources).get(place, 0.0) for sentence in found.sentences]
        assert sum(np.multiply(each, written)) / n == pytest.approx(source.share)
    assert [sentence.text for sentence in found.sentences] == ["One thing.", "Two things.", "Three"]


def test_a_step_that_retrieves_nothing_anew_uses_what_was_retrieved_before() -> None:
    texts, _ = texts_of([0, 4, 8, 12, 16])
    words = tiny_tokenizer()("a b c d e f g", add_special_tokens=False)["input_ids"]
    sparse = [Retrieval(step, 0, [event], [1.0]) for step, event in ((0, 0), (1, 1), (4, 2))]
    dense = [Retrieval(step, 0, [event], [1.0]) for step, event in ((0, 0), (1, 1), (2, 1), (3, 1), (4, 2))]
    dense += [Retrieval(step, 0, [2], [1.0]) for step in range(5, len(words))]
    assert answer_sources(sparse, 0, words, tiny_tokenizer(), texts) == answer_sources(
        dense, 0, words, tiny_tokenizer(), texts
    )


def test_an_event_with_words_of_two_files_has_two_sources() -> None:
    _, bounds = bounds_of(FILES[:2], 0)
    inside = int(np.searchsorted(bounds.starts, len(FILES[0].content))) - 2
    texts, _ = texts_of([0, inside, inside + 8])
    parts = texts.sources(1, 0.5, 0.0)
    assert [part.file for part in parts] == ["a.md", "b.txt"]
    for part, text in zip(parts, FILES, strict=False):
        assert part.characters is not None
        assert text.content[slice(*part.characters)] in part.text
        assert part.event == 1


@pytest.mark.parametrize(
    "sentence", ["He left. She stayed!", "Wo? Dort…\n- eins\n- zwei", "始まり。終わり！", "", "3.5 is it"]
)
def test_sentences_joined_are_the_answer(sentence: str) -> None:
    tokens = tiny_tokenizer()(sentence, add_special_tokens=False)["input_ids"]
    parts = split_sentences(tiny_tokenizer(), tokens)
    assert "".join("".join(text.split()) for text, _, _ in parts) == "".join(sentence.split())
    assert all(sentence[slice(*span)] == text for text, span, _ in parts)
    assert sorted(token for _, _, tokens in parts for token in tokens) == list(range(len(tokens)))
    assert all("3.5" in text for text, _, _ in parts if "3" in text)


def test_an_answer_names_the_files_that_were_read() -> None:
    memory = EpisodicMemory(tiny_loaded(), **SMALL)
    contents = {f"{n}.txt": f"File {n}. " + "I worry about things. " * 6 + f"\nLine {n} of it.\n" for n in range(6)}
    for name, content in contents.items():
        memory.read(content, name=name)
    [answer] = memory.ask_all(["Who?"], SamplingParams(max_new_tokens=8))
    assert answer.sources
    for source in answer.sources:
        assert source.file is not None
        assert source.characters is not None
        assert contents[source.file][slice(*source.characters)] == source.text
        assert 0 < source.share <= 1
    # those of the first token alone, counted by hand
    step = max(each.step for each in answer.recalled if each.step <= answer.first_step)
    first = [each for each in answer.recalled if each.step == step]
    for source in answer.sources:
        assert source.first_share == pytest.approx(sum(source.event in each.events for each in first) / 3)
    # without bounds the same places, but for the files' names and ends: one text
    memory.bounds = []
    unnamed = {source.event: source for source in memory.ask_all(["Who?"], SamplingParams(8))[0].sources}
    joined = "".join(contents.values())
    assert all(joined[slice(*s.characters)] == s.text for s in unnamed.values() if s.characters)
    assert all(s.characters for s in unnamed.values())
    assert {source.event for source in answer.sources} == set(unnamed)


def test_spans_of_files_are_their_own() -> None:
    spans = joined_spans(FILES, 2)
    joined = "\n\n" + join_texts(FILES)
    assert [joined[span.start : span.stop] for span in spans] == [text.content for text in FILES]
    assert isinstance(spans[0], FileSpan)


def test_newer_files_are_newer_and_without_times_the_end_is() -> None:
    texts, _ = texts_of([0, 4, 8, 12, 16])
    assert texts.recency() == [0, 0.25, 0.5, 0.75, 1]
    parts, first = [], 0
    for text, modified in zip(FILES, (30.0, 10.0, 20.0), strict=True):
        ids, bounds = bounds_of([Text(text.name, text.content, modified)], first)
        parts.append(bounds)
        first += len(ids)
    starts = [part.first for part in parts]
    aged = MemoryTexts(tiny_tokenizer(), list(range(first)), starts, parts)
    assert aged.recency() == [1, 0, 0.5]


def test_a_weight_prefers_newer_events_and_none_changes_nothing() -> None:
    memory = EpisodicMemory(tiny_loaded(), **SMALL | {"contiguity": 0.0})
    memory.read("I worry about things. Vivid imagination, and so on. " * 20)
    question = [memory.prompt.question("Who worries?")]

    def mean_event(weight: float) -> tuple[float, Any]:
        memory.prefer_recent(weight)
        [answer] = memory.ask_all(["Who worries?"], SamplingParams(1))
        events = [event for each in answer.recalled for event in each.events]
        return sum(events) / len(events), memory.logits(question)

    plain, logits = memory.ask_all(["Who worries?"], SamplingParams(1)), memory.logits(question)
    ages = [mean_event(weight)[0] for weight in (0.0, 1.0, 100.0)]
    assert ages == sorted(ages)
    assert ages[0] < ages[2]
    off = mean_event(0.0)
    assert (off[1] == logits).all()
    assert memory.ask_all(["Who worries?"], SamplingParams(1)) == plain
    # a very large weight takes the newest that fit
    memory.prefer_recent(1e6)
    [answer] = memory.ask_all(["Who worries?"], SamplingParams(1))
    outside = memory.reader.past.events.evicted
    assert all(event >= outside - 24 // 2 for each in answer.recalled for event in each.events)
