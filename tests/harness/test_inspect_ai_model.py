"""inspect_ai's models `pasctl/MODEL`: what an evaluation gets is what the engine writes, persona by persona."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import pasctl
import pasctl.models.load
from pasctl.errors import InputError
from pasctl.generation.engine import Engine
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.token_rules import TokenRules
from pasctl.models.load import LoadedModel
from tests.serving.conftest import handle, served_store

pytest.importorskip("inspect_ai")

from inspect_ai import Task, eval
from inspect_ai.dataset import Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageTool,
    ChatMessageUser,
    ContentImage,
    GenerateConfig,
    Model,
    ModelOutput,
    ResponseSchema,
    get_model,
)
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message
from inspect_ai.tool import ToolInfo
from inspect_ai.util import json_schema

import pasctl.harness.inspect_ai_entry

__all__ = ["handle", "served_store"]

ALPHA, TOKENS = 4.0, 12
QUESTIONS = [f"Say {word}." for word in ("who you are", "what you worry about", "nothing", "naïve Größe 🙂", "more")]
ROOT = Path(__file__).parents[2]
PERSONAS = (None, "s01", "s03")


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LoadedModel:
    return pasctl.load_model(str(tiny_folder), dtype="float32")


@pytest.fixture
def api(tiny_folder: Path, served_store: Path) -> Iterator[Any]:
    """Makes models, and closes them."""
    made: list[Model] = []

    def make(persona: str | None = None, **more: Any) -> Model:
        who = {} if persona is None else {"persona": persona, "alpha": ALPHA, "positions": "all"}
        how = {"dtype": "float32", "store": str(served_store), **who, **more}
        made.append(get_model(f"pasctl/{tiny_folder}", memoize=False, **how))
        return made[-1]

    yield make
    for each in made:
        each.api.close()


def written(
    model: LoadedModel, store: Path, prompts: Sequence[list[int]], persona: str | None, **how: Any
) -> list[str]:
    """What an engine of our own writes, one text after the other."""
    shift = None if persona is None else pasctl.intervention(model, persona, ALPHA, store=store)
    params = SamplingParams(**{"max_new_tokens": TOKENS, **how})
    with Engine(model, prefix_cache=0) as engine:
        return [engine.submit(Request(ids, params, intervention=shift)).text() for ids in prompts]


def completions(log: Any) -> list[str]:
    assert log.status == "success", log.error
    return [sample.output.completion for sample in log.samples]


def run(task: Task, model: Any, folder: Path, **how: Any) -> list[Any]:
    config = {"temperature": 0.0, "max_tokens": TOKENS, **how}
    return eval(task, model=model, log_dir=str(folder), display="none", **config)


def test_an_evaluation_gets_what_the_engine_writes(
    model: LoadedModel, api: Any, served_store: Path, tmp_path: Path
) -> None:
    found = {}
    for persona in PERSONAS:
        task = Task(
            dataset=[Sample(input=each, target="e") for each in QUESTIONS], solver=generate(), scorer=includes()
        )
        [log] = run(task, api(persona), tmp_path)
        found[persona] = completions(log)
        assert found[persona] == written(model, served_store, [model.chat.encode(q) for q in QUESTIONS], persona)
        told = log.samples[0].output.metadata
        assert (None if told is None else told["pasctl"]["persona"]) == persona
    assert found[None] != found["s01"] != found["s03"] != found[None]


def test_personas_share_weights_and_batches_and_write_as_if_alone(
    model: LoadedModel, api: Any, served_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: Counter[str] = Counter()
    read = pasctl.models.load.read_weights

    def reading(path: Path, **options: Any) -> Any:
        loads[str(path)] += 1
        return read(path, **options)

    monkeypatch.setattr("pasctl.models.load.read_weights", reading)
    models = [api(persona) for persona in PERSONAS]
    assert sum(loads.values()) == 1
    engine = models[0].api._engine
    assert all(each.api._engine is engine for each in models)
    system = "You are somebody."
    task = Task(dataset=[Sample(input=each) for each in QUESTIONS], solver=[system_message(system), generate()])
    logs = run(task, models, tmp_path, max_tasks=3, temperature=0.9, top_p=0.95, seed=5)
    prompts = [model.chat.encode(question, system) for question in QUESTIONS]
    for persona, log in zip(PERSONAS, logs, strict=True):
        assert completions(log) == written(
            model, served_store, prompts, persona, temperature=0.9, top_p=0.95, seed=5
        ), persona
    counts = engine.counts()
    assert counts.outcomes.keys() <= {"stop", "length"}
    assert counts.passes < counts.tokens_written  # several texts in most passes
    models[0].api.close()
    models[1].api.close()
    assert engine.submit(Request(prompts[0], SamplingParams(max_new_tokens=1))).text() is not None
    models[2].api.close()
    with pytest.raises(pasctl.PasctlError, match="closed"):
        engine.submit(Request(prompts[0], SamplingParams(max_new_tokens=1)))


def ask(model: Model, messages: list[ChatMessage], tools: list[ToolInfo] | None = None, **config: Any) -> ModelOutput:
    how = GenerateConfig(**{"temperature": 0.0, "max_tokens": TOKENS, **config})
    found = asyncio.run(model.api.generate(messages, tools or [], "none", how))
    assert isinstance(found, ModelOutput)
    return found


def test_options_of_a_request_mean_what_they_do_to_the_engine(model: LoadedModel, api: Any) -> None:
    said: list[ChatMessage] = [ChatMessageUser(content=QUESTIONS[0])]
    ids, asked = model.chat.encode(QUESTIONS[0]), api()
    plain = ask(asked, said)
    [choice] = plain.choices
    assert plain.usage is not None
    assert plain.usage.input_tokens == len(ids)
    assert choice.stop_reason in ("stop", "max_tokens")
    half = plain.completion[2:5]
    stopped = ask(asked, said, stop_seqs=[half])
    assert stopped.completion == plain.completion[: plain.completion.index(half)]
    assert stopped.choices[0].stop_reason == "stop"
    rules = TokenRules(top_k=5, presence_penalty=0.5, frequency_penalty=0.25, logit_bias=((40, 2.0),))
    several = ask(
        asked,
        said,
        temperature=1.1,
        seed=9,
        num_choices=3,
        top_k=5,
        presence_penalty=0.5,
        frequency_penalty=0.25,
        logit_bias={40: 2.0},
        logprobs=True,
        top_logprobs=2,
    )
    with Engine(model, prefix_cache=0) as engine:
        for number, choice in enumerate(several.choices):
            how = SamplingParams(max_new_tokens=TOKENS, temperature=1.1, seed=9 + number)
            stream = engine.submit(Request(ids, how, rules=rules, logprobs=2))
            assert choice.message.text == stream.text()
            assert choice.logprobs is not None
            told = [each.logprob for each in choice.logprobs.content]
            assert told == pytest.approx([each.logprob for each in stream.likelihoods], abs=1e-4)
            assert all(len(each.top_logprobs or []) == 2 for each in choice.logprobs.content)
    assert len(several.choices) == 3


def test_conversations_are_rendered_as_by_the_template(model: LoadedModel, api: Any) -> None:
    roles = [("system", "Be brief."), ("user", "Who?"), ("assistant", "Me."), ("user", "Where?")]
    kinds: dict[str, Any] = {"system": ChatMessageSystem, "user": ChatMessageUser, "assistant": ChatMessageAssistant}
    said = [kinds[role](content=words) for role, words in roles]
    text = model.chat.render_messages([{"role": role, "content": words} for role, words in roles])
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    found = ask(api(), said)
    with Engine(model, prefix_cache=0) as engine:
        assert found.completion == engine.submit(Request(ids, SamplingParams(max_new_tokens=TOKENS))).text()
        begun = "I"
        prefilled = ask(api(), [*said, ChatMessageAssistant(content=begun)])
        more = [*ids, *model.tokenizer(begun, add_special_tokens=False)["input_ids"]]
        assert prefilled.completion == engine.submit(Request(more, SamplingParams(max_new_tokens=TOKENS))).text()


def test_a_prompt_beyond_the_context_is_told_as_such(api: Any) -> None:
    asked = api()
    context = asked.api._engine.context
    assert context is not None
    found = ask(asked, [ChatMessageUser(content="worry " * context)])
    assert found.choices[0].stop_reason == "model_length"
    assert "the model's context is" in found.completion


def test_what_there_is_none_of_is_refused(api: Any, tiny_folder: Path) -> None:
    said: list[ChatMessage] = [ChatMessageUser(content="Who?")]
    with pytest.raises(InputError, match=r"tools \(search\) are not there"):
        ask(api(), said, [ToolInfo(name="search", description="Looks things up.")])
    with pytest.raises(InputError, match="a message is of a tool"):
        ask(api(), [*said, ChatMessageTool(content="3")])
    with pytest.raises(InputError, match="has a part of type image"):
        ask(api(), [ChatMessageUser(content=[ContentImage(image="data:image/png;base64,AA==")])])
    with pytest.raises(InputError, match="best_of is not there"):
        ask(api(), said, best_of=2)
    with pytest.raises(InputError, match="model argument 'personas' is unknown"):
        api(personas="E+")
    with pytest.raises(InputError, match="no persona of 4 is called 'E\\+'"):
        api("E+")


def test_an_answer_keeps_to_a_schema(api: Any) -> None:
    pytest.importorskip("llguidance")
    schema = ResponseSchema(name="answer", json_schema=json_schema(bool))
    for persona in (None, "s01"):
        found = ask(api(persona), [ChatMessageUser(content="Do you worry?")], response_schema=schema)
        assert found.completion in ("true", "false")


TASK = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def small():
    samples = [Sample(input=f"Who are you, {name}?", target="e") for name in ("Ada", "Bo")]
    return Task(dataset=samples, solver=generate(), scorer=includes())
"""


def test_the_command_line_of_inspect_finds_it(tiny_folder: Path, served_store: Path, tmp_path: Path) -> None:
    """By the entry point that the package declares, as the metadata of an installed package have it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["inspect_ai"]
    assert EntryPoint("pasctl", declared["pasctl"], "inspect_ai").load() is pasctl.harness.inspect_ai_entry
    info = tmp_path / "installed" / "declared-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: declared\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[inspect_ai]\npasctl = {declared['pasctl']}\n")
    (tmp_path / "small.py").write_text(TASK)
    command = [sys.executable, "-m", "inspect_ai", "eval", "small.py", "--model", f"pasctl/{tiny_folder}"]
    for each in ("persona=s01", "alpha=4", "positions=all", "dtype=float32", f"store={served_store}"):
        command += ["-M", each]
    command += ["--temperature", "0", "--max-tokens", "4", "--display", "plain", "--log-format", "json"]
    paths = [str(info.parent), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "INSPECT_LOG_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [log] = tmp_path.glob("*.json")
    assert '"status": "success"' in log.read_text()
    assert '"persona": "s01"' in log.read_text()
