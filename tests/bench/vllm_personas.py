"""What a persona per request adds to vLLM: 64 requests, unsteered in vLLM's own Llama and steered by 64 personas.

Run in an environment with vLLM: `python -m tests.bench.vllm_personas [compiled]`. A Llama of SmolLM2-135M's shape with
drawn weights, both engines in one process, in turns, so that only the ratio counts.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

REQUESTS, PROMPT, TOKENS, ROUNDS = 64, 32, 24, 7
SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 4096,
}


def export(folder: Path) -> tuple[Path, Path]:
    """The model, and the same with a table of personas."""
    import numpy as np
    from transformers import LlamaConfig, LlamaForCausalLM

    from pasctl.vllm_plugin import PERSONA_ARCHITECTURES
    from pasctl.vllm_plugin.persona_table import FOLDER, write_table
    from tests.tiny import tiny_tokenizer

    model = LlamaForCausalLM(LlamaConfig(**SHAPE, max_position_embeddings=512))
    for name in ("base", "served"):
        model.save_pretrained(folder / name)
        tiny_tokenizer().save_pretrained(folder / name)
    config = json.loads((folder / "served" / "config.json").read_text())
    config["architectures"] = [PERSONA_ARCHITECTURES["llama"]]
    (folder / "served" / "config.json").write_text(json.dumps(config))
    (folder / "served" / FOLDER).mkdir()
    drawn = np.random.default_rng(0).standard_normal((REQUESTS, SHAPE["num_hidden_layers"], SHAPE["hidden_size"]))
    names = [f"p{row}" for row in range(REQUESTS)]
    table = folder / "served" / FOLDER / "drawn.safetensors"
    write_table(table, drawn.astype(np.float32), names, alphas=[0.1] * REQUESTS, positions="all", about={})
    return folder / "base", folder / "served"


def main() -> None:
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"}
    import vllm

    eager = "compiled" not in sys.argv
    with tempfile.TemporaryDirectory() as room:
        models: list[Any] = [
            vllm.LLM(
                model=str(path),
                dtype="float32",
                enforce_eager=eager,
                max_model_len=128,
                kv_cache_memory_bytes=1 << 30,
                enable_prefix_caching=False,
                max_num_seqs=REQUESTS,
            )
            for path in export(Path(room))
        ]
        prompts = [
            {"prompt_token_ids": [10 + (row * 7 + at) % 4000 for at in range(PROMPT)]} for row in range(REQUESTS)
        ]
        kinds: dict[str, tuple[Any, list[Any]]] = {
            "vLLM's own Llama": (models[0], [None] * REQUESTS),
            "the plugin's, unsteered": (models[1], [None] * REQUESTS),
            "the plugin's, 64 personas": (models[1], [{"persona": f"p{row}"} for row in range(REQUESTS)]),
        }
        seconds: dict[str, list[float]] = {name: [] for name in kinds}
        for turn in range(ROUNDS + 1):
            for name, (model, said) in kinds.items():
                params = [
                    vllm.SamplingParams(temperature=0.0, max_tokens=TOKENS, ignore_eos=True, extra_args=each)
                    for each in said
                ]
                start = time.perf_counter()
                model.generate(prompts, params, use_tqdm=False)
                if turn:  # the first warms up
                    seconds[name].append(time.perf_counter() - start)
    base = seconds["vLLM's own Llama"]
    for name, taken in seconds.items():
        ratio = statistics.median(here / there for here, there in zip(taken, base, strict=True))
        print(
            f"{name:28} {statistics.median(taken):6.2f} s  {ratio:5.3f} of vLLM's own", "eager" if eager else "compiled"
        )


if __name__ == "__main__":
    main()
