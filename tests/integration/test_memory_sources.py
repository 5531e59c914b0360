"""Where answers come from, on the command line: files and lines, kept with the answer, shown later, and as a page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import memory_run
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_show import Selection, memory_show
from pasctl.stages.text import Text
from pasctl.store import Store
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

PARAMS = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=4, max_block=12)
OPTIONS = ModelOptions(dtype="float32")
LINES = "I worry about things {n}.\nVivid <b>imagination</b> & more, {m}.\n\n"
FILES = {
    name: "".join(LINES.format(n=n + seed, m=n * 7 % 13) for n in range(14))
    for seed, name in enumerate(("one.txt", "two.md", "three.txt"))
}


def right(source: dict[str, object]) -> bool:
    """Whether a source's characters and lines are those of its words in the file."""
    content = FILES[Path(str(source["file"])).name]
    start, stop = source["characters"]  # type: ignore[misc]
    lines = [content[:start].count("\n") + 1, content[: stop - 1].count("\n") + 1]
    return content[start:stop] == source["text"] and source["lines"] == lines


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, three texts, and a store with a memory of two of them and one extended with the third."""
    folder = tmp_path_factory.mktemp("sources")
    shutil.copytree(tiny_folder, folder / "tiny-a")
    for name, content in FILES.items():
        (folder / name).write_text(content, encoding="utf-8")
    texts = [str(folder / name) for name in FILES]
    made = memory_run(
        str(folder / "tiny-a"), texts[:2], params=PARAMS, options=OPTIONS, label="both", store=folder / "store"
    )
    memory_run(None, texts[2:], extend=made.artifact, label="all", store=folder / "store")
    return folder


def test_answers_name_the_file_that_they_come_from(warm: Warm, folder: Path) -> None:
    asked = warm.run(
        "memory-ask", "memory/tiny-a/all", "Who worries?", "--max-new-tokens", 8, "--store", folder / "store"
    )
    assert asked.returncode == 0, asked.stderr
    told = [line for line in asked.stderr.splitlines() if line.startswith("from ")]
    assert len(told) == 3
    assert all(".txt:" in line or ".md:" in line for line in told)
    assert all('% of layers): "' in line for line in told)
    document = warm.run(
        "memory-ask", "memory/tiny-a/all", "Who worries?", "--max-new-tokens", 8, "--json", "--store", folder / "store"
    ).document
    assert document["reused"]
    sources = document["sources"]
    assert all(map(right, sources))
    assert {Path(source["file"]).name for source in sources} == set(FILES)
    assert told[0].startswith(f"from {sources[0]['file']}:{sources[0]['lines'][0]}")
    # the shares are those of the retrieval that is kept with them
    step = max(each["step"] for each in document["recalled"] if each["step"] <= document["first_step"])
    first = [each for each in document["recalled"] if each["step"] == step]
    for source in sources:
        count = sum(source["event"] in each["events"] for each in first)
        assert source["first_share"] == pytest.approx(count / 3, abs=1e-4)
    assert "".join(document["answer"].split()) == "".join(
        "".join(sentence["text"].split()) for sentence in document["sentences"]
    )
    assert {source["modified"] for source in sources} == {(folder / name).stat().st_mtime for name in FILES}


def test_sources_of_an_answer_are_shown_and_marked_in_a_page(warm: Warm, folder: Path, tmp_path: Path) -> None:
    store = folder / "store"
    memory_ask("memory/tiny-a/both", ["Who?"], SamplingParams(4), store=store)
    asked = memory_ask("memory/tiny-a/both", ["Where?", "Why?"], SamplingParams(6), store=store)
    shown = warm.run("memory-show", "memory/tiny-a/both", "--answer", 3, "--store", store, env={"COLUMNS": "90"})
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[2].startswith("Why?  (answers/tiny-a/both")
    assert all(len(line) <= 90 for line in shown.stdout.splitlines()[4:])
    assert asked.artifact is not None
    kept = read_answers(asked.artifact)[1]
    document = memory_show("memory/tiny-a/both", Selection(answer=3), store=store)
    [question] = document["questions"]
    assert (question["sources"], question["sentences"]) == (kept["sources"], kept["sentences"])
    page = tmp_path / "page.html"
    alone = warm.run("memory-show", asked.artifact.name, "--answer", 2, "--html", page, "--store", store)
    assert alone.returncode == 0, alone.stderr
    html = page.read_text(encoding="utf-8")
    assert html.count("<mark ") == len(kept["sources"])
    assert "<b>" not in html
    assert "&lt;b&gt;" in html
    assert all(f'id="source-{n + 1}"' in html for n in range(len(kept["sources"])))
    assert "http" not in html
    beyond = warm.run("memory-show", "memory/tiny-a/both", "--answer", 4, "--store", store)
    assert (beyond.returncode, "has 3 answers" in beyond.stderr) == (2, True)
    without = warm.run("memory-show", "memory/tiny-a/both", "--html", page, "--store", store)
    assert (without.returncode, "--answer" in without.stderr) == (2, True)
    nowhere = warm.run("memory-show", "latest", "--answer", 1, "--html", tmp_path / "no" / "x", "--store", store)
    assert nowhere.returncode == 2


def test_memories_and_answers_from_before_sources_were_kept_have_them(folder: Path, tmp_path: Path) -> None:
    """Without their files they are found in what the tokens are decoded to: the file's own, where there was one."""
    model = str(folder / "tiny-a")
    store = tmp_path / "store"
    text = Text("one.txt", FILES["one.txt"])
    memory = memory_run(model, [text], params=PARAMS, options=OPTIONS, store=store).artifact
    assert memory is not None
    answers = memory_ask(memory, ["Who?"], SamplingParams(6), store=store).artifact
    assert answers is not None
    kept = read_answers(answers)[0]
    for artifact, gone in ((memory, "text.parquet"), (answers, "sources.json")):
        path = artifact.path / "manifest.json"
        manifest = json.loads(path.read_text())
        manifest["files"] = [entry for entry in manifest["files"] if entry["name"] != gone]
        from pasctl.store.manifest import digest_content

        manifest["content_digest"] = digest_content(manifest["files"])
        path.write_text(json.dumps(manifest))
        (artifact.path / gone).unlink()
    assert read_answers(Store(store).resolve(answers.name))[0]["sources"] is None
    [question] = memory_show(answers.name, store=store)["questions"]
    assert question["sources"] == [{**source, "modified": None} for source in kept["sources"]]
    assert question["sentences"] == []
    assert all(map(right, question["sources"]))
