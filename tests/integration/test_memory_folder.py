"""A folder as a memory: only what has changed is read, and the answers are those of a memory made anew, bit for bit."""

from __future__ import annotations

import os
import shutil
import signal
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.errors import InputError, PasctlError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.options import ModelOptions
from pasctl.stages.folder import read_folder
from pasctl.stages.job import Outcome
from pasctl.stages.memory import memory_run, open_memory
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_show import memory_show
from pasctl.stages.report import report
from pasctl.stages.reproduce import Made, reproduce
from pasctl.stages.runner import Artifact
from pasctl.store import Store
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

OPTIONS = ModelOptions(dtype="float32")
PARAMS = {"n_local": 64, "n_mem": 48, "chunk": 16, "min_block": 4, "max_block": 12}
SMALL = [word for name, value in PARAMS.items() for word in (f"--{name.replace('_', '-')}", value)]
FILES = {
    f"{place}/note-{n}.md": f"# Note {n}\n\n" + f"I worry about things {n * 7}. Vivid imagination.\n" * (2 + n % 5)
    for n, place in enumerate(("guide", "guide", "guide/deep", "other", "other"))
} | {"top.md": "The top of it all.\n"}
QUESTION = ["Who worries about note 3, and what is vivid?"]


@pytest.fixture(scope="module")
def model(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path_factory.mktemp("model") / "tiny-a"))


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write(tmp_path / "docs", FILES)


def write(folder: Path, files: Mapping[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    return folder


class Notes:
    """A reporter that keeps its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self._silent = pasctl.stages.progress.Silent()  # type: ignore[attr-defined]

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, *arguments: Any) -> Any:
        return self._silent.progress(*arguments)


def read(model: Path, folder: Path, store: Path, **how: Any) -> tuple[Artifact, dict[str, int], list[str]]:
    notes = Notes()
    made: Outcome = memory_run(
        str(model), [str(folder)], params=PARAMS, options=OPTIONS, store=store, reporter=notes, **how
    )
    assert made.artifact is not None
    return made.artifact, made.artifact.provenance["counts"], notes.notes


def tokens_of(memory: Artifact) -> dict[str, int]:
    return {file["name"]: file["tokens"] for file in memory.read_json("runs.json")["files"]}


def logits(memory: Artifact, store: Path) -> Any:
    opened = open_memory(memory, store=store)
    return opened.logits([opened.prompt.question(QUESTION[0])])


def test_only_what_has_changed_is_read_and_answers_are_those_of_a_memory_made_anew(
    model: Path, docs: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    first, counts, notes = read(model, docs, store)
    assert first.name == "memory/tiny-a/docs@v1"
    assert list(tokens_of(first)) == sorted(FILES)
    assert counts["tokens_run"] == sum(tokens_of(first).values())
    assert notes[-1] == f"6 files: {counts['tokens_run']:,} tokens read"

    (docs / "other/note-3.md").write_text("Note 3 says now that Agnes worries. " * 9)
    (docs / "new.md").write_text("A new one.")
    (docs / "top.md").unlink()
    changed, counts, notes = read(model, docs, store)
    assert changed.name == "memory/tiny-a/docs@v2"
    tokens = tokens_of(changed)
    assert counts["tokens_run"] == tokens["other/note-3.md"] + tokens["new.md"]
    assert counts["files_read"] == 2
    assert notes[-1] == f"2 of 6 files are new or changed, 1 is gone: {counts['tokens_run']} tokens read"

    anew, counts, _ = read(model, docs, tmp_path / "anew")
    assert counts["tokens_run"] == sum(tokens.values())
    assert (anew.key, anew.content_digest) == (changed.key, changed.content_digest)
    assert (logits(changed, store) == logits(anew, tmp_path / "anew")).all()
    asked = [
        memory_ask(memory, QUESTION, SamplingParams(6), store=place).artifact
        for memory, place in ((changed, store), (anew, tmp_path / "anew"))
    ]
    assert asked[0] is not None
    assert asked[1] is not None
    assert (asked[0].key, asked[0].content_digest) == (asked[1].key, asked[1].content_digest)

    # a file under another name is not read again
    os.rename(docs / "new.md", docs / "renamed.md")
    moved, counts, notes = read(model, docs, store)
    assert counts["tokens_run"] == 0
    assert notes[-1] == "1 of 6 files is new or changed, 1 is gone: 0 tokens read"
    assert moved.key not in (changed.key, first.key)
    # the files as they were, and the first version is the result, by whatever way
    again, _, _ = read(model, write(tmp_path / "back" / "docs", FILES), store)
    assert again.key == first.key


def test_sources_are_the_files_and_their_lines(model: Path, docs: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    memory, _, _ = read(model, docs, store, glob="**/*.md")
    answers = memory_ask(memory, QUESTION, SamplingParams(6), store=store).artifact
    assert answers is not None
    [answer] = read_answers(answers)
    assert {source["file"] for source in answer["sources"]} <= set(FILES)
    assert len({source["file"] for source in answer["sources"]}) > 2
    for source in answer["sources"]:
        assert FILES[source["file"]][slice(*source["characters"])] == source["text"]
        assert source["modified"] == (docs / source["file"]).stat().st_mtime
    shown = memory_show(memory, store=store)
    assert "".join(event["text"] for event in shown["events"]) == "".join(FILES[name] for name in sorted(FILES))
    assert shown["figures"]["events"] == shown["figures"]["events_outside_window"] == len(shown["events"])
    report([memory.name, answers.name], tmp_path / "page.html", store=store)


def test_equal_files_are_read_once_and_what_is_no_text_is_left_out(model: Path, docs: Path, tmp_path: Path) -> None:
    shutil.copy(docs / "top.md", docs / "copy.md")
    write(docs, {".git/config": "hidden", "guide/.secret.md": "hidden", "empty.md": " \n"})
    (docs / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    (docs / "loop").symlink_to(docs, target_is_directory=True)
    (docs / "self.md").symlink_to(docs / "self.md")
    (docs / "nowhere.md").symlink_to(docs / "gone.md")
    memory, counts, notes = read(model, docs, tmp_path / "store")
    tokens = tokens_of(memory)
    assert sorted(tokens) == sorted([*FILES, "copy.md"])
    assert counts["tokens_run"] == sum(tokens.values()) - tokens["copy.md"]
    assert notes[0] == "left out: empty.md (empty), image.png (a PNG image)"
    assert (
        memory.read_json("memory.json")["tokens"] - len(memory.read_json("runs.json")["opening"])
        == sum(tokens.values()) - tokens["copy.md"]
    )


@pytest.mark.parametrize("pattern", ["*.txt", "", " ", "/etc/*", "../*", "**.md/**x"])
def test_a_pattern_that_matches_nothing_is_refused(docs: Path, pattern: str) -> None:
    with pytest.raises(InputError, match=r"matches|pattern|cannot be used") as refused:
        read_folder(docs, pattern, Notes())
    assert "\n" not in str(refused.value)


def test_files_that_cannot_be_read_are_named(docs: Path) -> None:
    (docs / "latin.txt").write_bytes("Brücke".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin\.txt is not UTF-8"):
        read_folder(docs, None, Notes())
    assert [text.name for text in read_folder(docs, "*.md", Notes())] == ["top.md"]
    (docs / "latin.txt").unlink()
    (docs / "top.md").chmod(0)
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    with pytest.raises(PasctlError, match="Permission denied"):
        read_folder(docs, None, Notes())
    (docs / "top.md").chmod(stat.S_IRWXU)


def test_what_cannot_be_done_with_a_folder_is_refused_in_a_line(
    warm: Warm, model: Path, docs: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    base = ["memory-run", docs, *SMALL, "--dtype", "float32", "--store", store]
    for more, told in (
        (["--model", model, "--n-init", 4], "n_init cannot be set"),
        (["--model", model, "--positions", "true"], "positions true"),
        ([], "no model"),
    ):
        refused = warm.run(*base, *more)
        assert (refused.returncode, told in refused.stderr) == (2, True), refused.stderr
    both = warm.run("memory-run", docs, docs / "top.md", "--model", model, "--store", store)
    assert (both.returncode, "is a folder and not the only text" in both.stderr) == (2, True)
    no_folder = warm.run("memory-run", docs / "top.md", "--glob", "*.md", "--model", model, "--store", store)
    assert (no_folder.returncode, "--glob has no folder" in no_folder.stderr) == (2, True)
    made = warm.run(*base, "--model", model, "--glob", "**/*.md", "--ask", "Who?", "--max-new-tokens", 4)
    assert made.returncode == 0, made.stderr
    assert "6 files: " in made.stderr
    assert "from " in made.stderr
    planned = warm.run(*base, "--model", model, "--glob", "**/*.md", "--dry-run", "--json").document
    assert planned["name"] == "memory/tiny-a/docs@v1"
    (docs / "top.md").write_text("Changed.")
    planned = warm.run(*base, "--model", model, "--glob", "**/*.md", "--dry-run", "--json").document
    assert (planned["plan"]["files"], planned["plan"]["files_to_read"]) == (6, 1)
    assert planned["plan"]["tokens"] < 50
    extended = warm.run("memory-run", docs / "top.md", "--extend", "memory/tiny-a/docs", "--store", store)
    assert (extended.returncode, "cannot be extended" in extended.stderr) == (2, True)
    command = reproduce(Made.of(Store(store).resolve("memory/tiny-a/docs")))
    assert "--glob '**/*.md'" in command
    assert command.endswith("docs")


def test_a_killed_run_goes_on_with_the_files_that_are_left(warm: Warm, model: Path, tmp_path: Path) -> None:
    docs = write(tmp_path / "docs", {f"{n:02d}.md": f"Note {n}. " + "I worry about things. " * 60 for n in range(12)})
    store = tmp_path / "store"
    command = ["memory-run", docs, "--model", model, *SMALL, "--dtype", "float32", "--json", "--store"]
    process = warm.start(*command, store)
    process.wait_for(lambda: len(list((store / "staging").rglob("run.safetensors.*"))) >= 3)
    process.signal(signal.SIGKILL)
    process.wait()
    resumed = warm.run(*command, store).document
    whole = warm.run(*command, tmp_path / "other").document
    assert 0 < resumed["counts"]["tokens_run"] < whole["counts"]["tokens_run"]
    assert (resumed["key"], resumed["content_digest"]) == (whole["key"], whole["content_digest"])


def test_newer_files_are_preferred_by_a_weight_that_enters_the_key(
    warm: Warm, model: Path, docs: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    for number, name in enumerate(sorted(FILES)):
        os.utime(docs / name, (1000.0 + number, 1000.0 + number))
    memory, _, _ = read(model, docs, store)
    plain = memory_ask(memory, QUESTION, SamplingParams(3), store=store)
    assert memory_ask(memory, QUESTION, SamplingParams(3), recent=0.0, store=store).key == plain.key
    newest = memory_ask(memory, QUESTION, SamplingParams(3), recent=1e6, store=store).artifact
    assert newest is not None
    assert newest.key != plain.key
    found = [source["modified"] for source in read_answers(newest)[0]["sources"]]
    assert min(found) >= 1000.0 + len(FILES) / 2
    bad = warm.run("memory-ask", memory.name, *QUESTION, "--recent", "nan", "--store", store)
    assert (bad.returncode, "recent is nan" in bad.stderr) == (2, True)
