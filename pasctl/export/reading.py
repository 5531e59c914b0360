"""Reading what a proof compares: the tokens of fixed texts, and the log-probabilities that a model gives them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pasctl.errors import PasctlError
from pasctl.evaluation.neutral import neutral_text
from pasctl.export.proof import CONTINUATION, PROMPTS, TEXT_TOKENS, Passage, Reference
from pasctl.generation.loop import generate
from pasctl.generation.request import Request
from pasctl.generation.sampling_params import SamplingParams
from pasctl.models.chat import ChatRenderer
from pasctl.models.device import torch_dtype
from pasctl.models.load import LoadedModel
from pasctl.models.transformers_compat import one_line_errors, quiet_transformers
from pasctl.models.weights import read_tokenizer, read_weights
from pasctl.steering import Intervention, steer


def make_reference(model: LoadedModel, intervention: Intervention) -> Reference:
    """Let the steered model answer the prompts, and read answers and text with steering and without.

    Args:
        model: the loaded model.
        intervention: of one row; it is in force at all positions.

    Raises:
        PasctlError: log-probabilities are not finite, or steering changes nothing.
    """
    prompts, text = encode(model.chat, model.tokenizer)
    how = SamplingParams(max_new_tokens=CONTINUATION)
    written = generate(model, [Request(prompt, how, intervention) for prompt in prompts], batch_tokens=1024)
    answered = (Passage((*prompt, *made.tokens), len(prompt)) for prompt, made in zip(prompts, written, strict=True))
    passages = (*answered, Passage(text, 1))
    steered, unsteered = read(model, passages, intervention), read(model, passages)
    if not np.isfinite([steered, unsteered]).all():
        raise PasctlError(
            f"the steered model's log-probabilities are not finite in {model.dtype}",
            hint="try --dtype float32 or a smaller alpha",
        )
    if steered == unsteered:
        raise PasctlError("steering changes no log-probability, so an export would be the base model")
    return Reference(prompts, text, passages, steered, unsteered)


def encode(chat: ChatRenderer, tokenizer: Any) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Token ids of the prompts as chats, and of the beginning of the neutral text."""
    prompts = tuple(tuple(chat.encode(prompt)) for prompt in PROMPTS)
    return prompts, tuple(int(token) for token in tokenizer(neutral_text(), verbose=False)["input_ids"][:TEXT_TOKENS])


@torch.inference_mode()
def read(
    model: LoadedModel, passages: Sequence[Passage], intervention: Intervention | None = None
) -> tuple[float, ...]:
    """Log-probabilities of the passages' tokens that count, one passage behind the other."""
    found: list[float] = []
    with steer(model, intervention):
        for passage in passages:
            ids = torch.tensor([passage.ids], device=model.device)
            logits = model.model(input_ids=ids, use_cache=False).logits[0, passage.start - 1 : -1]
            targets = ids[0, passage.start :].to(logits.device)
            found += logits.float().log_softmax(-1).gather(-1, targets[:, None])[:, 0].tolist()
    return tuple(found)


def read_checkpoint(
    path: Path,
    reference: Reference,
    *,
    dtype: str,
    device: str,
    attn: str,
    device_map: str | None,
    compare_tokens: bool = True,
) -> tuple[float, ...]:
    """What a checkpoint gives the reference's tokens in transformers, loaded as the steered model was.

    Args:
        path: a model folder or .gguf file.
        reference: the passages, and what a tokenizer made of the texts.
        dtype: float32, float16 or bfloat16.
        device: where it runs.
        attn: attention implementation, as transformers names it.
        device_map: how accelerate spreads it; None leaves it on `device`.
        compare_tokens: whether the checkpoint's tokenizer is compared. Of a .gguf file it need not: what transformers
            makes of its metadata is not what llama.cpp does.

    Raises:
        PasctlError: it cannot be loaded, or its tokenizer gives the texts other tokens.
    """
    exported = open_checkpoint(path, dtype=dtype, device=device, attn=attn, device_map=device_map)
    tokens = reference.prompts, reference.text
    if compare_tokens and encode(exported.chat, exported.tokenizer) != tokens:
        raise PasctlError("the exported tokenizer gives other tokens than the model's own")
    return read(exported, reference.passages)


def open_checkpoint(path: Path, *, dtype: str, device: str, attn: str, device_map: str | None) -> LoadedModel:
    """A checkpoint in transformers; see `read_checkpoint`.

    Raises:
        PasctlError: it cannot be loaded.
    """
    place = {} if device_map is None else {"device_map": device_map}
    with one_line_errors(str(path)), quiet_transformers():
        model = read_weights(path, dtype=torch_dtype(dtype), attn_implementation=attn, **place)
        if device_map is None:
            model = model.to(device)
        return LoadedModel.wrap(model, read_tokenizer(path))
