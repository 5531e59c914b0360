"""The model in the box: a very small Qwen3 that pasctl trains itself, the world it learned, and its builder."""

from __future__ import annotations

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
"""The packaged model, which `--model demo` means."""

WEIGHTS_SHA256 = "09a997690960461ee9fd78a65253f94761e02f690572881fa41126632b2f9fc0"
"""Of its model.safetensors: the figures in its README are about these weights."""
