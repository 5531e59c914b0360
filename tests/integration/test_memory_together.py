"""Several memories in one question: all are retrieved from, sources name theirs, and what does not fit is refused."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.memory import memory_run, open_memory
from pasctl.stages.memory_ask import memory_ask, read_answers
from pasctl.stages.memory_show import memory_show
from pasctl.stages.progress import Silent
from pasctl.stages.report import report
from pasctl.stages.several_memories import open_several
from pasctl.stages.text import Text
from pasctl.store import Artifact, Store
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

PARAMS = MemoryParams(n_init=8, n_local=64, n_mem=48, chunk=16, min_block=4, max_block=12)
FOLDER = {"n_local": 64, "n_mem": 48, "chunk": 16, "min_block": 4, "max_block": 12}
OPTIONS = ModelOptions(dtype="float32")
ONE = "".join(f"I worry about things {n}. Vivid imagination.\n" for n in range(30))
TWO = "".join(f"The life of the party, {n * 3}.\nI get stressed out easily.\n" for n in range(20))
NOTE = "A note in a folder. I worry about it, and about the party.\n" * 4
QUESTION = ["Who worries about the party?"]


@pytest.fixture(scope="module")
def folder(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    model = str(shutil.copytree(tiny_folder, folder / "tiny-a"))
    (folder / "docs").mkdir()
    (folder / "docs" / "note.md").write_text(NOTE)
    for text in (Text("one.txt", ONE), Text("two.txt", TWO), Text("short.txt", "Short.")):
        memory_run(model, [text], params=PARAMS, options=OPTIONS, store=folder / "store")
    memory_run(model, [str(folder / "docs")], params=FOLDER, options=OPTIONS, store=folder / "store")
    return folder


def memory(folder: Path, name: str) -> Artifact:
    return Store(folder / "store").resolve(f"memory/tiny-a/{name}")


def test_all_memories_are_retrieved_from_and_named(warm: Warm, folder: Path, tmp_path: Path) -> None:
    store = folder / "store"
    asked = warm.run(
        *("memory-ask", "memory/tiny-a/one", *QUESTION, "--with", "memory/tiny-a/two", "--with", "memory/tiny-a/docs"),
        *("--max-new-tokens", 8, "--json", "--store", store),
    )
    assert asked.returncode == 0, asked.stderr
    sources = asked.document["sources"]
    contents = {"one.txt": ONE, "two.txt": TWO, "note.md": NOTE}
    names = {"one.txt": "one", "two.txt": "two", "note.md": "docs"}
    assert {source["memory"] for source in sources} == {f"memory/tiny-a/{name}@v1" for name in names.values()}
    for source in sources:
        if source["characters"] is not None:  # what the template wrote before a text is no file's
            assert contents[source["file"]][slice(*source["characters"])] == source["text"]
            assert source["memory"] == f"memory/tiny-a/{names[source['file']]}@v1"
    answers = Store(store).resolve(asked.document["name"])
    [question] = memory_show(answers, store=store)["questions"]
    assert question["sources"] == sources
    report([answers.name], tmp_path / "page.html", store=store)
    page = tmp_path / "sources.html"
    shown = warm.run("memory-show", answers.name, "--answer", 1, "--html", page, "--store", store)
    assert shown.returncode == 0, shown.stderr
    assert page.read_text().count("<mark ") == len(sources)

    # the same memories in the same order are answered from the store; in another order the question is another
    def key(*names: str) -> str:
        first, *others = (memory(folder, name) for name in names)
        return memory_ask(first, QUESTION, SamplingParams(8), others=others, store=store).key

    assert key("one", "two", "docs") == answers.key
    assert len({key("one"), key("two", "one"), key("one", "two"), answers.key}) == 4


def test_every_token_is_in_one_event_and_can_be_retrieved(folder: Path) -> None:
    memories = [memory(folder, name) for name in ("one", "short", "docs", "two")]
    handle = open_memory(memories[0], store=folder / "store").model
    from pasctl.stages.model import ModelHandle

    together = open_several(memories, ModelHandle.of(handle), "device", Silent())
    alone = [open_memory(each, handle, store=folder / "store") for each in memories]
    opening = len(together.prompt.opening)
    wanted = list(together.prompt.opening)
    for each, artifact in zip(alone, memories, strict=True):
        wanted += each.reader.ids[opening if artifact.label == "docs" else 0 :]
    assert together.reader.ids == wanted
    starts = together.reader.past.events.starts
    assert starts[0] == opening
    assert starts[-1] == len(wanted)
    assert together.reader.past.events.evicted == len(starts) - 1
    assert max(b - a for a, b in pairwise(starts)) <= PARAMS.max_block
    keys, _ = together.reader.past.segments.read_all_layers(opening, len(wanted))
    parts = [each.reader.past.segments.read_all_layers(0, len(each.reader.ids))[0] for each in alone]
    parts[2] = parts[2][:, :, opening:]
    import torch

    assert torch.equal(keys, torch.cat(parts, dim=2))
    # representatives of the events that had left the window when the text ended are those of the memory itself, rounded
    early = -(-PARAMS.n_init // PARAMS.max_block)
    evicted = alone[0].reader.past.events.evicted
    assert torch.allclose(
        together.reader.past.events.representatives(0)[early : early + evicted],
        alone[0].reader.past.events.representatives(0),
        atol=0.02,
    )


def test_what_cannot_be_asked_together_is_refused(warm: Warm, folder: Path, other_tiny_folder: Path) -> None:
    store = folder / "store"
    other = str(shutil.copytree(other_tiny_folder, folder / "tiny-other"))
    memory_run(other, [Text("other.txt", ONE)], params=PARAMS, options=OPTIONS, store=store)
    memory_run(
        str(folder / "tiny-a"),
        [Text("half.txt", ONE)],
        params=PARAMS,
        options=ModelOptions(dtype="bfloat16"),
        store=store,
    )
    first = memory(folder, "one")
    for name, told in (
        ("memory/tiny-other/other", "another model"),
        ("memory/tiny-a/half", "another numerics"),
        ("memory/tiny-a/one", "given twice"),
    ):
        with pytest.raises(InputError, match=told):
            memory_ask(first, QUESTION, others=[name], store=store)
    taken = warm.run("memory-ask", "memory/tiny-a/one", "memory/tiny-a/two", "Who?", "--store", store)
    assert taken.returncode == 2
    assert "is a memory and no question" in taken.stderr
    assert "--with memory/tiny-a/two@v1" in taken.stderr
    answers = memory_ask(first, ["memory/one/two?"], SamplingParams(2), store=store).artifact
    assert answers is not None
    assert read_answers(answers)[0]["question"] == "memory/one/two?"
