"""Build the reader from a seed: `python -m tests.demo.builder.reader --out DIR`.

DIR gets the run (checkpoint, log of losses) and, in DIR/model, the model as `--model` takes it, with its figures. A run
that was killed goes on from its last checkpoint when the same command is given again.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.demo.builder.__main__ import package
from tests.demo.builder.model import empty_model
from tests.demo.builder.reader.measure import measure
from tests.demo.builder.reader.model import reader_config
from tests.demo.builder.reader.tokenizer import train_tokenizer
from tests.demo.builder.reader.training import CURRICULUM, ROW_TOKENS, Trainer

SHORT_STEPS = 3  # of each stage, in the short mode


def build(out: Path, *, seed: int = 0, short: bool = False, compiled: bool = False, quiet: bool = False) -> Path:
    """Train, package and measure; gives the model's folder.

    Args:
        out: where the run is kept; made if missing.
        seed: of weights and data.
        short: a toy size and a few steps a stage, to see that everything runs.
        compiled: compile the layers, which takes a minute and is then twice as fast.
        quiet: print no losses.
    """
    out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    config = reader_config(tokenizer, hidden=32, layers=2) if short else reader_config(tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = empty_model(config)
    stages = CURRICULUM
    if short:
        stages = tuple(replace(stage, tokens=SHORT_STEPS * ROW_TOKENS, passes=()) for stage in CURRICULUM)
    trainer = Trainer(
        model,
        tokenizer,
        out,
        seed=seed,
        stages=stages,
        note=lambda line: None if quiet else print(line, file=sys.stderr, flush=True),
        compiled=compiled,
    )
    trainer.train()
    folder = package(trainer.model, tokenizer, out / "model")
    if short:
        measure(folder, out, tasks=("update",), times=(2,), trials=1)
    else:
        measure(folder, out)
    return folder


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(prog="python -m tests.demo.builder.reader", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of the run; the model is in its folder model")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data")
    parser.add_argument("--short", action="store_true", help="a toy model in under a minute")
    parser.add_argument("--threads", type=int, help="threads of torch")
    parser.add_argument("--compile", action="store_true", help="compile the layers")
    given = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the process that makes batches ends as well
    if given.threads:
        torch.set_num_threads(given.threads)
    print(build(given.out, seed=given.seed, short=given.short, compiled=given.compile))


if __name__ == "__main__":
    main()
