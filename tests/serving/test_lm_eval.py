"""lm-eval's `local-completions` on the server gives the figures of lm-eval's own HFLM, for every persona."""

from __future__ import annotations

import json
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

from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM
from lm_eval.models.openai_completions import LocalCompletionsAPI
from lm_eval.tasks import TaskManager

ALPHA, LENGTH = 4.0, 256
SHARED = "dataset_path: json\ndataset_kwargs: {data_files: {test: FILE}}\ntest_split: test\n"
TASKS = {
    "choices": """\
output_type: multiple_choice
doc_to_text: "{{question}}\\nAnswer:"
doc_to_choice: "{{choices}}"
doc_to_target: "{{label}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "rolling": """\
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
""",
    "written": """\
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[0]}}"
generation_kwargs: {until: ["zzz"], max_gen_toks: 10, temperature: 0}
metric_list: [{metric: exact_match}]
""",
}
WORDS = ["worry about things", "am the life of the party", "have a vivid imagination", "naïve Größe 🙂 中文"]
ROWS = [
    {
        "question": f"How accurately does this statement describe you? {number}: I {WORDS[number % 4]}.",
        "choices": [f" {word}" for word in ("Very Accurate", "Moderately", "Neither", WORDS[number % 4])],
        "label": number % 4,
        "text": " ".join(WORDS[(number + place) % 4] for place in range(3 + 30 * (number % 3))),
    }
    for number in range(10)
]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> TaskManager:
    folder = tmp_path_factory.mktemp("tasks")
    data = folder / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{SHARED.replace('FILE', str(data))}{text}")
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.fixture(scope="module")
def server(handle: ModelHandle, served_store: Path) -> Iterator[Running]:
    settings = Settings(port=0)
    with (
        service_of(handle, settings, served_store, "latest", alpha=ALPHA) as service,
        running(service, settings) as started,
    ):
        yield started


def figures(harness: LM, tasks: TaskManager) -> tuple[dict[str, float], list[list[float]], list[str]]:
    """Figures of all tasks, the log-likelihoods of each document's choices, and the texts that were written."""
    found: Any = simple_evaluate(harness, tasks=list(TASKS), task_manager=tasks, bootstrap_iters=0, log_samples=True)
    results = {
        f"{task} {metric}": value
        for task, measured in found["results"].items()
        for metric, value in measured.items()
        if isinstance(value, float) and "stderr" not in metric
    }
    samples = {task: sorted(rows, key=lambda row: row["doc_id"]) for task, rows in found["samples"].items()}
    choices = [[float(each[0]) for each in row["filtered_resps"]] for row in samples["choices"]]
    return results, choices, [row["filtered_resps"][0] for row in samples["written"]]


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
