"""`pasctl chat` in a pipe: what makes no sense, lines that are answered, and a kill in the middle of an answer."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import pasctl
from pasctl.demo.walk import MEMORY
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import OPENING, QUESTION, make
from pasctl.models.conversation import Conversation
from pasctl.stages.model import ModelHandle
from tests.integration.warm import Warm

pytestmark = pytest.mark.integration

# those of the demo's walk, with which the demo model finds pass keys
SIZES = (
    *("--n-init", 8, "--n-local", 160, "--n-mem", 256, "--chunk", 16, "--min-block", 16, "--max-block", 32),
    *("--repr-topk", 8, "--query", "mean", "--segmenter", "fixed"),
)


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--n-local", 64), 2, "error: n_local: sizes of a memory need one"),
        (("--alpha", "nan"), 2, "error: alpha 'nan' is no finite number"),
        (("--persona", "E+"), 3, "holds no directions of demo"),
        (("--memory", "My Talk"), 2, "error: conversation 'My Talk' cannot be part of an artifact's name"),
        (("--memory", "talk", "--positions", "some"), 2, "invalid value for '--positions': 'some' is not one of"),
        (("--max-new-tokens", 0), 2, "error: invalid value for '--max-new-tokens'"),
    ],
)
def test_wrong_words_end_before_the_model_is_loaded(
    warm: Warm, tmp_path: Path, arguments: tuple[object, ...], code: int, told: str
) -> None:
    done = warm.run("chat", "--model", "demo", *arguments, "--store", tmp_path / "store")
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert "loading" not in done.stderr
    assert "Traceback" not in done.stderr


def test_lines_are_answered_as_ndjson_until_one_is_wrong(
    warm: Warm, tiny_folder: Path, fitted_store: Path, tmp_path: Path
) -> None:
    lines = ["Who are\\", "you?", "/compare", "//help", "/save talk.md", "/alpha x", "lost"]
    (tmp_path / "lines").write_text("\n".join(lines))
    command = ("chat", "--model", tiny_folder, "--dtype", "float32", "--store", fitted_store, "--max-new-tokens", 5)
    persona = ("--persona", "s02", "--alpha", 32)
    done = warm.run(*command, *persona, "--json", folder=tmp_path, stdin=tmp_path / "lines")
    assert done.returncode == 2
    assert "error: alpha 'x' is no finite number" in done.stderr
    assert "Traceback" not in done.stderr
    said = done.documents
    users, answers = said[::2], said[1::2]
    assert [each["role"] for each in said] == ["user", "assistant"] * 4
    assert [each["text"] for each in users] == ["Who are\nyou?"] * 3 + ["/help"]
    who = ("s02", 32)
    assert [(each["persona"], each["alpha"]) for each in answers] == [who, who, (None, 0), who]
    assert ["compared" in each for each in answers] == [False, True, True, False]
    assert all(0 <= each["tokens"] <= 5 and each["seconds"] > 0 for each in answers)
    assert answers[0]["text"] == answers[1]["text"] != answers[2]["text"]
    assert (tmp_path / "talk.md").read_text().count("**You:**") == 2


def test_a_kill_in_the_middle_of_an_answer_loses_that_turn_alone(warm: Warm, tmp_path: Path) -> None:
    prompt = Prompt(ModelHandle("demo").chat())
    trial = make(700, 0.5, 0, lambda text: len(prompt.encode(text)))
    command = ("chat", "--model", "demo", "--memory", "talk", "--store", tmp_path / "store")
    os.mkfifo(tmp_path / "pipe")
    first = warm.start(*command, "--dtype", "float32", *SIZES, "--max-new-tokens", 100, stdin=tmp_path / "pipe")
    with (tmp_path / "pipe").open("w") as pipe:
        print(trial.text.replace("\n", "\\\n"), file=pipe, flush=True)
        first.wait_for(lambda: first.out.endswith("\n\n"))
        whole = len(first.out)
        print(OPENING, file=pipe, flush=True)
        first.wait_for(lambda: len(first.out) > whole)  # the next answer has begun
        first.signal(signal.SIGKILL)
        assert first.wait().returncode == -signal.SIGKILL
    assert not list((tmp_path / "store").rglob("manifest.json"))

    (tmp_path / "lines").write_text(QUESTION)
    second = warm.run(*command, "--json", stdin=tmp_path / "lines")  # dtype and sizes are known
    assert second.returncode == 0, second.stderr
    assert "loading demo on cpu in float32" in second.stderr
    assert "reading turns of an earlier session that did not end: 1" in second.stderr
    assert "memory/demo/talk@v1 remembers the conversation, turns: 2" in second.stderr
    _, said = second.documents
    # the first answer talks of pass keys as well, wrong ones: what is remembered is the whole turn, with that answer
    model = pasctl.load_model("demo", dtype="float32")
    talk, memory = Conversation(model.chat), EpisodicMemory(model, params=MEMORY)
    memory.read_ids([*talk.opening(), *talk.turn(trial.text, first.out[:whole].strip())])
    how = SamplingParams(max_new_tokens=64)
    [expected] = generate(model, [Request(talk.question(QUESTION), how, memory=memory, strip=True)])
    assert said["text"] == expected.written
    other = EpisodicMemory(model, params=MEMORY)
    other.read_ids([*talk.opening(), *talk.turn(trial.text, "The sea is grey.")])
    [free] = generate(model, [Request(talk.question(QUESTION), how, memory=other, strip=True)])
    assert trial.answers[0] in free.written
    assert said["memory"] == "talk"
    assert said["recalled"]
