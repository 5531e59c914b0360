"""On a GPU: extraction, generation and memory compared with plain loops; random models of Qwen3's shapes, bfloat16."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from transformers import DynamicCache, Qwen3Config

import pasctl
from pasctl.activations.extract import extract_head_outputs
from pasctl.commands.running import DEFAULT_BATCH_TOKENS
from pasctl.generation.sampling_params import SamplingParams
from pasctl.inventory import builtin_inventory, question
from pasctl.memory.episodic import EpisodicMemory
from pasctl.models.load import LoadedModel
from tests.bench.models import random_model
from tests.bench.timing import Timing, note
from tests.tiny import tiny_tokenizer

SHAPES = {
    "0.6B": {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16},
    "8B": {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 36, "num_attention_heads": 32},
}
NEW_TOKENS, REQUESTS = 32, (1, 64)
LENGTHS = (8_192, 32_768)


def run() -> list[Timing]:
    """All benches, shape after shape."""
    note(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; random weights, bfloat16")
    found: list[Timing] = []
    for name, shape in SHAPES.items():
        config = Qwen3Config(
            vocab_size=151936, num_key_value_heads=8, head_dim=128, max_position_embeddings=40960, **shape
        )
        model = random_model(config, tiny_tokenizer(), device="cuda")
        # a pass of the small model is bound by launching kernels: reading is timed there, where it is slowest
        for bench in (extraction, generation, reading) if name == "0.6B" else (extraction, generation):
            began = time.perf_counter()
            found += bench(f"Qwen3-{name}", model)
            note(f"Qwen3-{name}, {bench.__name__}: {time.perf_counter() - began:.0f} s in all")
        del model
        torch.cuda.empty_cache()
    return found


def seconds(work: Callable[[], object], warm: Callable[[], object] | None = None) -> float:
    """Of one run, after one that warms up: the same work, or less of it."""
    (warm or work)()
    torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.inference_mode()
def extraction(name: str, model: LoadedModel) -> list[Timing]:
    """60 items, both answers: prefixes shared, beside a loop over prompts with all hidden states and logits."""
    inventory = builtin_inventory()
    prompts = [model.chat.encode(question(item, inventory, "forward")) for item in inventory.items]
    letters = model.chat.letter_ids("AE")
    sequences = [[*prompt, letter] for prompt in prompts for letter in letters]

    def loop() -> None:
        for ids in sequences:
            model.model(torch.tensor([ids], device="cuda"), output_hidden_states=True, use_cache=False)

    ours = seconds(lambda: extract_head_outputs(model, sequences, batch_tokens=DEFAULT_BATCH_TOKENS))
    theirs = seconds(loop)
    return [
        Timing("extract", ours, f"{len(sequences)} prompts", group=f"{name}, head outputs"),
        Timing("one prompt at a time, all hidden states, lm_head", theirs, "the same", group=f"{name}, head outputs"),
    ]


@torch.inference_mode()
def generation(name: str, model: LoadedModel) -> list[Timing]:
    """Texts of 128 tokens: the engine, beside transformers' greedy loop over one padded batch."""
    found: list[Timing] = []
    how = SamplingParams(max_new_tokens=NEW_TOKENS)
    for count in REQUESTS:
        prompts = [model.chat.encode(f"Tell me about number {number}.") for number in range(count)]
        with pasctl.Engine(model, max_batch=max(REQUESTS), queue=max(REQUESTS)) as engine:

            def ours(engine: pasctl.Engine = engine, prompts: list[list[int]] = prompts) -> None:
                for stream in [engine.submit(pasctl.Request(prompt, how)) for prompt in prompts]:
                    stream.text()

            took = seconds(ours)
        width = min(map(len, prompts))
        ids = torch.tensor([prompt[:width] for prompt in prompts], device="cuda")
        plain = seconds(lambda ids=ids: _greedy(model, ids))
        group, tokens = f"{name}, {count} texts of {NEW_TOKENS} tokens", count * NEW_TOKENS
        found += [
            Timing("engine", took, f"{tokens / took:,.0f} tokens/s", group=group),
            Timing("greedy loop over one batch of equal length", plain, f"{tokens / plain:,.0f} tokens/s", group=group),
        ]
    return found


def _greedy(model: LoadedModel, ids: torch.Tensor) -> None:
    cache = DynamicCache(config=model.model.config)
    for _ in range(NEW_TOKENS):
        output = model.backbone(ids, past_key_values=cache, use_cache=True)
        ids = model.logits(output.last_hidden_state[:, -1]).argmax(-1, keepdim=True)


@torch.inference_mode()
def reading(name: str, model: LoadedModel) -> list[Timing]:
    """A text read into a memory, beside full attention in chunks of 512 tokens."""
    found: list[Timing] = []
    for length in LENGTHS:
        ids = torch.randint(10, 500, (length,), generator=torch.Generator().manual_seed(0)).tolist()

        def memory(ids: list[int] = ids) -> None:
            EpisodicMemory(model, params=pasctl.MemoryParams()).read_ids(ids)

        def full(ids: list[int] = ids) -> None:
            cache = DynamicCache(config=model.model.config)
            for start in range(0, len(ids), 512):
                piece = torch.tensor([ids[start : start + 512]], device="cuda")
                model.backbone(piece, past_key_values=cache, use_cache=True)

        few = ids[:1024]
        ours, theirs = seconds(memory, lambda few=few: memory(few)), seconds(full, lambda few=few: full(few))
        group = f"{name}, reading {length:,} tokens"
        found += [
            Timing("memory", ours, f"{length / ours:,.0f} tokens/s", group=group),
            Timing("full attention, chunks of 512", theirs, f"{length / theirs:,.0f} tokens/s", group=group),
        ]
    return found
