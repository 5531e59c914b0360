"""What a command about a memory refuses, and settles, before a text is read or weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.memory.prompt import Prompt, require_words
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle

ATTENTION = ("auto", "memory")
"""What --attn may be: a memory has an attention function of its own."""


def plain_attention(options: ModelOptions) -> ModelOptions:
    """How to load a model that a memory reads with.

    Raises:
        InputError: an attention function is asked for, which would not be used.
    """
    if options.attn not in ATTENTION:
        raise InputError(
            f"attention {options.attn!r} cannot be used with a memory, expected auto or memory",
            hint="leave --attn out: a memory has an attention function of its own",
        )
    return replace(options, attn="auto")


def settle_params(params: MemoryParams | Mapping[str, Any], handle: ModelHandle, seed: int) -> MemoryParams:
    """Parameters of a memory: what was given, the rest scaled to the model's context; `seed` where they have none."""
    if isinstance(params, MemoryParams):
        return replace(params, seed=params.seed or seed)
    return MemoryParams.for_context(handle.context(steady=True), **{"seed": seed, **params})


def check_questions(handle: ModelHandle, questions: Sequence[str], how: SamplingParams) -> None:
    """Refuse what cannot be asked before a text is read or weights are loaded.

    Raises:
        InputError: there is no question, one is empty; or the model cannot be asked to think.
    """
    require_words(questions)
    if how.think:
        Prompt(handle.chat()).question(questions[0], think=True)
