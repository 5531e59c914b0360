"""Answers that pages show from a text are what the text says, and what the model answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pasctl
from pasctl.demo import CONTEXT
from pasctl.demo.walk import MEMORY, TIMES_CONTEXT
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.asking import Answer
from pasctl.memory.prompt import Prompt
from pasctl.memory.tasks.passkey import make
from pasctl.memory.tasks.trial import Trial
from pasctl.models.load import LoadedModel
from pasctl.serving.settings import Settings
from tests.serving.conftest import running, service_of

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGES = {str(path.relative_to(ROOT)): path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
NAME = "memory/demo/pass-key"
ASKED = re.compile(rf'ask\("(.+?)", memory="{NAME}@v1"\)\n +# \(\'(.*?)\',')
"""A question to the memory that `pasctl demo` makes, and the answer shown below it."""


def chats(text: str) -> list[tuple[str, str]]:
    """Commands of a page's `$ ... pasctl chat --memory NAME` and what is shown below each."""
    runs: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("    $ "):
            runs.append([line, ""])
        elif runs and runs[-1][0].endswith("|"):
            runs[-1][0] += line
        elif runs and (line.startswith("    ") or not line):
            runs[-1][1] += f"{line}\n"
        elif line:
            runs.append(["", ""])
    return [(command, shown) for command, shown in runs if "pasctl chat" in command and "--memory" in command]


def shown() -> list[tuple[str, str, str]]:
    """Page, question and answer of all that pages show from the demo's text."""
    return [(page, *pair) for page, path in PAGES.items() for pair in ASKED.findall(path.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return pasctl.load_model("demo", dtype="float32")


@pytest.fixture(scope="module")
def trial(model: LoadedModel) -> Trial:
    """The text of `pasctl demo`."""
    prompt = Prompt(model.chat)
    return make(TIMES_CONTEXT * CONTEXT, 0.5, 0, lambda text: len(prompt.encode(text)))


@pytest.fixture(scope="module")
def store(model: LoadedModel, trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the memory of `pasctl demo`."""
    folder = tmp_path_factory.mktemp("demo") / "artifacts"
    pasctl.memory_run(model, [pasctl.Text("pass-key.txt", trial.text)], params=MEMORY, store=folder)
    return folder


def test_pages_that_name_the_demos_memory_show_its_key_and_no_other(trial: Trial) -> None:
    [key] = trial.answers
    assert f"The pass key is {key}." in trial.text
    assert shown()
    assert {answer for _, _, answer in shown()} == {key}
    for page, path in PAGES.items():
        text = path.read_text(encoding="utf-8")
        if NAME in text:
            assert set(re.findall(r"\b\d{5}\b", text)) <= {key}, page


def test_the_server_answers_what_pages_show(model: LoadedModel, store: Path) -> None:
    settings = Settings(port=0)
    with (
        service_of(model, settings, store, memory=[f"{NAME}@v1"]) as service,
        running(service, settings) as server,
        server.client() as client,
    ):
        for page, question, answer in shown():
            reply = client.chat.completions.create(
                model="demo",
                messages=[{"role": "user", "content": question}],
                temperature=0,
                extra_body={"pasctl": {"memory": f"{NAME}@v1"}},
            )
            assert reply.choices[0].message.content == answer, page


def recalled(answer: Answer) -> list[tuple[int, tuple[int, ...]]]:
    """Layer and events of each retrieval, in order; steps count those of the company as well."""
    return [(each.layer, each.events) for each in answer.recalled]


def test_a_question_is_answered_the_same_in_any_company(model: LoadedModel, trial: Trial, store: Path) -> None:
    """Its filler repeats itself, so that events tie: with ties broken by noise, company changed the answer."""
    memory = pasctl.open_memory(NAME, model, store=store)
    questions = ["What is the pass key?", trial.question, "What does the text say?", "Who hid it?", "Why is it so?"]
    how = SamplingParams(max_new_tokens=12)
    alone = [memory.ask_all([question], how)[0] for question in questions]
    for together in (2, 5):
        for first in range(5):
            order = [(first + step) % 5 for step in range(together)]
            answers = memory.ask_all([questions[number] for number in order], how)
            for number, answer in zip(order, answers, strict=True):
                assert recalled(answer) == recalled(alone[number])
                assert answer.text == alone[number].text


def test_a_chat_that_is_shown_remembers_what_was_said() -> None:
    """Of the chats on the pages: who asks for a name that was said before gets that name."""
    said = [pair for path in PAGES.values() for pair in chats(path.read_text(encoding="utf-8"))]
    [name] = {name for command, _ in said for name in re.findall(r"my dog ([A-Z]\w+)", command)}
    answers = [answer for command, answer in said if "name of my dog" in command]
    assert answers
    assert all(name in answer for answer in answers)
