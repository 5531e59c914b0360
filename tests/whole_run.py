"""All that pasctl does with a model, in short: what a model on one device gives, it must give on several."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pasctl.activations.continuations import mean_head_outputs
from pasctl.activations.extract import extract_head_outputs
from pasctl.evaluation.scoring import score_letters
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.load import LoadedModel
from pasctl.steering.intervention import Intervention
from tests.activations.test_forward import some_sequences
from tests.memory.test_exactness import SMALL, ask_ids, text_ids

LETTERS = [40, 41, 42, 43, 44]
TOKENS = 80


def intervention(model: LoadedModel, seed: int = 3) -> Intervention:
    """A displacement of all heads of the first and the last site."""
    generator, geometry = torch.Generator().manual_seed(seed), model.geometry
    return Intervention(
        {place: torch.randn(1, geometry.width, generator=generator) for place in (0, geometry.layers - 1)}
    )


def activations(model: LoadedModel) -> dict[str, Tensor]:
    """What is read at the sites of each kind."""
    prompts = some_sequences(count=4)
    kinds = {
        kind: extract_head_outputs(model, prompts, batch_tokens=60, kind=kind).head_outputs
        for kind in model.geometry.kinds
    }
    return kinds | {"mean of heads": mean_head_outputs(model, prompts[0], prompts[1:4], batch_tokens=60)[0]}


def results(model: LoadedModel, folder: Path) -> dict[str, Tensor]:
    """What the stages give, by name; memories are written below `folder`."""
    steering, prompts = intervention(model), some_sequences(count=4)
    made = activations(model)
    for positions in ("all", "answer"):
        scores = score_letters(
            model, prompts, LETTERS, batch_tokens=60, interventions=[None, steering], positions=positions
        )
        made[f"scores {positions}"] = torch.from_numpy(scores.logprobs)
    requests = [
        Request(prompts[0], SamplingParams(max_new_tokens=3)),
        Request(prompts[1], SamplingParams(max_new_tokens=3), intervention=steering),
    ]
    for number, stream in enumerate(generate(model, requests)):
        made[f"text {number}"] = torch.tensor(stream.tokens)
    return made | _of_memory(model, folder, steering)


def _of_memory(model: LoadedModel, folder: Path, steering: Intervention) -> dict[str, Tensor]:
    made: dict[str, Tensor] = {}
    files: list[Path] = []

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        files.append(folder / f"{len(files)}.safetensors")
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, files[-1])
        return files[-1]

    questions = [text_ids(9, seed=5), text_ids(4, seed=6)]
    memory = EpisodicMemory(
        model, writer=write, intervention=steering, **SMALL | {"refine": "modularity", "positions": "compact"}
    )
    memory.read_ids(text_ids(TOKENS))
    memory.finish()
    made["memory"], made["surprise"] = ask_ids(memory, *questions), memory.reader.surprise
    made["starts"] = torch.tensor(memory.reader.past.events.starts)
    again = EpisodicMemory(model, intervention=steering, **SMALL | {"refine": "modularity", "positions": "compact"})
    again.restore(files)
    made["restored memory"] = ask_ids(again, *questions)
    exact = EpisodicMemory(model, **SMALL | {"positions": "true", "n_mem": 400})
    exact.read_ids(text_ids(TOKENS))
    made["everything retrieved"] = ask_ids(exact, questions[0])
    return made
