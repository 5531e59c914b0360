"""vLLM's server of an export, in a process of its own, on 127.0.0.1."""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

STARTS = 240  # seconds at most


@contextmanager
def serving(folder: Path, *, context: int = 96, cache_bytes: int = 1 << 27, log: Path | None = None) -> Iterator[str]:
    """The server's URL, without /v1, while the block runs; the model is called "base"."""
    httpx: Any = importlib.import_module("httpx")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model", str(folder), "--served-model-name", "base", "--dtype", "float32", "--enforce-eager"]
    size = ["--max-model-len", str(context), "--kv-cache-memory-bytes", str(cache_bytes)]
    environment = os.environ | {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *options, *size, "--host", "127.0.0.1"]
    with open(log or os.devnull, "wb") as out:
        process = subprocess.Popen([*command, "--port", str(port)], env=environment, stdout=out, stderr=out)
        url, until = f"http://127.0.0.1:{port}", time.monotonic() + STARTS
        try:
            while time.monotonic() < until:
                assert process.poll() is None, "the server has ended"
                try:
                    httpx.get(f"{url}/health", timeout=5)
                    break
                except httpx.HTTPError:
                    time.sleep(1)
            yield url
        finally:
            process.terminate()
            process.wait(60)
