"""A .gguf file as llama.cpp runs it, through the package llama-cpp-python."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from pasctl.errors import PasctlError
from pasctl.evaluation.neutral import neutral_text
from pasctl.export.proof import Reference


def has_llama_cpp() -> bool:
    """Whether llama-cpp-python is installed here."""
    return importlib.util.find_spec("llama_cpp") is not None


def read_in_llama_cpp(path: Path, reference: Reference) -> tuple[float, ...]:
    """Log-probabilities of the reference's tokens in llama.cpp, on the CPU.

    Raises:
        PasctlError: llama.cpp does not load the file, or makes other tokens of the neutral text.
    """
    llama_cpp: Any = importlib.import_module("llama_cpp")
    try:
        model = llama_cpp.Llama(
            str(path),
            n_ctx=max(len(passage.ids) for passage in reference.passages),
            n_gpu_layers=0,
            logits_all=True,
            type_k=llama_cpp.GGML_TYPE_F32,  # keys and values in float16 would be a difference of their own
            type_v=llama_cpp.GGML_TYPE_F32,
            verbose=False,
        )
    except ValueError as error:
        raise PasctlError(
            f"llama.cpp does not load {path}: {error}", hint="an older llama.cpp does not know blk.N.attn_v.bias"
        ) from error
    text = model.tokenize(neutral_text().encode(), add_bos=True, special=False)
    if tuple(text[: len(reference.text)]) != reference.text:
        raise PasctlError("llama.cpp makes other tokens of a text than the model's own tokenizer")
    found: list[float] = []
    for passage in reference.passages:
        model.reset()
        model.eval(list(passage.ids))
        logits = np.asarray(model.scores[passage.start - 1 : len(passage.ids) - 1], np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        chosen = np.take_along_axis(logits, np.array(passage.ids[passage.start :])[:, None], axis=1)[:, 0]
        found += (chosen - np.log(np.exp(logits).sum(axis=1))).tolist()
    return tuple(found)
