"""Proof that a model's memory path is the model: tokens read and asked through memory, against one plain pass.

The sizes are so small that most of the tokens leave the window, and the budget so large that every event is retrieved
at its true place. Then memory is full attention, and what is left of a difference is rounding, or something that the
model does and memory does not: another kind of rotation, a norm behind it, sinks, a softcap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import DynamicCache

from pasctl.errors import InputError, PasctlError
from pasctl.memory.asking import MemoryTextState
from pasctl.memory.attention_layers import attention_layers
from pasctl.memory.params import MemoryParams
from pasctl.memory.reader import Reader
from pasctl.models.attention import attention_of, own_attention, run_backbone
from pasctl.models.kv_cache import behind
from pasctl.models.load import LoadedModel
from pasctl.models.transformers_compat import first_line

TOKENS = 48
TOLERANCE = {"float64": 1e-4, "float32": 1e-4, "float16": 0.005, "bfloat16": 0.04}
"""What rounding may make of the logits, as a share of their spread.

Measured on tiny models of all families, the demo model and SmolLM2-135M: at most 3e-6 in float32; families that memory
gets wrong are at .1 and more.
"""
OWN_ROUNDING = 3.0
"""In half precision rounding grows with the layers: if it is above the tolerance, it may be so many times what the
model's own attention differs by when transformers' plain one reads the same tokens chunk by chunk. Memory was at 0.7 to
1.8 times that, also where experts are chosen by a hair."""

_TEXT = "It was late when the letter came. Nobody in the house had asked for it, and 7 people read it before noon. "
_PARAMS = MemoryParams(
    n_init=2,
    n_local=12,
    n_mem=TOKENS,
    chunk=4,
    min_block=2,
    max_block=4,
    contiguity=0.0,
    positions="true",
    segmenter="fixed",
)
_ASKED = 3 * _PARAMS.chunk


@dataclass(frozen=True)
class MemoryProof:
    """What came of the proof.

    Attributes:
        error: how far a token's logits are from the model's: root mean square of the difference, over their standard
            deviation; three of four tokens are nearer. A few may be far, where experts are chosen by a hair. Infinite
            if the memory path does not run.
        tolerance: what it may be.
        tokens: run through the model for it.
        reason: why the memory path does not run; "" if it does.
    """

    error: float
    tolerance: float
    tokens: int
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the memory path is the model."""
        return self.error <= self.tolerance


_PROOFS: WeakKeyDictionary[LoadedModel, MemoryProof] = WeakKeyDictionary()


def prove_memory(model: LoadedModel) -> MemoryProof:
    """The proof of a loaded model, made once; run it when nothing else runs the model."""
    if model not in _PROOFS:
        _PROOFS[model] = _prove(model)
    return _PROOFS[model]


def require_memory(model: LoadedModel) -> MemoryProof:
    """Refuse a model whose memory path is not the model.

    Raises:
        InputError: the two differ, with the measured difference; or the memory path does not run.
    """
    proof = prove_memory(model)
    if proof.holds:
        return proof
    family, name = model.adapter.family, model.source.spec
    if proof.reason:
        raise InputError(f"{name} cannot have a memory: {proof.reason}", hint=_HINT)
    raise InputError(
        f"{name} cannot have a memory: over {TOKENS} tokens the memory path of a {family} model differs from the model "
        f"by {proof.error:.2g} of the logits' spread, expected at most {proof.tolerance:.2g} in {model.dtype}",
        hint=_HINT,
    )


_HINT = (
    "memory keeps whole keys and values of full attention; most Qwen, Llama, Mistral, Gemma and Phi models can have one"
)


@torch.inference_mode()
def _prove(model: LoadedModel) -> MemoryProof:
    ids, tolerance = _ids(model), TOLERANCE.get(model.dtype, TOLERANCE["bfloat16"])
    try:
        attention_layers(model)  # first, as it knows reasons
        plain = _plain(model, ids, TOKENS, model.attn)
        through = model.logits(_through_memory(model, ids))
    except PasctlError as error:
        return MemoryProof(math.inf, tolerance, TOKENS, error.message)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a family may do anything in its attention, and fail by it in any way
        reason = f"its memory path fails ({type(error).__name__}: {first_line(error)})"
        return MemoryProof(math.inf, tolerance, TOKENS, reason)
    difference = _difference(through, plain)
    if difference <= tolerance or model.dtype not in ("float16", "bfloat16"):
        return MemoryProof(difference, tolerance, 2 * TOKENS)
    # the fused attention may be farther from transformers' plain one than memory is
    eager = _plain(model, ids, _PARAMS.chunk, "eager")
    own, difference = _difference(eager, plain), min(difference, _difference(through, eager))
    if difference > tolerance:
        tolerance = max(tolerance, OWN_ROUNDING * own)
    return MemoryProof(difference, tolerance, 3 * TOKENS)


def _difference(logits: Tensor, plain: Tensor) -> float:
    """`MemoryProof.error` of logits [48, vocabulary]."""
    each = (logits - plain).square().mean(dim=-1).sqrt() / plain.std(dim=-1)
    return float(each.cpu().quantile(0.75))


def _plain(model: LoadedModel, ids: list[int], chunk: int, attn: str) -> Tensor:
    """Logits [48, vocabulary] by an attention of the model's own, which reads so many tokens at a time."""
    given, cache = torch.tensor([ids], device=model.device), DynamicCache(config=model.model.config)
    states: list[Tensor] = []
    with attention_of(model, attn):
        for piece in torch.split(given, chunk, dim=1):
            out: Any = model.backbone(input_ids=piece, **behind(model, cache))
            states.append(out.last_hidden_state[0])
    return model.logits(torch.cat(states))


def _ids(model: LoadedModel) -> list[int]:
    """Tokens of plain text."""
    ids: list[int] = model.tokenizer.encode(_TEXT, add_special_tokens=False)
    return (ids * (TOKENS // max(1, len(ids)) + 1))[:TOKENS]


def _through_memory(model: LoadedModel, ids: list[int]) -> Tensor:
    """Last hidden states [48, hidden] of a text and of what is asked after it, read through memory chunk by chunk."""
    text, question = ids[:-_ASKED], ids[-_ASKED:]
    with _hidden_states(model) as states:
        reader = Reader(model, _PARAMS)
        reader.read(text)
        asking = MemoryTextState(reader, keep_retrieved=False)
        with own_attention(model):
            for start in range(0, _ASKED, _PARAMS.chunk):
                piece = question[start : start + _PARAMS.chunk]
                asking.begin(piece, retrieve=True)
                asking.end(run_backbone(model, torch.tensor([piece]), asking, states=asking.layer_states)[0])
    return torch.cat(states)


@contextmanager
def _hidden_states(model: LoadedModel) -> Iterator[list[Tensor]]:
    """What the backbone gives while the block runs, [C, hidden] a pass."""
    states: list[Tensor] = []
    hook = model.backbone.register_forward_hook(lambda _module, _given, out: states.append(out.last_hidden_state[0]))
    try:
        yield states
    finally:
        hook.remove()
