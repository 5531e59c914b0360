"""Build the demo model from a seed: `python -m tests.demo.builder --out DIR`.

DIR gets the run (checkpoint, log of losses) and, in DIR/model, the model as `--model` takes it, with its figures;
`python docs/images/draw.py` draws their picture. A run that was killed goes on from its last checkpoint when the same
command is given again.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

from pasctl.demo.walk import Scale, Walk
from pasctl.models.chat import ChatRenderer
from pasctl.stages.report import report
from pasctl.stages.run import Run
from tests.demo.builder.documents import Writer
from tests.demo.builder.model import demo_config, empty_model, new_model
from tests.demo.builder.tokenizer import train_tokenizer
from tests.demo.builder.training import CURRICULUM, Trainer
from tests.demo.builder.world import inventory

SHORT_TOKENS = 20_000  # of each stage, in the short mode
SHORT_SCALE, CARD_SCALE = Scale("demo:0-4", 600, 2, reading=None), Scale(trials=40, reading=None)


def build(out: Path, *, seed: int = 0, short: bool = False, bfloat16: bool = False, quiet: bool = False) -> Path:
    """Train, package and evaluate; gives the model's folder.

    Args:
        out: where the run is kept; made if missing.
        seed: of tokenizer, weights and data.
        short: a toy size and a few steps a stage, to see that everything runs.
        bfloat16: matrix products in bfloat16, which is faster where the processor has them.
        quiet: print no losses.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(inventory(), seed)
    config = demo_config(tokenizer, hidden=32, layers=2) if short else demo_config(tokenizer)
    stages = tuple(replace(stage, tokens=SHORT_TOKENS, passes=()) for stage in CURRICULUM) if short else CURRICULUM
    trainer = Trainer(
        new_model(config, seed),
        Writer(ChatRenderer(tokenizer)),
        out,
        seed=seed,
        stages=stages,
        note=lambda line: None if quiet else print(line, file=sys.stderr, flush=True),
        bfloat16=bfloat16,
    )
    trainer.train()
    folder = package(trainer.model, tokenizer, out / "model")
    measure(folder, out, short=short)
    return folder


def measure(folder: Path, out: Path, *, short: bool = False) -> None:
    """Run `pasctl demo` on the model and put its figures beside the weights."""
    walk = Walk(Run(out / "artifacts"), model=str(folder), scale=SHORT_SCALE if short else CARD_SCALE)
    for step in walk.steps:
        step.run()
    (folder / "evaluation.json").write_text(json.dumps(walk.figures(), indent=1) + "\n", encoding="utf-8")
    report(walk.artifacts, out / "report.html", store=walk.run.store)


def package(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    """Write a model folder: bfloat16 weights, config, tokenizer with its chat template, generation config."""
    state = {name: each.detach().to(torch.bfloat16) for name, each in model.state_dict().items()}
    config = type(model.config)(**model.config.to_dict())
    config.dtype = torch.bfloat16
    packed = empty_model(config, dtype=torch.bfloat16)
    packed.load_state_dict(state)
    make: Any = GenerationConfig
    packed.generation_config = make(
        do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, max_new_tokens=32
    )
    packed.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.builder", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the model is in its folder model")
    parser.add_argument("--seed", type=int, default=0, help="of tokenizer, weights and data")
    parser.add_argument("--short", action="store_true", help="a toy model in under two minutes")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--bfloat16", action="store_true", help="matrix products in bfloat16")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    print(build(given.out, seed=given.seed, short=given.short, bfloat16=given.bfloat16))


if __name__ == "__main__":
    main()
