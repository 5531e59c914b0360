"""What a command about a memory refuses, and settles, before a text is read or weights are loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle

ATTENTION = ("auto", "memory")
"""What --attn may be: a memory has an attention function of its own."""
_TEMPLATE = 64  # more tokens than a chat template puts around a question


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


def check_questions(handle: ModelHandle, params: MemoryParams, questions: Sequence[str], how: SamplingParams) -> None:
    """Refuse what cannot be asked before a text is read or weights are loaded.

    Raises:
        InputError: there is no question, one is empty or longer than the local window; or the model cannot be asked to
            think.
    """
    require_words(questions)
    # a token is a byte or more: what is short for certain need not be counted, since tokenizers take seconds to load
    long = [each for each in questions if len(each.encode()) > params.n_local - _TEMPLATE]
    if not (long or how.think):
        return
    from pasctl.memory.prompt import Prompt

    prompt = Prompt(handle.chat())
    for question in long or questions[:1]:
        params.require_question(len(prompt.question(question, how.think)))


def require_words(questions: Sequence[str]) -> None:
    """Refuse questions without words.

    Raises:
        InputError: there is no question, or one is empty.
    """
    if not questions:
        raise InputError("there is no question to ask, expected at least one")
    for number, question in enumerate(questions):
        if not question.strip():
            raise InputError(f"question {number + 1} of {len(questions)} is empty, expected words")
