"""A multiple-choice, a rolling-perplexity and a generation task for lm-eval, and what a model's figures are.

Imports lm-eval, which not every environment has.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

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


def write_tasks(folder: Path) -> TaskManager:
    """The tasks as files in a folder, and who finds them there."""
    data = folder / "rows.jsonl"
    data.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    for name, text in TASKS.items():
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{SHARED.replace('FILE', str(data))}{text}")
    return TaskManager(include_path=str(folder), include_defaults=False)


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
