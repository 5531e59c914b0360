"""The reader's training loop: stages, checkpoints in safetensors, and a log of losses in JSON lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import Qwen3ForCausalLM

from tests.demo.builder.optimizer import Optimizer
from tests.demo.builder.reader.batches import Batch, Mixture, make_batch
from tests.demo.builder.reader.model import Forward, reading_loss, retrieval_loss

CHECKPOINT, LOG = "checkpoint.safetensors", "losses.jsonl"
CHECKPOINT_SECONDS, LOG_STEPS = 120.0, 100
ROW_TOKENS = 8192  # of a step
RETRIEVAL_WEIGHT = 0.3
_WARMUP_STEPS, _AHEAD, _SMOOTHING = 30, 6, 0.98


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
        name: in the log.
        mixture: what is read.
        tokens: at most so many.
        passes: the stage ends once the smoothed figures of these names are below these values.
        decay: whether the learning rates fall to a twentieth by its end.
    """

    name: str
    mixture: Mixture
    tokens: int
    passes: tuple[tuple[str, float], ...] = ()
    decay: bool = False


_REPEATS = {"repeats": 0.5, "pairs": 0.35, "keyvalue": 0.07, "niah-multikey-2": 0.08}
_ALL = {
    "repeats": 0.08,
    "pairs": 0.2,
    "passkey": 0.02,
    "passkey-varied": 0.06,
    "niah-single-2": 0.06,
    "niah-multikey-1": 0.12,
    "niah-multikey-2": 0.12,
    "keyvalue": 0.12,
    "scenes": 0.12,
    "update": 0.1,
}
CURRICULUM = (
    Stage("repeats", Mixture(_REPEATS, (96,), packed=0.3), 4_000_000, (("loss repeats", 0.35),)),
    Stage("short", Mixture(_ALL, (128,), packed=0.4), 12_000_000),
    Stage("long", Mixture(_ALL, (128, 192), packed=0.7), 6_000_000, decay=True),
)


@dataclass
class Progress:
    """Where a run stands; with the checkpoint's tensors it is all that going on needs."""

    stage: int = 0
    step: int = 0
    tokens: int = 0
    figures: dict[str, float] | None = None


class Trainer:
    """Trains one reader; a run that was killed goes on from its last checkpoint."""

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        tokenizer: Any,
        folder: Path,
        *,
        seed: int,
        stages: tuple[Stage, ...] = CURRICULUM,
        note: Callable[[str], None] = print,
        compiled: bool = False,
    ) -> None:
        self.model, self._tokenizer, self._folder = model, tokenizer, folder
        self._seed, self._stages, self._note = seed, stages, note
        self._forward = Forward(model, compiled=compiled)
        self._optimizer = Optimizer(model, bfloat16=True)
        self.progress = Progress()
        self._saved = time.monotonic()
        self._resume()

    def train(self) -> None:
        """Run what is left of all stages."""
        self.model.train()
        while self.progress.stage < len(self._stages):
            self._train_stage(self._stages[self.progress.stage])
            self.progress = Progress(self.progress.stage + 1)
            self._save()

    def _train_stage(self, stage: Stage) -> None:
        began, start = time.monotonic(), self.progress.tokens
        for batch in self._batches(stage.mixture):
            progress = self.progress
            found = self._step(batch, self._scale(stage))
            progress.step += 1
            progress.tokens += batch.ids.numel()
            figures = progress.figures = progress.figures or {}
            for name, value in found.items():
                kept = _SMOOTHING if name in figures else 0.0
                figures[name] = kept * figures.get(name, value) + (1 - kept) * value
            passed = bool(stage.passes) and all(figures.get(name, 9.9) < bound for name, bound in stage.passes)
            done = progress.tokens >= stage.tokens or (passed and progress.step > 2 * _WARMUP_STEPS)
            if progress.step % LOG_STEPS == 0 or done:
                self._log(stage, (progress.tokens - start) / (time.monotonic() - began))
            if done:
                return
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self._save()

    def _step(self, batch: Batch, scale: float) -> dict[str, float]:
        """One step; loss and share of right answers of each task, and how the evidence is found."""
        passed = self._forward(batch.ids, batch.late, batch.unseen)
        loss, losses, right = reading_loss(self.model, passed.hidden, batch)
        figures: dict[str, float] = {}
        layers = range(1, self.model.config.num_hidden_layers)
        layer = layers[(self.progress.step * 2654435761 >> 7) % len(layers)]
        retrieval = retrieval_loss(self._forward, passed, batch, layer)
        if retrieval is not None:
            loss = loss + RETRIEVAL_WEIGHT * retrieval[0]
            figures |= {f"retrieval {layer}": float(retrieval[0].detach()), f"found {layer}": retrieval[1]}
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step(scale)
        by_task: dict[str, list[tuple[float, float]]] = {}
        for row, first, stop in batch.answers:
            whole = bool(right[row, first:stop].all())
            by_task.setdefault(batch.tasks[row], []).append((float(losses[row, first:stop].mean()), whole))
        for task, rows in by_task.items():
            figures[f"loss {task}"] = sum(each[0] for each in rows) / len(rows)
            figures[f"right {task}"] = sum(each[1] for each in rows) / len(rows)
        text = (batch.weight > 0) & (batch.weight < 0.2)
        figures["loss text"] = float(losses[text].mean())
        return figures

    def _scale(self, stage: Stage) -> float:
        rising = min(1.0, (self._optimizer.steps + 1) / _WARMUP_STEPS)
        share = self.progress.tokens / stage.tokens
        falling = min(1.0, max(0.05, (1 - share) / 0.6)) if stage.decay else 1.0
        return rising * falling

    def _batches(self, mixture: Mixture) -> Iterator[Batch]:
        """Batches made ahead by another process; the seed of each is that of its stage and step."""
        stage, step = self.progress.stage, self.progress.step
        with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
            waiting: list[Future[Batch]] = []
            try:
                while True:
                    while len(waiting) < _AHEAD:
                        seed = (self._seed, stage, step)
                        waiting.append(pool.submit(make_batch, self._tokenizer, mixture, seed, ROW_TOKENS))
                        step += 1
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def _log(self, stage: Stage, speed: float) -> None:
        progress = self.progress
        rounded = {name: round(value, 3) for name, value in sorted((progress.figures or {}).items())}
        row = {"stage": stage.name, "step": progress.step, "tokens": progress.tokens, "tokens_a_second": round(speed)}
        line = json.dumps({**row, "figures": rounded})
        with (self._folder / LOG).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self._note(line)

    def _save(self) -> None:
        """Weights, optimizer and progress, in one file that replaces the last one at once."""
        state = {f"model.{name}": each.detach() for name, each in self.model.named_parameters()}
        state |= {f"optimizer.{name}": each for name, each in self._optimizer.state().items()}
        fresh = self._folder / f"{CHECKPOINT}.new"
        save_file(state, fresh, metadata={"progress": json.dumps(vars(self.progress))})
        os.replace(fresh, self._folder / CHECKPOINT)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        self.progress = Progress(**json.loads(metadata["progress"]))
        state = load_file(path)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state[f"model.{name}"])
        self._optimizer.load({key.removeprefix("optimizer."): each for key, each in state.items()})
