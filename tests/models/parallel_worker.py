"""What each process of tests/models/test_parallel.py runs, under torchrun or by itself: `FOLDER [--tp]`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

import pasctl
from pasctl.models.load import load_model
from tests.whole_run import activations, results

FAMILIES = ("qwen3_moe", "qwen3_5_text")  # experts; linear layers and an output gate
STORY = "I worry about things. The letter came late, and nobody in the house had asked for it. " * 6
SIZES: dict[str, Any] = {"n_init": 4, "n_local": 64, "n_mem": 32, "chunk": 16, "min_block": 2, "max_block": 8}


def main(folder: Path, *, tp: bool) -> None:
    """Run each model, and stages with the first; tensors and outcomes go into files of this process."""
    torch.set_num_threads(1)
    name = f"rank-{os.environ['RANK']}" if tp else "alone"
    own = folder / name
    own.mkdir()
    for family in FAMILIES:
        model = load_model(str(folder / family), dtype="float32", tp=tp)
        made = results(model, own) if family == FAMILIES[0] else activations(model)
        tensors = {key: tensor.contiguous() for key, tensor in made.items()}
        save_file(tensors, own / f"{family}.safetensors")
    store = folder / ("shared" if tp else "own")
    (own / "stages.json").write_text(json.dumps(stages(folder, store, tp=tp)))


def stages(folder: Path, store: Path, *, tp: bool) -> dict[str, Any]:
    """Keys of artifacts, and texts."""
    model, options = str(folder / FAMILIES[0]), pasctl.ModelOptions(dtype="float32", tp=tp)
    extracted = pasctl.extract(model, contrast="big5", options=options, store=store)
    again = pasctl.extract(model, contrast="big5", options=options, store=store)
    fitted = pasctl.fit_directions(store=store)
    memory = pasctl.memory_run(model, [str(folder / "story.txt")], params=SIZES, options=options, store=store)
    asked = pasctl.memory_ask("latest", ["Who?", "What came late?"], max_new_tokens=4, options=options, store=store)
    said = pasctl.say(model, alpha=2.0, max_new_tokens=4, judge_embeddings="none", options=options, store=store)
    return {
        "keys": [outcome.key for outcome in (extracted, fitted, memory, asked, said)],
        "reused": [outcome.reused for outcome in (extracted, again, fitted, memory, asked, said)],
        "answers": [answer["answer"] for answer in asked.artifact.read_json("answers.json")],
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), tp="--tp" in sys.argv)
