"""Commands about a memory: one load of the model, one seed, the model's options, and a command that makes it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import pasctl
from pasctl import MemoryParams, ModelOptions, Text, TrialPlan
from pasctl.cli.app import app
from pasctl.errors import InputError
from pasctl.models import load
from pasctl.stages.reproduce import Made, reproduce
from pasctl.stages.run import Run

SIZES = {"n_init": 8, "n_local": 96, "n_mem": 64, "chunk": 32, "min_block": 4, "max_block": 32}
WORDS = [word for name, value in SIZES.items() for word in (f"--{name.replace('_', '-')}", str(value))]
OPTIONS = ModelOptions(dtype="float32", device="cpu")
STORY = Text("story.txt", "Nobody knew who had hidden the letter, and nobody worried about things. " * 8)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sources that were loaded."""
    loaded: list[Any] = []
    original = load.load_model
    monkeypatch.setattr(load, "load_model", lambda source, **how: (loaded.append(source), original(source, **how))[1])
    return loaded


@pytest.fixture
def story(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(STORY.content, encoding="utf-8")
    return path


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def test_a_command_loads_its_model_once(tiny_folder: Path, story: Path, tmp_path: Path, loads: list[Any]) -> None:
    common = ("--store", tmp_path / "store", "--json", "--max-new-tokens", 3)
    read = ("memory-run", story, "--model", tiny_folder, "--dtype", "float32", *WORDS, *common)
    commands = (
        (*read, "--ask", "Who?", "--ask", "What?"),
        (*read, "--ask", "Where?"),  # the text is read, the question is new
        ("memory-run", story, "--extend", "memory/tiny-a/story", *common, "--ask", "Who?"),
        ("memory-ask", "latest", "When?", "Why?", *common),
        ("memory-eval", "--model", tiny_folder, *WORDS, "--lengths", 640, "--trials", 1, "--compare", "full", *common),
    )
    for number, command in enumerate(commands, start=1):
        done = invoke(*command)
        assert done.exit_code == 0, done.output
        assert len(loads) == number, command
    assert invoke(*commands[0]).exit_code == 0
    assert invoke("memory-show", "latest", "--store", tmp_path / "store").exit_code == 0
    assert len(loads) == len(commands)


def test_an_attention_function_that_a_memory_would_not_use_is_refused(
    tiny_folder: Path, story: Path, tmp_path: Path
) -> None:
    store = ("--store", tmp_path / "store")
    read = ("memory-run", story, "--model", tiny_folder, *WORDS, *store)
    made = [json.loads(invoke(*read, "--json", *attn).stdout)["key"] for attn in ((), ("--attn", "memory"))]
    assert made[0] == made[1]
    for command in (read, ("memory-ask", "latest", "Who?", *store), ("memory-eval", "--model", tiny_folder, *store)):
        refused = invoke(*command, "--attn", "eager")
        assert (refused.exit_code, "attention 'eager' cannot be used with a memory" in refused.stderr) == (2, True)


def test_a_memory_limit_changes_no_key_and_is_refused_before_weights_are_loaded(
    tiny_folder: Path, tmp_path: Path, loads: list[Any]
) -> None:
    def read(limit: str | None) -> Any:
        return pasctl.memory_run(
            str(tiny_folder), [STORY], params=SIZES, options=OPTIONS, store=tmp_path / "store", max_memory=limit
        )

    with pytest.raises(InputError, match=r"memory is limited to 0\.10 GB"):
        read("100MB")
    assert not loads
    made = read("4GB")
    assert (read(None).key, read(None).reused) == (made.key, True)


def test_parameters_are_given_one_by_one_as_a_mapping_or_whole(tmp_path: Path) -> None:
    run = Run(tmp_path / "store", dry_run=True)

    def key(**options: Any) -> str:
        return pasctl.memory_run("demo", [STORY], options=OPTIONS, run=run, **options).key  # type: ignore[no-any-return]

    whole = key(params=MemoryParams(**SIZES, segmenter="random", seed=3))
    assert key(**SIZES, segmenter="random", seed=3) == whole
    assert key(params={**SIZES, "segmenter": "random"}, seed=3) == whole
    assert key(params=MemoryParams(**SIZES, segmenter="random"), seed=3) == whole
    assert key(params=MemoryParams(**SIZES, segmenter="random"), seed=4) != whole
    scaled = MemoryParams.for_context(run.model("demo", OPTIONS).context())
    assert key() == key(params=scaled) != key(params=MemoryParams())


def test_a_plan_has_a_seed_of_its_own_or_that_of_the_command(tiny_folder: Path, tmp_path: Path) -> None:
    def key(plan: TrialPlan, **options: Any) -> str:
        run = Run(tmp_path / "store", dry_run=True)
        return pasctl.memory_eval(str(tiny_folder), plan, options=OPTIONS, run=run, **options).key  # type: ignore[no-any-return]

    sized, params = {"lengths": (640,), "trials": 2}, MemoryParams(**SIZES, seed=5)
    assert key(TrialPlan(**sized, seed=5), params=params) == key(TrialPlan(**sized), params=SIZES, seed=5)
    assert key(TrialPlan(**sized, seed=6), params=params, seed=5) != key(TrialPlan(**sized), params=params, seed=5)
    assert key(None, **sized, params=SIZES, seed=5) == key(TrialPlan(**sized), params=SIZES, seed=5)  # type: ignore[arg-type]


def test_the_command_that_makes_an_artifact_again_makes_the_same(
    tiny_folder: Path, story: Path, tmp_path: Path
) -> None:
    store, folder = tmp_path / "store", str(tiny_folder)
    params = MemoryParams(
        **SIZES, refine="modularity", refine_layers=(0, 2), kv_dtype="int8", positions="paper", seed=3
    )
    made = [
        pasctl.memory_run(folder, [Text.load(story)], params=params, seed=3, label="x", options=OPTIONS, store=store),
        pasctl.memory_ask("latest", ["Who?", "- what?"], max_new_tokens=2, temperature=0.5, seed=9, store=store),
        pasctl.memory_eval(folder, tasks=("passkey",), lengths=(300, 640), trials=1, params=SIZES, store=store),
        pasctl.memory_eval(folder, tasks=("nll",), lengths=(64,), text=Text.load(story), params=SIZES, store=store),
    ]
    for outcome in made:
        line = reproduce(Made.of(outcome.artifact)).replace("PATH/TO/story.txt", str(story))
        _, command, *words = shlex.split(line.replace("PATH/TO/tiny-a", folder))
        again = invoke(command, "--store", store, "--json", *words)
        assert again.exit_code == 0, f"{line}\n{again.output}"
        if outcome.stage == "memory-ask":
            assert all(json.loads(each)["reused"] for each in again.stdout.splitlines()), line
        else:
            assert (json.loads(again.stdout)["key"], json.loads(again.stdout)["reused"]) == (outcome.key, True), line


def test_no_command_where_groups_have_seeds_of_their_own(tiny_folder: Path, tmp_path: Path) -> None:
    plan = TrialPlan(("passkey",), (640,), 1, seed=4)
    made = pasctl.memory_eval(str(tiny_folder), plan, params=MemoryParams(**SIZES), options=OPTIONS, store=tmp_path)
    assert reproduce(Made.of(made.artifact)) == ""
