"""Head outputs of the built-in fit items on a random Llama of SmolLM2-135M's shape, bfloat16."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from pasctl.activations.capture import capture
from pasctl.activations.extract import extract_head_outputs
from pasctl.inventory import builtin_inventory
from pasctl.models.load import LoadedModel
from pasctl.stages.extract import DEFAULT_BATCH_TOKENS, ExtractParams, Sheet
from tests.bench.timing import Timing, timed
from tests.tiny import tiny_tokenizer

LOOP_SHARE = 0.25
PADDED_BATCH = 32


def random_smollm2() -> LoadedModel:
    config = LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16, attn_implementation="sdpa")
    return LoadedModel.wrap(model, tiny_tokenizer())


def run() -> list[Timing]:
    model = random_smollm2()
    sheet = Sheet.render(model.chat, builtin_inventory(), ExtractParams())
    shards = list(sheet.shards.values())
    sequences = [sequence for shard in shards for sequence in sheet.sequences(shard)]
    tokens = sum(map(len, sequences))
    _loop(model, sequences[:1])

    def ours() -> int:
        done = [
            extract_head_outputs(model, sheet.sequences(shard), batch_tokens=DEFAULT_BATCH_TOKENS) for shard in shards
        ]
        return sum(each.tokens_run for each in done)

    count = ours()
    some = sequences[: max(1, int(len(sequences) * LOOP_SHARE))]
    return [
        timed("pasctl: shared prefix, batches of one length", f"{count:,} tokens run", ours),
        timed("padded batches of 32, hooks, no lm_head", f"{tokens:,} tokens", lambda: _padded(model, sequences)),
        timed(
            "published loop: one prompt, all hidden states, full lm_head",
            f"{tokens:,} tokens",
            lambda: _loop(model, some),
            share=len(some) / len(sequences),
        ),
    ]


@torch.inference_mode()
def _padded(model: LoadedModel, sequences: list[list[int]]) -> list[Tensor]:
    outputs = []
    with capture(model) as record:
        for start in range(0, len(sequences), PADDED_BATCH):
            chunk = sequences[start : start + PADDED_BATCH]
            longest = max(map(len, chunk))
            ids = torch.tensor([[0] * (longest - len(sequence)) + sequence for sequence in chunk])
            mask = torch.tensor([[0] * (longest - len(sequence)) + [1] * len(sequence) for sequence in chunk])
            model.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
            outputs.append(record.take())
    return outputs


@torch.inference_mode()
def _loop(model: LoadedModel, sequences: list[list[int]]) -> list[Tensor]:
    outputs = []
    with capture(model) as record:
        for sequence in sequences:
            result = model.model(torch.tensor([sequence]), output_hidden_states=True, use_cache=False)
            torch.stack(result.hidden_states).float().numpy()
            outputs.append(record.take())
    return outputs
