"""What must hold on a GPU: the same keys as on a CPU, the same numbers to a tolerance, and a memory that is exact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import pasctl
from pasctl.models.device import resolve_device, resolve_dtype
from pasctl.stages.run import Run
from pasctl.stages.text import Text
from tests.tiny import save_tiny

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

CPU = pasctl.ModelOptions(dtype="float32", device="cpu")
GPU = pasctl.ModelOptions(dtype="float32", device="cuda")
MEMORY = pasctl.MemoryParams(n_init=8, n_local=96, n_mem=64, chunk=32, min_block=4, max_block=32)
STORY = Text("story.txt", "Nobody knew who had hidden the letter. The life of the party had a vivid imagination. " * 12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def tiny(folder: Path) -> str:
    return str(save_tiny(folder / "tiny"))


def artifact(outcome: Any) -> Any:
    assert outcome.artifact is not None
    return outcome.artifact


def test_auto_takes_the_gpu_and_bfloat16() -> None:
    assert resolve_device("auto").startswith("cuda")
    assert resolve_dtype("auto", resolve_device("auto")) == "bfloat16"


@pytest.fixture(scope="module")
def both(tiny: str, folder: Path) -> dict[str, dict[str, Any]]:
    """All stages of steering on each device, in a store of its own."""
    made: dict[str, dict[str, Any]] = {}
    for device, options in (("cpu", CPU), ("cuda", GPU)):
        run = Run(folder / device)
        extracted = pasctl.extract(tiny, options=options, run=run)
        pasctl.train_probes(personas="builtin:0-4", run=run)
        directions = artifact(pasctl.fit_directions(run=run))
        model = run.model(tiny, options)
        results = pasctl.evaluate(
            directions=directions,
            model=model,
            alpha=(0.0, 4.0),
            modes="no-change,few-shot,pas,random-direction",
            reading="letters,statements",
            run=run,
        )
        memory = artifact(pasctl.memory_run(tiny, [STORY], params=MEMORY, options=options, run=run))
        asked = pasctl.memory_ask(memory, ["Where is the letter?"], model=model, run=run)
        made[device] = {"extract": extracted, "results": results, "memory": memory, "answers": asked}
    return made


def test_keys_do_not_name_the_device(both: dict[str, dict[str, Any]]) -> None:
    assert both["cpu"]["extract"].key == both["cuda"]["extract"].key


def test_head_outputs_are_those_of_the_cpu(both: dict[str, dict[str, Any]]) -> None:
    from pasctl.stages.extract import read_head_outputs

    cpu, cuda = (read_head_outputs(artifact(both[device]["extract"]))[0] for device in ("cpu", "cuda"))
    torch.testing.assert_close(cuda, cpu, rtol=1e-4, atol=1e-5)


def test_answers_are_those_of_the_cpu(both: dict[str, dict[str, Any]]) -> None:
    tables = [artifact(both[device]["results"]).read_table("rows.parquet").to_pandas() for device in ("cpu", "cuda")]
    assert (tables[0]["condition"] == tables[1]["condition"]).all()
    np.testing.assert_allclose(tables[1]["expected"], tables[0]["expected"], atol=2e-4)
    np.testing.assert_allclose(tables[1]["dlp"], tables[0]["dlp"], atol=2e-3)


def test_memories_have_the_same_events_and_surprise(both: dict[str, dict[str, Any]]) -> None:
    described = [both[device]["memory"].read_json("memory.json") for device in ("cpu", "cuda")]
    for name in ("tokens", "events", "events_outside_window"):
        assert described[0][name] == described[1][name]
    assert described[0]["mean_surprise"] == pytest.approx(described[1]["mean_surprise"], abs=1e-4)
    retrieved = [
        artifact(both[device]["answers"]).read_table("recall.parquet").to_pandas() for device in ("cpu", "cuda")
    ]
    first = [table[table["step"] == 0] for table in retrieved]
    assert set(first[0]["event"]) == set(first[1]["event"])


def test_peak_memory_is_that_of_the_device(both: dict[str, dict[str, Any]]) -> None:
    assert (
        0
        < artifact(both["cuda"]["extract"]).provenance["peak_bytes"]
        < torch.cuda.get_device_properties(0).total_memory
    )


def test_texts_that_share_a_pass_are_as_if_alone(tiny: str) -> None:
    model = pasctl.load_model(tiny, dtype="float32", device="cuda")
    prompts = [model.chat.encode(text) for text in ("Where is the letter?", "Who?", "I am the life of the party.")]
    how = pasctl.SamplingParams(max_new_tokens=12)
    with pasctl.Engine(model) as engine:
        streams = [engine.submit(pasctl.Request(prompt, how)) for prompt in prompts]
        together = [stream.text() for stream in streams]
        alone = [engine.submit(pasctl.Request(prompt, how)).text() for prompt in prompts]
    assert together == alone
    assert all(together)
