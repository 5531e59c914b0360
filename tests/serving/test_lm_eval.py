"""lm-eval's `local-completions` on the server gives the figures of lm-eval's own HFLM, for every persona."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pasctl
from pasctl.serving.settings import Settings
from pasctl.stages.model import ModelHandle
from pasctl.steering import steer
from tests.serving.conftest import Running, running, service_of
from tests.serving.test_server import MODEL

pytest.importorskip("lm_eval")

from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

from tests.lm_eval_tasks import ROWS, figures, write_tasks

ALPHA, LENGTH = 4.0, 256


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    return write_tasks(tmp_path_factory.mktemp("tasks"))


@pytest.fixture(scope="module")
def server(handle: ModelHandle, served_store: Path) -> Iterator[Running]:
    settings = Settings(port=0)
    with (
        service_of(handle, settings, served_store, "latest", alpha=ALPHA) as service,
        running(service, settings) as started,
    ):
        yield started


@pytest.mark.parametrize("persona", [None, "s01", "s03"])
def test_tasks_have_the_figures_of_the_model_itself(
    server: Running, tiny_folder: Path, served_store: Path, tasks: TaskManager, persona: str | None
) -> None:
    model = pasctl.load_model(str(tiny_folder), dtype="float32")
    told = None if persona is None else pasctl.intervention(model, persona, ALPHA, store=served_store)
    with steer(model, told):
        # local-completions cuts long texts into windows of two tokens fewer than its max_length
        expected = figures(HFLM(pretrained=model.model, tokenizer=model.tokenizer, max_length=LENGTH - 2), tasks)
    results, choices, texts = expected
    assert {name.partition(",")[0] for name in results} >= {"choices acc", "rolling bits_per_byte"}
    assert len(choices) == len(ROWS)
    start = model.tokenizer.bos_token_id  # 0, which local-completions takes for none of a server's tokenizer
    ways: list[dict[str, Any]] = [
        {"batch_size": 8},
        {"batch_size": 3, "num_concurrent": 4},
        {"tokenized_requests": False},
        {"batch_size": 8, "tokenizer": None, "tokenizer_backend": "auto", "custom_prefix_token_id": start},
    ]
    for how in ({}, *ways):
        harness = LocalCompletionsAPI(
            base_url=f"{server.url}/completions",
            model=MODEL if persona is None else f"{MODEL}+{persona}",
            max_length=LENGTH,
            **{"tokenizer": str(tiny_folder), "tokenizer_backend": "huggingface", **how},
        )
        served = figures(harness, tasks)
        if how.get("tokenized_requests", True):  # else windows are sent as text, which may have other tokens
            assert served[0] == pytest.approx(results, rel=1e-4), how
        assert [pytest.approx(row, abs=1e-3) for row in served[1]] == choices, how
        assert [text.strip() for text in served[2]] == [text.strip() for text in texts], how


def test_personas_differ(server: Running, tiny_folder: Path, tasks: TaskManager) -> None:
    found = [
        figures(
            LocalCompletionsAPI(
                base_url=f"{server.url}/completions",
                model=name,
                tokenizer=str(tiny_folder),
                tokenizer_backend="huggingface",
                batch_size=8,
            ),
            tasks,
        )[1]
        for name in (MODEL, f"{MODEL}+s01", f"{MODEL}+s03")
    ]
    assert found[0] != found[1] != found[2] != found[0]
