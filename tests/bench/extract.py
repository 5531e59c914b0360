"""Head outputs of the fit items, both answers, on a random model of Qwen3-0.6B's shape in bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor

from pasctl.activations.capture import capture
from pasctl.activations.extract import Extracted, extract_head_outputs
from pasctl.commands.extract import Extract
from pasctl.commands.running import DEFAULT_BATCH_TOKENS
from pasctl.models.load import LoadedModel
from pasctl.stages.extract import PromptSet
from tests.bench.models import items, random_qwen3
from tests.bench.timing import Timing, agreement, matmul_rate, race

PADDED_BATCH = 32
FEW = slice(7, None, 20)  # of the sequences, which are sorted by length: these stand for all in the loop


def run() -> list[Timing]:
    model = random_qwen3()
    prompts = PromptSet.render(model.chat, items(), Extract(model="demo"))
    shards = [prompts.sequences(shard) for shard in prompts.shards.values()]
    sequences = [sequence for shard in shards for sequence in shard]
    tokens = sum(map(len, sequences))
    # sorted by length, they need little padding; the batch in the middle stands for all
    middle = len(sequences) // 2
    batch, few = sequences[middle : middle + PADDED_BATCH], sequences[FEW]

    extract_shards(model, [few[:4]])
    padded(model, few[:4])
    published(model, few[:1])
    rate = matmul_rate("bfloat16")
    ours, plain, loop = race(
        lambda: extract_shards(model, shards),
        lambda: padded(model, batch),
        lambda: published(model, few),
        shares=[1, sum(map(len, batch)) / tokens, sum(map(len, few)) / tokens],
    )
    rate = max(rate, matmul_rate("bfloat16"))  # before or after: other work may have slowed it down
    values = torch.cat([each.head_outputs for each in ours.result])
    agreement("head outputs, pasctl and padded", values[middle : middle + PADDED_BATCH], plain.result)
    agreement("head outputs, pasctl and published", values[FEW], loop.result)
    tokens_run = sum(each.tokens_run for each in ours.result)
    return [
        ours.line(
            "pasctl: shared prefix, batches of one length, no lm_head",
            f"{tokens_run:,} tokens run of {tokens:,} asked; {_reached(model, tokens_run, ours.seconds, rate)}",
        ),
        plain.line("transformers: left-padded batches of 32, hooks, no lm_head", f"{tokens:,} tokens"),
        loop.line("published loop: one prompt, all hidden states, full lm_head", f"{tokens:,} tokens"),
    ]


def _reached(model: LoadedModel, tokens: int, seconds: float, rate: float) -> str:
    """How much of the machine's `rate`, in GFLOP/s, the layers' weights reach; attention's own products not counted."""
    layers = sum(weight.numel() for name, weight in model.backbone.named_parameters() if name.startswith("layers."))
    reached = 2 * layers * tokens / seconds / 1e9
    return f"{reached:.0f} GFLOP/s, {reached / rate:.0%} of the machine's"


def extract_shards(model: LoadedModel, shards: list[list[list[int]]]) -> list[Extracted]:
    """As `pasctl extract` does it, without the store."""
    return [extract_head_outputs(model, shard, batch_tokens=DEFAULT_BATCH_TOKENS) for shard in shards]


@torch.inference_mode()
def padded(model: LoadedModel, sequences: list[list[int]]) -> Tensor:
    """Head outputs [N, L, H, D] by plain transformers: left padding, an attention mask, hooks on o_proj."""
    outputs = []
    with capture(model) as record:
        for start in range(0, len(sequences), PADDED_BATCH):
            chunk = sequences[start : start + PADDED_BATCH]
            longest = max(map(len, chunk))
            ids = torch.tensor([[0] * (longest - len(sequence)) + sequence for sequence in chunk])
            mask = torch.tensor([[0] * (longest - len(sequence)) + [1] * len(sequence) for sequence in chunk])
            positions = (mask.cumsum(-1) - 1).clamp(min=0)
            model.backbone(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
            outputs.append(record.take())
    return torch.cat(outputs)


@torch.inference_mode()
def published(model: LoadedModel, sequences: list[list[int]]) -> Tensor:
    """Head outputs [N, L, H, D] as the published code reads them, with all hidden states on the host and all logits."""
    outputs = []
    with capture(model) as record:
        for sequence in sequences:
            result = model.model(torch.tensor([sequence]), output_hidden_states=True, use_cache=False)
            torch.stack(result.hidden_states).float().cpu().numpy()
            outputs.append(record.take())
    return torch.cat(outputs)
