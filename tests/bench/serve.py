"""64 requests at once: our server and vLLM with personas mixed, vLLM unsteered, and transformers' continuous batching.

A Llama of the widths of SmolLM2-135M with fewer layers and drawn weights, float32, one thread each. All servers run at
the same time and are asked in turns, over HTTP; transformers generates in this process, without a server.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.timing import Timing, note, race

LAYERS, REQUESTS, PROMPT, TOKENS, ROUNDS = 8, 64, 32, 24, 5
MIXES = (1, 16, 64)
ALPHA, STARTS = 2.0, 240
WIDTHS = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "vocab_size": 4096,
}
NAMES = [f"p{row}" for row in range(REQUESTS)]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def run() -> list[Timing]:
    with tempfile.TemporaryDirectory() as room, ExitStack() as stack:
        folder = Path(room)
        model = make(folder)
        prompts = [[10 + (row * 7 + at) % 4000 for at in range(PROMPT)] for row in range(REQUESTS)]
        servers = stack.enter_context(started(commands(folder)))
        sides: dict[str, Callable[[], Any]] = {}
        if "vLLM" in servers:
            sides["vLLM's own Llama, unsteered"] = partial(servers["vLLM"].ask, prompts, 0)
        for name in ("vLLM with the plugin", "pasctl serve"):
            if name in servers:
                sides |= {f"{name}, {told(count)}": partial(servers[name].ask, prompts, count) for count in (0, *MIXES)}
        sides["transformers' continuous batching, unsteered, no HTTP"] = partial(batched, model, prompts)
        for side in sides.values():
            side()
        raced = race(*sides.values(), rounds=ROUNDS)
    amount = REQUESTS * TOKENS
    return [each.line(what, f"{amount / each.seconds:,.0f} tokens/s") for what, each in zip(sides, raced, strict=True)]


def told(count: int) -> str:
    return "unsteered" if not count else f"{count} persona{'s' if count > 1 else ''}"


def make(folder: Path) -> Any:
    """The model in `base`, directions of all personas in `store`, and the export that vLLM serves in `served`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from pasctl.models.options import ModelOptions
    from pasctl.stages.export import export_model
    from pasctl.stages.model import ModelHandle
    from tests.export.planted import plant_directions
    from tests.tiny import tiny_tokenizer

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**WIDTHS, num_hidden_layers=LAYERS, max_position_embeddings=512)).eval()
    model.save_pretrained(folder / "base")
    tiny_tokenizer().save_pretrained(folder / "base")
    handle = ModelHandle(str(folder / "base"), ModelOptions(dtype="float32"))
    source = plant_directions(folder / "store", handle, head_dim=WIDTHS["head_dim"], names=NAMES)
    export_model(source, folder / "served", alpha=ALPHA, engine="vllm-personas", store=folder / "store")
    directions = sum(path.stat().st_size for path in source.path.glob("directions*"))
    table = sum(path.stat().st_size for path in (folder / "served" / "personas").iterdir())
    row = 4 * LAYERS * WIDTHS["hidden_size"]
    deltas = 4 * len({0, 2}) * WIDTHS["num_attention_heads"] * WIDTHS["head_dim"]
    note(
        f"per persona on disk: directions {directions / REQUESTS:,.0f} bytes, vLLM's table {table / REQUESTS:,.0f} "
        f"(the weights: {(folder / 'base' / 'model.safetensors').stat().st_size:,.0f})"
    )
    note(f"per persona that runs: {row:,} bytes in vLLM (all layers), {deltas:,} in our server (2 steered layers)")
    return model


def commands(folder: Path) -> dict[str, tuple[list[str], int]]:
    """What starts each server, and its port; vLLM's only where it is."""
    found: dict[str, tuple[list[str], int]] = {}
    port = free_port()
    ours = ["serve", "--model", str(folder / "base"), "--directions", "latest", "--store", str(folder / "store")]
    more = ["--alpha", str(ALPHA), "--dtype", "float32", "--max-batch", str(REQUESTS), "--prefix-cache", "0"]
    found["pasctl serve"] = [sys.executable, "-m", "pasctl", *ours, *more, "--port", str(port)], port
    python = os.environ.get("PASCTL_VLLM_PYTHON", ".venv-vllm/bin/python")
    if not Path(python).exists():
        note(f"vLLM is left out: there is no {python} (make test-vllm sets it up; PASCTL_VLLM_PYTHON names another)")
        return found
    options = ["--dtype", "float32", "--enforce-eager", "--max-model-len", "128", "--no-enable-prefix-caching"]
    options += ["--max-num-seqs", str(REQUESTS), "--host", "127.0.0.1", "--kv-cache-memory-bytes", str(1 << 28)]
    server = [python, "-m", "vllm.entrypoints.openai.api_server", *options]
    for name, place in (("vLLM", "base"), ("vLLM with the plugin", "served")):
        port = free_port()
        found[name] = [*server, "--model", str(folder / place), "--port", str(port)], port
    return found


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        url: with /v1.
        model: its name.
    """

    url: str
    model: str

    def ask(self, prompts: Sequence[Sequence[int]], personas: int) -> None:
        """Send all prompts at once, each as one of so many personas in turn, and wait for all."""
        with ThreadPoolExecutor(len(prompts)) as threads:
            counts = list(threads.map(partial(self._write, personas), range(len(prompts)), prompts))
        assert counts == [TOKENS] * len(prompts)

    def _write(self, personas: int, number: int, prompt: Sequence[int]) -> int:
        body = {
            "model": self.model,
            "prompt": list(prompt),
            "max_tokens": TOKENS,
            "temperature": 0,
            "ignore_eos": True,
            **({"vllm_xargs": {"persona": NAMES[number % personas], "alpha": ALPHA}} if personas else {}),
        }
        return int(ask(f"{self.url}/completions", body)["usage"]["completion_tokens"])


@contextmanager
def started(servers: dict[str, tuple[list[str], int]]) -> Iterator[dict[str, Server]]:
    """All servers, once each answers."""
    environment = os.environ | ONE_THREAD
    with ExitStack() as stack:
        processes = {}
        for name, (command, _) in servers.items():
            processes[name] = subprocess.Popen(
                command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            stack.callback(processes[name].wait, 60)
            stack.callback(processes[name].terminate)
        found = {}
        for name, (_, port) in servers.items():
            url, until = f"http://127.0.0.1:{port}/v1", time.monotonic() + STARTS
            while name not in found:
                assert processes[name].poll() is None, f"{name} has ended"
                assert time.monotonic() < until, f"{name} does not answer"
                try:
                    found[name] = Server(url, ask(f"{url}/models")["data"][0]["id"])
                except OSError:
                    time.sleep(1)
        yield found


def ask(url: str, body: dict[str, Any] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - of 127.0.0.1
    with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310
        return json.load(answer)


def batched(model: Any, prompts: list[list[int]]) -> None:
    """Transformers' continuous batching; as many blocks as the texts need, since all of the cache is read on a CPU."""
    from transformers import GenerationConfig
    from transformers.generation.configuration_utils import ContinuousBatchingConfig

    how = GenerationConfig(max_new_tokens=TOKENS, do_sample=False, eos_token_id=-1, pad_token_id=0)
    room = ContinuousBatchingConfig(num_blocks=REQUESTS, max_batch_tokens=256)
    texts = model.generate_batch(inputs=prompts, generation_config=how, continuous_batching_config=room)
    assert [len(text.generated_tokens) for text in texts.values()] == [TOKENS] * len(prompts)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
