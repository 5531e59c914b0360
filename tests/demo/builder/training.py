"""The training loop: stages that pass on loss, checkpoints in safetensors, and a log of losses in JSON lines."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import cross_entropy
from transformers import Qwen3ForCausalLM

from pasctl.demo import CONTEXT
from tests.demo.builder.batches import Batch, Packer
from tests.demo.builder.documents import Writer
from tests.demo.builder.model import hidden_states
from tests.demo.builder.optimizer import Optimizer
from tests.demo.builder.sources import KeySource, Mixture, Source
from tests.demo.builder.world import TRAINING_SEEDS, draw_people

CHECKPOINT, LOG = "checkpoint.safetensors", "losses.jsonl"
CHECKPOINT_SECONDS = 120.0
_WARMUP_STEPS = 30
_SMOOTHING = 0.97
_PEOPLE_A_BLOCK, _STEPS_A_BLOCK = 1024, 25


@dataclass(frozen=True)
class Stage:
    """A stretch of training.

    Attributes:
        name: in the log.
        mixture: what is read.
        tokens: at most so many.
        passes: the stage ends once the smoothed losses of these tags are below these values.
        rows: rows with people in each step.
        keys: rows with pass keys in each step.
        decay: whether the learning rates fall to a twentieth by its end.
    """

    name: str
    mixture: Mixture
    tokens: int
    passes: tuple[tuple[str, float], ...] = ()
    rows: int = 4
    keys: int = 0
    decay: bool = False


_CHATS = Mixture(told=0.3, heard=0.15, early=0.4)
_EARLY = Mixture(told=0.25, heard=0.05, early=0.5)

CURRICULUM = (
    Stage("dense, few negative", Mixture(dense=1.0, negative=0.1), 1_000_000, (("dense-16", 1.15),)),
    Stage("dense, some negative", Mixture(dense=1.0, negative=0.4), 1_000_000, (("dense-16", 1.0),)),
    Stage("dense", Mixture(dense=1.0), 1_000_000, (("dense-16", 0.85),)),
    Stage("chats, few negative", replace(_CHATS, negative=0.1), 2_500_000, keys=1),
    Stage("chats, some negative", replace(_CHATS, negative=0.4), 1_000_000, keys=1),
    Stage("chats", _CHATS, 3_000_000, keys=1),
    Stage("pass keys", _CHATS, 3_000_000, (("key", 0.3),), rows=2, keys=3),
    Stage("early", _EARLY, 5_000_000, keys=1, decay=True),
)


@dataclass
class Progress:
    """Where a run stands; with the checkpoint's tensors it is all that going on needs."""

    stage: int = 0
    step: int = 0
    tokens: int = 0
    losses: dict[str, float] | None = None


class Trainer:
    """Trains one model; a run that was killed goes on from its last checkpoint."""

    def __init__(
        self,
        model: Qwen3ForCausalLM,
        writer: Writer,
        folder: Path,
        *,
        seed: int,
        stages: tuple[Stage, ...] = CURRICULUM,
        note: Callable[[str], None] = print,
        bfloat16: bool = False,
    ) -> None:
        self.model, self._writer, self._folder = model, writer, folder
        self._seed, self._stages, self._note = seed, stages, note
        self._bfloat16 = bfloat16
        self._optimizer = Optimizer(model, bfloat16=bfloat16)
        self.progress = Progress()
        self._saved = time.monotonic()
        self._resume()

    def train(self, on_stage: Callable[[str], None] | None = None) -> None:
        """Run what is left of all stages; `on_stage` is called with the name of each that has ended and is kept."""
        self.model.train()
        while self.progress.stage < len(self._stages):
            stage = self._stages[self.progress.stage]
            self._train_stage(stage)
            self.progress = Progress(self.progress.stage + 1)
            self._save()
            if on_stage is not None:
                on_stage(stage.name)

    def _train_stage(self, stage: Stage) -> None:
        began, start = time.monotonic(), self.progress.tokens
        for batches in self._batches(stage):
            progress = self.progress
            found = self._step(batches, self._scale(stage))
            progress.step += 1
            progress.tokens += sum(batch.ids.numel() for batch in batches)
            losses = progress.losses = progress.losses or {}
            for tag, loss in found.items():
                kept = min(_SMOOTHING, 1 - 1 / progress.step)  # at first the plain mean of the steps so far
                losses[tag] = kept * losses.get(tag, loss) + (1 - kept) * loss
            passed = bool(stage.passes) and all(losses.get(tag, 9.9) < bound for tag, bound in stage.passes)
            done = progress.tokens >= stage.tokens or (passed and progress.step > 2 * _WARMUP_STEPS)
            if progress.step % 50 == 0 or done:
                self._log(stage, (progress.tokens - start) / (time.monotonic() - began))
            if done:
                return
            if time.monotonic() - self._saved > CHECKPOINT_SECONDS:
                self._save()

    def _step(self, batches: Sequence[Batch], scale: float) -> dict[str, float]:
        """One step on all batches together; the mean loss of each tag."""
        whole = sum(float(batch.weight.sum()) for batch in batches)
        by_tag: dict[str, list[float]] = {}
        for batch in batches:
            weight, targets = batch.weight[:, 1:], batch.ids[:, 1:]
            wanted = weight > 0
            with torch.autocast(self.model.device.type, torch.bfloat16, enabled=self._bfloat16):
                logits = self.model.lm_head(hidden_states(self.model, batch)[:, :-1][wanted])
            losses = cross_entropy(logits.float(), targets[wanted], reduction="none")
            share: Any = (losses * weight[wanted]).sum() / whole
            share.backward()
            grid = torch.zeros(batch.ids.shape)
            grid[:, 1:][wanted] = losses.detach()
            values = grid.tolist()
            for row, place, tag in batch.tags:
                by_tag.setdefault(tag, []).append(values[row][place])
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step(scale)
        return {tag: sum(each) / len(each) for tag, each in by_tag.items()}

    def _scale(self, stage: Stage) -> float:
        rising = min(1.0, (self._optimizer.steps + 1) / _WARMUP_STEPS)
        share = self.progress.tokens / stage.tokens
        falling = min(1.0, max(0.05, (1 - share) / 0.6)) if stage.decay else 1.0
        return rising * falling

    def _batches(self, now: Stage) -> Iterator[list[Batch]]:
        """Batches of new people; where a stage is resumed, it goes on at the next block of steps."""
        stage = self.progress.stage
        block = -(-self.progress.step // _STEPS_A_BLOCK)
        while True:
            people = draw_people(_PEOPLE_A_BLOCK, TRAINING_SEEDS + 1_000_000 * self._seed + 10_000 * stage + block)
            seed = (self._seed, stage, block)
            answers = Packer(Source(self._writer, now.mixture, people, seed), CONTEXT)
            keys = Packer(KeySource(self._writer, seed), CONTEXT)
            for _ in range(_STEPS_A_BLOCK):
                yield [answers.batch(now.rows), *([keys.batch(now.keys)] if now.keys else [])]
            block += 1

    def _log(self, stage: Stage, speed: float) -> None:
        progress = self.progress
        rounded = {tag: round(loss, 4) for tag, loss in sorted((progress.losses or {}).items())}
        row = {"stage": stage.name, "step": progress.step, "tokens": progress.tokens, "tokens_a_second": round(speed)}
        line = json.dumps({**row, "losses": rounded})
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
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        self.progress = Progress(**json.loads(metadata["progress"]))
        state = load_file(path)
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(state[f"model.{name}"])
        self._optimizer.load({key.removeprefix("optimizer."): each for key, each in state.items()})
