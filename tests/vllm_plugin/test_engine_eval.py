"""What asks vLLM for likelihoods: an evaluation has the rows of the model here, and lm-eval the figures of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pasctl
from pasctl.errors import PasctlError
from pasctl.evaluation.rows import from_table
from pasctl.export.vllm import has_vllm
from pasctl.models.options import ModelOptions
from pasctl.stages.evaluate import evaluate
from pasctl.stages.export import export_model
from pasctl.stages.model import ModelHandle
from tests.tiny import save_tiny
from tests.vllm_plugin.server import serving
from tests.vllm_plugin.test_personas_vllm import SHAPE

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not has_vllm(), reason="vLLM is not installed: make test-vllm sets up an environment with it"),
]

ALPHA, LENGTH = 2.0, 256
PLAIN: dict[str, Any] = {"neutral_text": "none", "reading": "letters,statements"}
PERSONAS = 3


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ModelHandle:
    folder = save_tiny(tmp_path_factory.mktemp("model") / "tiny", **SHAPE)
    return ModelHandle(str(folder), ModelOptions(dtype="float32"))


@pytest.fixture(scope="module")
def store(model: ModelHandle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directions of three people."""
    store = tmp_path_factory.mktemp("store") / "artifacts"
    pasctl.extract(model, store=store)
    pasctl.train_probes(personas=f"builtin:0-{PERSONAS}", store=store)
    pasctl.fit_directions(store=store)
    return store


@pytest.fixture(scope="module")
def server(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    out = tmp_path_factory.mktemp("served") / "out"
    export_model("directions", out, alpha=ALPHA, positions="all", engine="vllm-personas", store=store)
    with serving(out, context=LENGTH, cache_bytes=1 << 28) as url:
        yield url


@pytest.mark.parametrize("positions", ["all", "answer"])
def test_rows_of_an_evaluation_are_those_of_the_model_here(
    server: str, model: ModelHandle, store: Path, positions: str
) -> None:
    def results(**engine: Any) -> Any:
        how: dict[str, Any] = {"alpha": str(ALPHA), "positions": positions, "control_draws": 1}
        made = evaluate(
            model=model,
            store=store,
            modes="no-change,pas,shuffled-answers",
            **PLAIN,
            **how,
            **engine,
        )
        assert made.artifact is not None
        return made.artifact

    here, there = results(), results(engine="vllm", engine_url=f"{server}/v1")
    assert there.key != here.key
    found, expected = (from_table(each.read_table("rows.parquet")) for each in (there, here))
    for name in ("expected", "option_mass", "dlp"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-4)
    values, own = (each.read_arrays("answers.safetensors") for each in (there, here))
    for name in own:
        np.testing.assert_allclose(values[name], own[name], atol=1e-4)
        assert np.nanmax(np.abs(own[name][1] - own[name][0])) > 1e-2, "steering does something"
    off = there.provenance["engine"]["off"]
    assert len(off) == 1 + PERSONAS
    assert max(off.values()) < 1e-4


@pytest.mark.more
def test_a_vllm_without_personas_serves_nobody_steered(model: ModelHandle, store: Path) -> None:
    """It ignores what it does not know of `vllm_xargs`, so that its answers would be the base model's."""
    expected = r"for persona s01 at alpha 3 differs from the steered model"
    assert model.source.path is not None
    with serving(model.source.path, context=LENGTH) as url, pytest.raises(PasctlError, match=expected):
        evaluate(model=model, store=store, alpha="3", modes="pas", engine="vllm", engine_url=f"{url}/v1", **PLAIN)


@pytest.mark.more
@pytest.mark.parametrize("persona", [None, "s01"])
def test_tasks_of_lm_eval_have_the_figures_of_the_model_here(
    server: str, model: ModelHandle, store: Path, tmp_path: Path, persona: str | None
) -> None:
    pytest.importorskip("lm_eval", reason="PYTHONPATH=build/lm_eval, which make test-lm-eval sets up")
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    from pasctl.harness.lm_eval_model import PasctlLM
    from tests.lm_eval_tasks import ROWS, figures, write_tasks

    tasks, folder = write_tasks(tmp_path), str(model.source.path)
    steered: dict[str, Any] = {} if persona is None else {"persona": persona, "alpha": ALPHA, "positions": "all"}
    # local-completions cuts long texts into windows of two tokens fewer than its max_length
    own = PasctlLM(folder, store=str(store), dtype="float32", max_length=LENGTH - 2, **steered)
    results, choices, texts = figures(own, tasks)
    assert len(choices) == len(ROWS)
    for size in (1, 8):
        harness = LocalCompletionsAPI(
            base_url=f"{server}/v1/completions",
            model="base" if persona is None else f"base+{persona}",
            max_length=LENGTH,
            tokenizer=folder,
            tokenizer_backend="huggingface",
            batch_size=size,
        )
        served = figures(harness, tasks)
        assert served[0] == pytest.approx(results, rel=1e-4), size
        assert [pytest.approx(row, abs=1e-3) for row in served[1]] == choices, size
        assert list(map(whole, served[2])) == list(map(whole, texts)), size


def whole(text: str) -> str:
    """A text without bytes at its end that are no character: vLLM leaves these out."""
    return text.strip().rstrip("\ufffd")
