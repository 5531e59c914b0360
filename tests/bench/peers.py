"""Activations read by the package steering-vectors, one prompt at a time as its tutorial does; as the bench extract.

It records what the attention puts out: our head outputs through o_proj. It is skipped where it is not installed.
"""

from __future__ import annotations

import importlib.util
from importlib.metadata import version

import torch
from torch import Tensor

from pasctl.commands.extract import Extract
from pasctl.inventory import question
from pasctl.models.load import LoadedModel
from pasctl.stages.extract import PromptSet
from tests.bench.extract import extract_shards
from tests.bench.models import items, random_qwen3
from tests.bench.timing import Timing, agreement, note, race

EVERY = 12  # of so many items one is read by the peer


def run() -> list[Timing]:
    if importlib.util.find_spec("steering_vectors") is None:
        note("skipped: the package steering-vectors is not installed")
        return []
    model, inventory = random_qwen3(), items()
    prompts = PromptSet.render(model.chat, inventory, Extract(model="demo"))
    shards = list(prompts.shards.values())
    sequences = [prompts.sequences(shard) for shard in shards]
    tokens = sum(len(sequence) for shard in sequences for sequence in shard)

    # its samples are pairs of texts, here an item with either answer
    order = [row for shard in shards for row in shard]
    few = range(EVERY // 2, len(order), EVERY)
    letters = [column.letter for column in prompts.columns]
    prompts = [model.chat.render(question(inventory.items[order[place]], inventory)) for place in few]
    pairs = [(prompt + letters[0], prompt + letters[1]) for prompt in prompts]
    read = sum(len(sequence) for place in few for sequence in prompts.sequences([order[place]]))

    extract_shards(model, [sequences[0][:4]])
    _recorded(model, pairs[:1])
    ours, theirs = race(
        lambda: extract_shards(model, sequences), lambda: _recorded(model, pairs), shares=[1, read / tokens]
    )
    values = torch.cat([each.head_outputs for each in ours.result])
    values = values.view(len(order), len(letters), *values.shape[1:])[list(few)].transpose(0, 1)
    agreement("attention outputs, pasctl and steering-vectors", _attention(model, values), theirs.result)
    return [
        ours.line(
            "pasctl: shared prefix, batches of one length, no lm_head",
            f"{sum(each.tokens_run for each in ours.result):,} tokens run of {tokens:,} asked",
        ),
        theirs.line(f"steering-vectors {version('steering-vectors')}: one prompt at a time", f"{tokens:,} tokens"),
    ]


def _recorded(model: LoadedModel, pairs: list[tuple[str, str]]) -> Tensor:
    """Attention outputs [answers, N, L, hidden] at the last token."""
    from steering_vectors import extract_activations

    answers = extract_activations(model.model, model.tokenizer, pairs, layer_type="self_attn")
    return torch.stack([torch.stack([torch.cat(found[layer]) for layer in sorted(found)], dim=1) for found in answers])


def _attention(model: LoadedModel, head_outputs: Tensor) -> Tensor:
    """What o_proj makes of head outputs [answers, N, L, H, D]: [answers, N, L, hidden]."""
    flat = head_outputs.flatten(-2)
    return torch.stack([o_proj(flat[:, :, layer]) for layer, o_proj in enumerate(model.outputs())], dim=2)
