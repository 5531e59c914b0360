"""Memories that are extended, read by a steered model, and saved from Python."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch

import pasctl
from pasctl.errors import InputError, MissingError
from pasctl.generation.sampling_params import SamplingParams
from tests.integration.warm import Warm
from tests.tiny import tiny_loaded

pytestmark = pytest.mark.integration

SMALL: dict[str, Any] = {"n_init": 8, "n_local": 64, "n_mem": 48, "chunk": 16, "min_block": 4, "max_block": 12}
FLAGS = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", value)]
STORY = "".join(f"I am the life of the party. I worry about things {n} times. " for n in range(60))
MORE = "".join(f"Vivid imagination {n}, statement {n * 7 % 13}. " for n in range(40))


@pytest.fixture
def texts(tmp_path: Path) -> tuple[Path, Path]:
    for name, content in (("story", STORY), ("more", MORE)):
        (tmp_path / f"{name}.txt").write_text(content, encoding="utf-8")
    return tmp_path / "story.txt", tmp_path / "more.txt"


def test_an_extended_memory_is_a_child_that_has_read_both(
    warm: Warm, tiny_folder: Path, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first = warm.run(
        "memory-run", texts[0], "--model", tiny_folder, *FLAGS, "--dtype", "float32", "--json", "--store", store
    )
    parent = first.document
    longer = warm.run("memory-run", texts[1], "--extend", "memory/tiny-a/story", "--json", "--store", store)
    assert longer.returncode == 0, longer.stderr
    child = longer.document
    assert child["name"] == "memory/tiny-a/story@v2"
    assert child["inputs"] == {"memory": "memory/tiny-a/story@v1"}
    assert child["counts"]["tokens_resumed"] == 0
    assert "memory/tiny-a/story@v1" in warm.run("store", "lineage", child["name"], "--store", store).stdout

    old, new = (pasctl.Store(store).resolve(each["name"], "memory") for each in (parent, child))
    segments = old.files("segments/")
    assert [old.digest_of(name) for name in segments] == [new.digest_of(name) for name in segments]
    assert all(os.stat(old.path / name).st_ino == os.stat(new.path / name).st_ino for name in segments)
    assert not warm.run("store", "verify", "--deep", "--store", store).returncode

    # the same as one memory that reads on: chunks begin anew where a text ended
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    whole = pasctl.EpisodicMemory(model, **SMALL)
    whole.read(STORY)
    whole.read(f"\n\n{MORE}")
    opened = pasctl.open_memory(new, model, store=store)
    assert opened.reader.ids == whole.reader.ids
    assert opened.reader.past.events.starts == whole.reader.past.events.starts
    question = [whole.prompt.question("Who worries?")]
    assert torch.equal(opened.logits(question), whole.logits(question))


def test_the_same_text_on_its_own_result_is_taken_from_the_store(
    warm: Warm, tiny_folder: Path, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    name = "memory/tiny-a/story"
    warm.run("memory-run", texts[0], "--model", tiny_folder, *FLAGS, "--dtype", "float32", "--store", store)
    extend = ("memory-run", texts[1], "--extend")
    first = warm.run(*extend, name, "--json", "--store", store).document
    assert (first["name"], first["reused"]) == (f"{name}@v2", False)
    for ref in (name, "latest", f"{name}@v2"):
        again = warm.run(*extend, ref, "--json", "--store", store)
        assert again.returncode == 0, again.stderr
        assert (again.document["name"], again.document["reused"]) == (f"{name}@v2", True)
        assert again.document["inputs"] == {"memory": f"{name}@v1"}
        assert [line for line in again.stderr.splitlines() if "not read a second time" in line]
    dry = warm.run(*extend, name, "--dry-run", "--json", "--store", store)
    assert (dry.document["name"], dry.document["reused"]) == (f"{name}@v2", True)
    assert warm.run(*extend, f"{name}@v1", "--json", "--store", store).document["name"] == f"{name}@v2"
    asked = warm.run(*extend, name, "--ask", "Who worries?", "--max-new-tokens", 4, "--store", store)
    assert (asked.returncode, asked.stdout.startswith(f"{name}@v2  already in the store")) == (0, True), asked.stderr
    # parameters that it was not read with are refused as ever, and another text, or the same after another, is read
    assert warm.run(*extend, name, "--n-mem", 24, "--store", store).returncode == 2
    other = warm.run("memory-run", texts[0], "--extend", name, "--json", "--store", store).document
    assert (other["name"], other["reused"]) == (f"{name}@v3", False)
    third = warm.run(*extend, name, "--json", "--store", store).document
    assert (third["name"], third["inputs"], third["reused"]) == (f"{name}@v4", {"memory": f"{name}@v3"}, False)
    # a text that was read into a new memory has extended nothing
    fresh = warm.run("memory-run", texts[1], "--model", tiny_folder, *FLAGS, "--json", "--store", store).document
    twice = warm.run("memory-run", texts[1], "--extend", fresh["name"], "--json", "--store", store).document
    assert (twice["reused"], twice["inputs"]) == (False, {"memory": fresh["name"]})


def test_extending_keeps_parameters_and_model(
    warm: Warm, tiny_folder: Path, other_tiny_folder: Path, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    warm.run("memory-run", texts[0], "--model", tiny_folder, *FLAGS, "--seed", 3, "--store", store)
    extend = ("memory-run", texts[1], "--extend", "memory/tiny-a/story")
    for flags, told in (
        (("--n-mem", 24), "n_mem 48"),
        (("--model", other_tiny_folder), "another model"),
        (("--dtype", "float16"), "was read in"),
        (("--quantize", "int8"), "was read with plain weights"),
        (("--alpha", 2), "continues as it was read"),
    ):
        refused = warm.run(*extend, *flags, "--store", store)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    agreeing = warm.run(*extend, "--n-mem", 48, "--model", tiny_folder, "--dry-run", "--json", "--store", store)
    assert agreeing.document["plan"]["tokens"] > 300
    assert warm.run("memory-run", texts[0], "--store", store).returncode == 2  # neither a model nor a memory


def test_a_steered_reader_reads_and_answers_otherwise(
    warm: Warm, tiny_folder: Path, texts: tuple[Path, Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for command in (
        ("extract", "--model", tiny_folder),
        ("train-probes", "--personas", "E+,N-"),
        ("fit-directions", "--top-k", 4),
    ):
        assert not warm.run(*command, "--store", store).returncode
    made = {}
    for name, flags in {
        "plain": (),
        "zero": ("--persona", "E+", "--alpha", 0),
        "steered": ("--persona", "E+", "--alpha", 30),
        "other": ("--persona", "N-", "--alpha", 30),
    }.items():
        command = ("memory-run", texts[0], "--model", tiny_folder, *FLAGS, "--label", name, "--json", *flags)
        read = warm.run(*command, "--store", store)
        assert read.returncode == 0, read.stderr
        made[name] = read.document["name"]
    opened = {name: pasctl.open_memory(each, store=store) for name, each in made.items()}
    question = [opened["plain"].prompt.question("Who worries?")]
    logits = {name: memory.logits(question) for name, memory in opened.items()}
    assert torch.equal(logits["plain"], logits["zero"])
    assert not torch.allclose(logits["plain"], logits["steered"], atol=1e-3)
    assert not torch.allclose(logits["other"], logits["steered"], atol=1e-3)
    assert not torch.equal(opened["plain"].reader.surprise, opened["steered"].reader.surprise)

    unnamed = warm.run("memory-run", texts[0], "--model", tiny_folder, *FLAGS, "--alpha", 2, "--store", store)
    assert (unnamed.returncode, "2 personas" in unnamed.stderr) == (2, True)
    weak = warm.run("memory-run", texts[0], "--model", tiny_folder, "--directions", "latest", "--store", store)
    assert (weak.returncode, "2 personas" in weak.stderr) == (2, True)  # alpha is auto, of whom is not said

    # what extends a steered memory is read steered as well
    longer = warm.run("memory-run", texts[1], "--extend", made["steered"], "--json", "--store", store)
    grown = pasctl.open_memory(longer.document["name"], store=store)
    assert grown.intervention is not None
    again = pasctl.EpisodicMemory(grown.model, intervention=opened["steered"].intervention, **SMALL)
    again.read(STORY)
    again.read(f"\n\n{MORE}")
    assert torch.equal(again.logits(question), grown.logits(question))


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_a_memory_read_in_python_is_saved_once_and_opened(tmp_path: Path, kv_dtype: str) -> None:
    model = tiny_loaded()
    memory = pasctl.EpisodicMemory(model, kv_dtype=kv_dtype, **SMALL)
    with pytest.raises(InputError, match="nothing was read"):
        memory.save(tmp_path)
    memory.read(STORY)
    question = [memory.prompt.question("Who worries?")]
    expected = memory.logits(question)
    made = memory.save(tmp_path, label="novel")
    assert made.name.endswith("/novel@v1")
    assert memory.save(tmp_path, label="novel").key == made.key
    opened = pasctl.open_memory(made, model, store=tmp_path)
    assert torch.equal(opened.logits(question), expected)
    assert opened.save(tmp_path, label="novel").key == made.key
    opened.read(MORE)
    memory.read(MORE)
    assert torch.equal(opened.logits(question), memory.logits(question))
    assert memory.save(tmp_path, label="novel").name.endswith("/novel@v2")
    outcome = pasctl.memory_ask(made, ["Who worries?"], SamplingParams(max_new_tokens=4), model=model, store=tmp_path)
    assert outcome.artifact is not None
    with pytest.raises(MissingError):
        pasctl.open_memory("memory/none/none", model, store=tmp_path)
