"""memory-ask and memory-show: answers are kept, and a memory can be looked into without its model's weights."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pasctl.errors import InputError, IntegrityError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.printable import without_controls
from pasctl.stages.memory import memory_run
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_show import Selection, memory_show, most_recalled
from pasctl.stages.text import Text
from pasctl.store import Artifact, Store
from tests.integration.warm import Warm
from tests.tiny import tiny_tokenizer

pytestmark = pytest.mark.integration

WORDS = "I am the life of the party. I worry about things. Vivid imagination {n} statement describe you? Answer: {m}. "
STORY = "".join(WORDS.format(n=n, m=n * 7 % 13) for n in range(40)) + "Die Brücke 生きる 🙂 am Fluß.\n\nAnd so on. " * 3
PARAMS = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=4, max_block=12)
NAME = "memory/tiny-a/story"
SHORT = ("--max-new-tokens", 4)


@pytest.fixture(scope="module")
def master(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model of its own, `tiny-a`, and a store with a memory of it."""
    folder = tmp_path_factory.mktemp("asked")
    model = shutil.copytree(tiny_folder, folder / "tiny-a")
    options = ModelOptions(dtype="float32")
    memory_run(str(model), [Text("story.txt", STORY)], params=PARAMS, options=options, store=folder / "store")
    return folder


@pytest.fixture
def store(master: Path, tmp_path: Path) -> Path:
    """A copy of the master's store; the model stays where it is."""
    return Path(shutil.copytree(master / "store", tmp_path / "store"))


def memory_of(store: Path) -> Artifact:
    return Store(store).resolve(NAME)


def segments(store: Path) -> list[Path]:
    return sorted((store / "objects" / "memory").rglob("segments/*.safetensors"))


def in_force(answer: dict[str, Any]) -> int:
    """The step whose retrieval the answer's first token was chosen with: the last one that found words to look by."""
    return max(each["step"] for each in answer["recalled"] if each["step"] <= answer["first_step"])


def test_a_second_ask_is_answered_from_the_store_alone(
    warm: Warm, master: Path, store: Path, tmp_path: Path, other_tiny_folder: Path
) -> None:
    model = shutil.copytree(master / "tiny-a", tmp_path / "moved")
    first = warm.run("memory-ask", NAME, "Who worries?", *SHORT, "--model", model, "--store", store)
    assert first.returncode == 0, first.stderr
    assert "loading" in first.stderr
    assert "cut off after 4 tokens" in first.stderr

    # neither the model nor the memory's segments are wanted again
    shutil.rmtree(model)
    for segment in segments(store):
        segment.unlink()
    again = warm.run("memory-ask", NAME, "Who worries?", *SHORT, "--store", store)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert "answers/tiny-a/story@v1 was in the store" in again.stderr
    assert "loading" not in again.stderr

    as_json = warm.run("memory-ask", NAME, "Who worries?", *SHORT, "--json", "--store", store).document
    assert as_json["answer"] == first.stdout.removesuffix("\n")
    assert (as_json["name"], as_json["reused"]) == ("answers/tiny-a/story@v1", True)
    assert (as_json["stop"], as_json["tokens"]) == ("length", 4)

    other = warm.run("memory-ask", NAME, "Who worries?", *SHORT, "--model", other_tiny_folder, "--store", store)
    assert other.returncode == 2
    assert "another model" in other.stderr

    for changed in (("--max-new-tokens", 5), ("--temperature", 1), ("--think",), ("--seed", 3)):
        planned = warm.run(
            "memory-ask", NAME, "Who worries?", *SHORT, *changed, "--dry-run", "--json", "--store", store
        )
        assert planned.document["name"] is None
        assert planned.document["plan"]["questions"] == 1


def test_several_questions_are_asked_in_one_round(warm: Warm, store: Path) -> None:
    questions = ["Who worries?", "What is the answer to statement 31?", "Who worries?"]
    told = warm.run("memory-ask", NAME, *questions, *SHORT, "--json", "--store", store)
    assert told.returncode == 0, told.stderr
    documents = told.documents
    assert [each["question"] for each in documents] == questions
    assert documents[0]["answer"] == documents[2]["answer"]
    assert {each["name"] for each in documents} == {"answers/tiny-a/story@v1"}
    for document in documents:
        assert {each["layer"] for each in document["recalled"]} == {0, 1, 2}
        assert all(len(each["events"]) == len(each["scores"]) > 0 for each in document["recalled"])
        asked = [each for each in document["recalled"] if each["step"] == in_force(document)]
        assert [each["layer"] for each in asked] == [0, 1, 2]
    text = warm.run("memory-ask", NAME, *questions, *SHORT, "--store", store)
    # random weights write control characters, which a terminal does not get
    assert text.stdout == without_controls("".join(f"{each['question']}\n{each['answer']}\n\n" for each in documents))
    alone = warm.run("memory-ask", NAME, questions[1], *SHORT, "--store", store)
    assert alone.stdout == without_controls(f"{documents[1]['answer']}\n")
    assert alone.stdout.strip()


def test_an_answer_that_the_model_ends_says_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[str] = []
    monkeypatch.setattr("pasctl.generation.loop.end_tokens", lambda model: set())
    plain = memory_ask(NAME, ["Who?"], SamplingParams(4, 2.0, seed=3), store=store, on_piece=pieces.append)
    assert plain.artifact is not None
    [answer] = read_answers(plain.artifact)
    assert "".join(pieces) == answer["answer"]
    assert answer["stop"] == "length"
    monkeypatch.setattr("pasctl.generation.loop.end_tokens", lambda model: set(range(512)))
    ended = memory_ask(NAME, ["And who?"], store=store, on_piece=pieces.append)
    assert ended.artifact is not None
    [answer] = read_answers(ended.artifact)
    assert {name: answer[name] for name in ("answer", "tokens", "stop")} == {"answer": "", "tokens": 0, "stop": "end"}


def test_what_cannot_be_asked(warm: Warm, store: Path, tmp_path: Path) -> None:
    for questions in ([], ["Who?", "  "]):
        with pytest.raises(InputError, match="question"):
            memory_ask(NAME, questions, store=store)
    nobody = warm.run("memory-ask", "latest", "Who?", "--store", tmp_path / "empty")
    assert nobody.returncode == 3


def test_thinking_is_refused_before_the_weights_are_loaded(warm: Warm, master: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(master / "tiny-a", tmp_path / "tiny-a"))
    tiny_tokenizer("llama").save_pretrained(model)
    store = tmp_path / "store"
    options = ModelOptions(dtype="float32")
    memory_run(str(model), [Text("story.txt", STORY[:1500])], params=PARAMS, options=options, store=store)
    refused = warm.run("memory-ask", "latest", "Who?", "--think", "--store", store)
    assert refused.returncode == 2
    assert "no switch for thinking" in refused.stderr
    assert "loading" not in refused.stderr


def test_a_memory_is_shown_without_weights(warm: Warm, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warm.run("memory-ask", NAME, "Who worries?", "Who?", *SHORT, "--store", store).returncode == 0
    shown = warm.run("memory-show", NAME, "--store", store, env={"COLUMNS": "50"})
    assert shown.returncode == 0, shown.stderr
    assert "loading" not in shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == f"{NAME}@v1"
    head = next(place for place, line in enumerate(lines) if line.split()[:2] == ["event", "token"])
    rows = lines[head + 1 : head + 21]
    assert [int(row.split()[0]) for row in rows] == list(range(20))
    assert all(len(line) <= 50 for line in rows)
    assert any(line.endswith("…") for line in lines)
    assert re.search(r"^20 of \d+ events", shown.stderr, re.MULTILINE)
    assert "Who worries?  (answers/tiny-a/story@v1)" in lines
    assert shown.stdout.count("  layers") == 2
    monkeypatch.setattr("pasctl.models.load.load_model", None)
    assert memory_show(NAME, store=store)["questions"]


def test_the_document_has_everything(store: Path, warm: Warm) -> None:
    asked = memory_ask(NAME, ["Who worries?", "Who?"], SamplingParams(3), store=store)
    document = warm.run("memory-show", NAME, "--json", "--store", store).document
    figures, events = document["figures"], document["events"]
    assert len(events) == figures["events"] == document["matching"]
    assert [each["event"] for each in events] == list(range(len(events)))
    assert events[0]["token"] == PARAMS.n_init
    assert events[-1]["token"] + events[-1]["tokens"] == figures["tokens"]
    assert all(a["token"] + a["tokens"] == b["token"] for a, b in pairwise(events))
    text = "".join(each["text"] for each in events)
    assert STORY.endswith(text)
    assert len(text) > len(STORY) - 40
    surprises = {each["token"]: each["surprise"] for each in events}
    for boundary in figures["boundaries"]:
        assert surprises[boundary["token"]] == pytest.approx(boundary["surprise"], abs=1e-3)

    assert asked.artifact is not None
    of_answers = warm.run("memory-show", asked.artifact.name, "--json", "--store", store).document
    assert of_answers == {
        "name": asked.artifact.name,
        "memory": f"{NAME}@v1",
        "questions": document["questions"],
    }
    for told, answer in zip(document["questions"], read_answers(asked.artifact), strict=True):
        assert (told["question"], told["answer"]) == (answer["question"], answer["answer"])
        layers = {each["layer"]: each["events"] for each in answer["recalled"] if each["step"] == in_force(answer)}
        shares = {event["event"]: sum(event["event"] in found for found in layers.values()) / 3 for event in events}
        assert len(told["recalled"]) == 3
        for event in told["recalled"]:
            assert event["share"] == pytest.approx(shares[event["event"]], abs=1e-4)
            assert event["text"] == events[event["event"]]["text"]
        assert [event["share"] for event in told["recalled"]] == [
            pytest.approx(share, abs=1e-4) for share in sorted(shares.values(), reverse=True)[:3]
        ]


def test_words_are_found_wherever_they_stand(warm: Warm, store: Path) -> None:
    whole = memory_show(NAME, store=store)["events"]
    # the end of one event and the beginning of the next
    left, right = next((a, b) for a, b in pairwise(whole[5:]) if a["text"].strip() and b["text"][3:])
    wanted = left["text"][-6:] + right["text"][:6]
    found = warm.run("memory-show", NAME, "--find", wanted.upper(), "--json", "--store", store).document
    numbers = [each["event"] for each in found["events"]]
    assert {left["event"], right["event"]} <= set(numbers)
    assert found["matching"] == len(numbers) < len(whole)
    bridge = memory_show(NAME, Selection(find="BRÜCKE 生きる 🙂 am"), store=store)["events"]
    assert "Brücke 生きる 🙂 am" in "".join(each["text"] for each in bridge)
    assert len(memory_show(NAME, Selection(find="fluß. and so"), store=store)["events"]) >= 3
    nothing = warm.run("memory-show", NAME, "--find", "nowhere", "--store", store)
    assert (nothing.returncode, "no event" in nothing.stdout) == (0, True)
    first = warm.run("memory-show", NAME, "--find", "I am the life", "--events", 1, "--store", store)
    assert "first 8 tokens" in first.stderr

    later = memory_show(NAME, Selection(events=2, start=500), store=store)
    [at, after] = later["events"]
    assert at["token"] <= 500 < at["token"] + at["tokens"] == after["token"]
    assert later["matching"] == len(whole) - at["event"]
    beyond = warm.run("memory-show", NAME, "--from", 10**6, "--store", store)
    assert (beyond.returncode, "tokens" in beyond.stderr) == (2, True)


def test_damage_and_what_is_no_memory_are_named(
    warm: Warm, store: Path, fitted_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = warm.run("memory-show", "probes", "--store", fitted_store)
    assert (wrong.returncode, "expected memory or answers, found probes" in wrong.stderr) == (2, True)
    files = segments(store)
    whole = files[1].read_bytes()
    damaged = bytearray(whole)
    damaged[-5] ^= 1
    for content in (bytes(damaged), whole[:-200], b"", None):
        files[1].unlink()
        if content is not None:
            files[1].write_bytes(content)
        refused = warm.run("memory-show", NAME, "--store", store)
        assert refused.returncode == 4
        assert files[1].name in refused.stderr
        # where hashing would take long, sizes are compared
        with monkeypatch.context() as large:
            large.setattr("pasctl.stages.segment_files.CHECKED_BYTES", 0)
            if content == bytes(damaged):
                assert memory_show(NAME, store=store)["events"]
            else:
                with pytest.raises(IntegrityError, match=files[1].name):
                    memory_show(NAME, store=store)


def test_most_recalled_counts_layers() -> None:
    recalled = [
        {"step": 0, "layer": 0, "events": [9], "scores": [9.0]},
        {"step": 1, "layer": 0, "events": [1, 2, 4], "scores": [1.0, 5.0, 1.0]},
        {"step": 1, "layer": 2, "events": [1, 3], "scores": [1.0, 2.0]},
        {"step": 2, "layer": 5, "events": [9], "scores": [9.0]},
    ]
    # three layers recall at all; 2, 3 and 4 were each recalled in one of them, 2 with the highest score
    assert most_recalled(recalled, 1) == [(1, 2 / 3), (2, 1 / 3), (3, 1 / 3)]
    assert most_recalled(recalled, 7) == []
    assert most_recalled([], 0) == []


def test_where_representatives_are_kept_enters_no_key_and_changes_no_answer(
    master: Path, store: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(store, tmp_path / "other"))
    how = SamplingParams(max_new_tokens=4)
    asked = memory_ask(NAME, ["Which river?"], how, store=store).artifact
    disk = memory_ask(NAME, ["Which river?"], how, representatives="disk", store=other).artifact
    assert asked is not None
    assert disk is not None
    assert disk.key == asked.key
    assert read_answers(disk) == read_answers(asked)
    text = Text("story.txt", STORY)
    again = memory_run(
        str(master / "tiny-a"),
        [text],
        params=replace(PARAMS, representatives="disk"),
        options=ModelOptions(dtype="float32"),
        store=store,
    )
    assert again.reused
    more = memory_run(
        texts=[Text("more.txt", STORY[:300])], extend=NAME, params={"representatives": "cpu"}, store=store
    )
    assert more.artifact is not None
    assert "representatives" not in more.artifact.params["memory"]
