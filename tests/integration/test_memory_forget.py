"""Forgetting: what is forgotten is in no file of the store, and what is left answers as if it had never been there."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pasctl.commands.memory_forget import Forgotten
from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import memory_run, open_memory
from pasctl.stages.memory_ask import memory_ask
from pasctl.stages.memory_forget import memory_forget
from pasctl.stages.memory_show import memory_show
from pasctl.stages.text import Text
from pasctl.store import Artifact, Store
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

PARAMS = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=4, max_block=12)
FOLDER = {"n_local": 64, "n_mem": 48, "chunk": 16, "min_block": 4, "max_block": 12}
OPTIONS = ModelOptions(dtype="float32")
SECRET = "Agnes hid Xylophones"  # noqa: S105 - no password
LINE = "I worry about things {n}. Vivid imagination, {m}.\n"
BEFORE = "".join(LINE.format(n=n, m=n * 7 % 13) for n in range(12))
BEHIND = "".join(LINE.format(n=n, m=n * 5 % 11) for n in range(40, 60))
STORY = f"{BEFORE}{SECRET} at the party.\n{BEHIND}"
QUESTION = ["Who worries?"]


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("model") / "tiny-a"))


def made(outcome: Any) -> Artifact:
    assert outcome.artifact is not None
    artifact: Artifact = outcome.artifact
    return artifact


def read(model: str, store: Path, *texts: Text, **how: Any) -> Artifact:
    how = {"params": PARAMS, "options": OPTIONS, **how}
    return made(memory_run(model, texts, store=store, **how))


def resolve(store: Path, name: str) -> Artifact:
    return Store(store).resolve(name)


def keys_of(memory: Artifact, store: Path, words: str) -> tuple[list[int], list[bytes]]:
    """Tokens of some words in a memory, and the bytes of their keys and values in every head.

    Not of the first layer, where a token has the same ones wherever it stands.
    """
    opened = open_memory(memory, store=store)
    ids, tokenizer = opened.reader.ids, opened.model.tokenizer
    for start in range(len(ids)):
        text = tokenizer.decode(ids[start : start + 40])
        if text.startswith(words[:3]) and words in text:
            stop = next(end for end in range(start, len(ids)) if words in tokenizer.decode(ids[start:end]))
            break
    keys, values = opened.reader.past.segments.read_all_layers(start, stop)
    rows = [row.numpy().tobytes() for part in (keys, values) for row in part[1:].flatten(0, 2)]
    return ids[start:stop], rows


def quotes(store: Path, words: str, ids: list[int], rows: list[bytes]) -> list[str]:
    """Files of a store that hold the words, their token ids, or a key or value of theirs."""
    needles = [words.encode(), words.lower().encode(), "-".join(words.lower().split()).encode(), *rows]
    needles += [np.array(ids, kind).tobytes() for kind in (np.int64, np.int32)]
    needles += [", ".join(map(str, ids)).encode(), ",\n   ".join(map(str, ids)).encode()]
    found = []
    for path in store.rglob("*"):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes() + str(path).encode()
            found += [str(path.relative_to(store))] if any(needle in data for needle in needles) else []
    return found


def logits(memory: Artifact, store: Path) -> torch.Tensor:
    opened = open_memory(memory, store=store)
    return opened.logits([opened.prompt.question(QUESTION[0])])


def sound(store: Path) -> bool:
    return not Store(store).verify(deep=True)


@pytest.mark.parametrize("reread", [False, True])
def test_words_are_gone_from_every_file_of_the_store(warm: Warm, model: str, tmp_path: Path, reread: bool) -> None:
    store = tmp_path / "store"
    first = read(model, store, Text("story.txt", STORY))
    other = read(model, store, Text("other.txt", BEHIND))
    extended = made(memory_run(None, [Text("more.txt", BEHIND)], extend=first, store=store))
    memory_ask(first, [f"Is it true that {SECRET}?"], SamplingParams(4), store=store)
    memory_ask(extended, QUESTION, SamplingParams(4), store=store)
    memory_ask(other, [f"Where is it that {SECRET}?"], SamplingParams(4), store=store)
    kept = made(memory_ask(other, QUESTION, SamplingParams(4), store=store))
    Store(store).tag(first, "mine")
    secret = keys_of(first, store, SECRET)
    assert quotes(store, SECRET, *secret)
    assert {path.split("/")[1] for path in quotes(store, SECRET, *secret) if "/" in path} >= {"memory", "answers"}

    command = ["memory-forget", "memory/tiny-a/story", "--match", "agnes  HID\nxylophones", "--everywhere"]
    command += ["--reread"] if reread else []
    planned = warm.run(*command, "--dry-run", "--json", "--store", store).document
    assert planned["replaced"] == {first.name: None, extended.name: None}
    assert quotes(store, SECRET, *secret)
    done = warm.run(*command, "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    document = done.document
    assert sorted(document["removed"]) == sorted(planned["removed"])
    assert len(document["removed"]) == 5
    assert quotes(store, SECRET, *secret) == []
    assert sound(store)
    assert Store(store).resolve(kept.name).key == kept.key
    # the versions are still there, without it, and can be shown, asked and extended
    new = resolve(store, "mine")
    assert document["replaced"][first.name] == new.name
    shown = memory_show(new, store=store)
    text = "".join(event["text"] for event in shown["events"])
    assert STORY.replace(SECRET, "").replace(" ", "").endswith(text.replace(" ", ""))
    answers = made(memory_ask(new, QUESTION, SamplingParams(4), store=store))
    for source in answers.read_json("sources.json")[0]["sources"]:
        assert source["file"] == "story.txt"
        there = STORY[slice(*source["characters"])]
        assert there.replace(SECRET, "").split() == source["text"].replace(SECRET, "").split()
    again = made(memory_run(None, [Text("end.txt", BEFORE)], extend=new, store=store))
    assert again.read_json("memory.json")["tokens"] > new.read_json("memory.json")["tokens"]
    last = warm.run(*command, "--store", store)
    assert (last.returncode, "nothing like that" in last.stderr) == (2, True)


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_what_is_left_is_as_it_was_read(model: str, tmp_path: Path, kv_dtype: str) -> None:
    """Without --reread every other token keeps its key and value and its event, and the window what it saw."""
    store = tmp_path / "store"
    old = read(model, store, Text("story.txt", STORY), params=replace(PARAMS, kv_dtype=kv_dtype))
    event = next(e for e in memory_show(old, store=store)["events"] if "Xylo" in e["text"])
    done = memory_forget(old, Forgotten(event=event["event"]), store=store)
    new = resolve(store, done["replaced"][old.name])
    before, after = open_memory(old, store=store).reader, open_memory(new, store=store).reader
    gone = range(event["token"], event["token"] + event["tokens"])
    stay = [token for token in range(len(before.ids)) if token not in gone]
    assert after.ids == [before.ids[token] for token in stay]
    assert torch.equal(after.surprise, before.surprise[stay])
    for one, two in zip(
        before.past.segments.read_all_layers(0, len(before.ids)),
        after.past.segments.read_all_layers(0, len(after.ids)),
        strict=True,
    ):
        assert torch.equal(one[:, :, stay], two)
    vectors = before.past.events.representatives(0)
    left = [number for number in range(before.past.events.evicted) if number != event["event"]]
    assert torch.equal(after.past.events.representatives(0), vectors[left])
    words = [e["text"] for e in memory_show(old, store=store)["events"] if e["event"] != event["event"]]
    assert [e["text"] for e in memory_show(new, store=store)["events"]] == words
    # the old version has it still, as nothing else was asked for
    assert resolve(store, old.name).key == old.key
    for layer in range(3):
        mass = before.windows[layer].mass, after.windows[layer].mass
        assert torch.equal(*mass)
    # when nothing is retrieved, only the last tokens are seen, which are the same
    opened = [open_memory(each, store=store) for each in (old, new)]
    for each in opened:
        each.params = replace(each.params, n_mem=0)
        each.reader.params = each.params
        each.reader.past.params = each.params
    one, two = (each.logits([each.prompt.question(QUESTION[0])]) for each in opened)
    assert torch.allclose(one, two, atol=1e-4)


@pytest.mark.parametrize("words", ["I worry about things 0", "Vivid imagination, 0", LINE.format(n=59, m=9)[:20], "5"])
def test_words_at_either_end_and_in_many_places(model: str, tmp_path: Path, words: str) -> None:
    store = tmp_path / "store"
    old = read(model, store, Text("story.txt", STORY))
    new = resolve(store, memory_forget(old, Forgotten(match=words), store=store)["replaced"][old.name])
    opened = open_memory(new, store=store)
    text = opened.model.tokenizer.decode(opened.reader.ids)
    assert words not in text
    assert torch.isfinite(logits(new, store)).all()
    anew = memory_forget(old, Forgotten(match=words), reread=True, store=store)["replaced"][old.name]
    assert open_memory(anew, store=store).reader.ids == opened.reader.ids
    # read anew it is the memory of these tokens, bit for bit
    from pasctl.stages.stored_memory import EpisodicMemory

    plain = EpisodicMemory(opened.model, params=PARAMS)
    plain.read_ids(opened.reader.ids)
    plain.finish()
    assert torch.equal(plain.logits([plain.prompt.question(QUESTION[0])]), logits(resolve(store, anew), store))


def test_a_file_of_a_folder_is_forgotten_bit_for_bit(warm: Warm, model: str, tmp_path: Path) -> None:
    store, docs = tmp_path / "store", tmp_path / "docs"
    (docs / "deep").mkdir(parents=True)
    for name, content in {"a.md": BEFORE, "b.md": STORY, "deep/c.md": BEHIND}.items():
        (docs / name).write_text(content)
    how: dict[str, Any] = {"params": FOLDER, "options": OPTIONS}
    first = made(memory_run(model, [str(docs)], store=store, **how))
    (docs / "a.md").write_text(BEFORE + "More.")
    second = made(memory_run(model, [str(docs)], store=store, **how))
    memory_ask(second, [f"Is it true that {SECRET}?"], SamplingParams(4), store=store)
    secret = keys_of(second, store, SECRET)
    done = warm.run("memory-forget", "memory/tiny-a/docs", "--file", "b.md", "--everywhere", "--json", "--store", store)
    assert done.returncode == 0, done.stderr
    assert set(done.document["replaced"]) == {first.name, second.name}
    assert quotes(store, SECRET, *secret) == []
    assert sound(store)
    new = resolve(store, done.document["replaced"][second.name])
    assert resolve(store, "memory/tiny-a/docs").key == new.key
    # the memory of a folder that never had the file, key and all
    (docs / "b.md").unlink()
    anew = made(memory_run(model, [str(docs)], store=tmp_path / "anew", **how))
    assert (anew.key, anew.content_digest) == (new.key, new.content_digest)
    assert torch.equal(logits(anew, tmp_path / "anew"), logits(new, store))
    again = memory_run(model, [str(docs)], store=store, **how)
    assert again.reused


def test_words_of_a_folders_file_are_forgotten_by_reading_it_anew(model: str, tmp_path: Path) -> None:
    store, docs = tmp_path / "store", tmp_path / "docs"
    docs.mkdir()
    for name, content in {"a.md": BEFORE, "b.md": STORY}.items():
        (docs / name).write_text(content)
    how: dict[str, Any] = {"params": FOLDER, "options": OPTIONS}
    first = made(memory_run(model, [str(docs)], store=store, **how))
    secret = keys_of(first, store, SECRET)
    done = memory_forget("memory/tiny-a/docs", Forgotten(match=SECRET), everywhere=True, store=store)
    new = resolve(store, done["replaced"][first.name])
    assert quotes(store, SECRET, *secret) == []
    assert sound(store)
    tokens = {file["name"]: file["tokens"] for file in new.read_json("runs.json")["files"]}
    assert new.provenance["counts"]["tokens_run"] == tokens["b.md"]
    # once the words are gone from the file too, there is nothing to read
    (docs / "b.md").write_text(STORY.replace(SECRET, ""))
    again = memory_run(model, [str(docs)], store=store, **how)
    assert (again.reused, again.key) == (True, new.key)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "only.md").write_text("Only this.")
    only = made(memory_run(model, [str(tmp_path / "one")], store=store, **how))
    with pytest.raises(InputError, match=r"nothing of .* would be left"):
        memory_forget(only, Forgotten(file="only.md"), store=store)


def test_a_file_of_a_joined_memory(model: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    both = read(model, store, Text("x/a.txt", BEFORE), Text("y/b.txt", f"{SECRET}. {SECRET}!"), Text("c.txt", BEHIND))
    secret = keys_of(both, store, SECRET)
    done = memory_forget(both, Forgotten(file="b.txt"), everywhere=True, store=store)
    new = resolve(store, done["replaced"][both.name])
    assert quotes(store, SECRET, *secret) == []
    answers = made(memory_ask(new, QUESTION, SamplingParams(4), store=store))
    files = {each["file"] for each in answers.read_json("sources.json")[0]["sources"]}
    assert files <= {"x/a.txt", "c.txt", None}  # the empty line that stood between files is of none
    with pytest.raises(InputError, match="nothing like that"):
        memory_forget(new, Forgotten(file="b.txt"), store=store)


def test_what_was_interrupted_is_finished_by_the_next_run(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    first = read(model, store, Text("story.txt", STORY))
    made(memory_run(None, [Text("more.txt", BEHIND)], extend=first, store=store))
    secret = keys_of(first, store, SECRET)
    from pasctl.stages import memory_forget as stage

    for place in ("run_job", "remove_for_good"):
        with monkeypatch.context() as stopped:
            original, calls = getattr(stage, place), []

            def stop(*arguments: Any, original: Any = original, calls: list[int] = calls, **how: Any) -> Any:
                calls.append(1)
                if len(calls) > (1 if original.__name__ == "run_job" else 0):
                    raise KeyboardInterrupt
                return original(*arguments, **how)

            stopped.setattr(stage, place, stop)
            with pytest.raises(KeyboardInterrupt):
                memory_forget("memory/tiny-a/story", Forgotten(match=SECRET), everywhere=True, store=store)
        assert sound(store)
    memory_forget("memory/tiny-a/story", Forgotten(match=SECRET), everywhere=True, store=store)
    assert quotes(store, SECRET, *secret) == []
    assert sound(store)
    assert len(Store(store).artifacts("memory")) == 2


def test_what_cannot_be_forgotten_is_refused_in_a_line(warm: Warm, model: str, tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory = read(model, store, Text("story.txt", STORY))
    for words, told in (
        ([], "expected one of"),
        (["--file", "a", "--event", 1], "--file and --event"),
        (["--match", " "], "empty"),
        (["--match", "nowhere to be found"], "nothing like that"),
        (["--event", 10**6], "events, none is number"),
        (["--turn", 1], "has 0 turns"),
        (["--file", "none.txt"], "nothing like that"),
        (["--file", "story.txt"], "nothing of"),
    ):
        refused = warm.run("memory-forget", memory.name, *words, "--store", store)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    assert len(Store(store).artifacts()) == 1
    with sqlite3.connect(store / "index.sqlite") as index:
        assert index.execute("SELECT count(*) FROM artifacts").fetchone() == (1,)
