"""Events as words: nothing is lost between them, no character is torn, and what straddles them is found."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pasctl.errors import IntegrityError
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.event_text import FIRST_TOKENS, EventTexts
from pasctl.memory.stored_text import read_text
from tests.memory.test_exactness import SMALL, text_ids
from tests.tiny import tiny_loaded, tiny_tokenizer

TEXT = "Die Brücke 生きる 🙂🙂 über den\nFluß, the OLD\n\n  bridge; the old bridge, aaaa. Ünïcödé 橋 İstanbul."


def cut(every: int, seed: int = 0) -> EventTexts:
    """The text in events of 1 to `every` tokens, the tiny tokenizer's, which has no token for most characters."""
    tokenizer = tiny_tokenizer()
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    draw = random.Random(seed)
    starts = [draw.randint(0, 3)]
    while starts[-1] + every < len(ids):
        starts.append(starts[-1] + draw.randint(1, every))
    return EventTexts(tokenizer, ids, starts)


def texts(events: EventTexts) -> list[str]:
    return [events.text(number) for number in range(FIRST_TOKENS, len(events))]


@pytest.mark.parametrize("every", [1, 2, 3, 7, 30])
@pytest.mark.parametrize("seed", range(5))
def test_events_joined_are_the_text_and_no_character_is_torn(every: int, seed: int) -> None:
    found = texts(cut(every, seed))
    assert "".join(found) == TEXT
    assert not any("\ufffd" in text for text in found)


def test_what_the_text_itself_tears_is_shown_so() -> None:
    tokenizer = tiny_tokenizer()
    half = tokenizer("a🙂", add_special_tokens=False)["input_ids"][:-2]
    events = EventTexts(tokenizer, [*half, *tokenizer("b", add_special_tokens=False)["input_ids"]], [0, len(half)])
    assert "".join(texts(events)).startswith("a\ufffd")
    assert "".join(texts(events)).endswith("b")


@pytest.mark.parametrize("every", [1, 2, 5, 30])
@pytest.mark.parametrize(
    ("wanted", "matches"),
    [
        ("the old bridge", ["the OLD\n\n  bridge", "the old bridge"]),
        ("BRÜCKE", ["Brücke"]),
        ("🙂", ["🙂", "🙂"]),
        ("aa", ["aa", "aa", "aa"]),
        ("a.a", []),
        ("STANBUL.", ["stanbul."]),
    ],
)
def test_every_event_that_an_occurrence_touches_is_found(every: int, wanted: str, matches: list[str]) -> None:
    events = cut(every)
    # by plain search: the places of the characters of each occurrence, and the events these lie in
    owner = [number for number, text in enumerate(texts(events)) for _ in text]
    touched: set[int] = set()
    place = 0
    for match in matches:
        place = TEXT.index(match, place)
        touched.update(number + FIRST_TOKENS for number in owner[place : place + len(match)])
        place += 1
    assert events.find(wanted) == sorted(touched)


def test_a_text_is_read_from_its_files_without_keys_and_values(tmp_path: Path) -> None:
    files: list[Path] = []

    def write(number: int, tensors: dict[str, torch.Tensor]) -> Path:
        path = tmp_path / f"{number}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        files.append(path)
        return path

    memory = EpisodicMemory(tiny_loaded(), writer=write, **SMALL | {"refine": "modularity"})
    memory.read_ids(text_ids(230))
    memory.finish()
    kept = read_text(files)
    assert kept.ids == memory.reader.ids
    assert kept.surprise == memory.reader.surprise.tolist()
    assert len(kept.starts) == memory.describe()["events"]
    assert (
        kept.starts[: memory.reader.past.events.evicted + 1]
        == (memory.reader.past.events.starts[: memory.reader.past.events.evicted + 1])
    )
    with pytest.raises(IntegrityError, match=r"segment .*2\.safetensors"):
        read_text([files[0], *files[2:]])
    files[1].write_bytes(files[1].read_bytes()[:100])
    with pytest.raises(IntegrityError, match=r"segment .*1\.safetensors"):
        read_text(files)
