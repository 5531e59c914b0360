"""kvpress's presses by their names as systems, and what one needs before it can run; importable without torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from pasctl.errors import InputError, MissingError
from pasctl.memory.params import MemoryParams

INSTALL = "pip install --no-deps kvpress==0.5.5"


@dataclass(frozen=True)
class PressKind:
    """A press: what it scores keys by, and where kvpress has it.

    Attributes:
        module: in `kvpress.presses`.
        name: of its class.
        keeps: tokens that it keeps whatever their scores.
        by_queries: whether it computes queries itself, and rotates all components of a head.
    """

    module: str
    name: str
    keeps: int
    by_queries: bool = False


PRESSES = {
    "press-snapkv": PressKind("snapkv_press", "SnapKVPress", 64, by_queries=True),
    "press-expected-attention": PressKind("expected_attention_press", "ExpectedAttentionPress", 4, by_queries=True),
    "press-tova": PressKind("tova_press", "TOVAPress", 1, by_queries=True),
    "press-keydiff": PressKind("keydiff_press", "KeyDiffPress", 0),
    "press-knorm": PressKind("knorm_press", "KnormPress", 0),
    "press-streaming-llm": PressKind("streaming_llm_press", "StreamingLLMPress", 4),
}

PRESSABLE = ("llama", "mistral", "phi3", "qwen2", "qwen3")
"""Families that kvpress supports, and that have layers of full attention alone."""


def press_budget(params: MemoryParams) -> int:
    """Tokens that a press keeps: as many as the memory attends."""
    return params.n_init + params.n_local + params.n_mem


def press_numerics(systems: Sequence[str], family: str | None, budget: int) -> dict[str, str]:
    """What systems add to what results depend on: kvpress's version, if a press is among them.

    Args:
        systems: their names.
        family: of the model; None if it is not known yet.
        budget: tokens that a press is to keep.

    Raises:
        MissingError: kvpress is not installed.
        InputError: kvpress does not support the family, or the budget is too small for a press.
    """
    names = [name for name in systems if name in PRESSES]
    for name in names:
        require_kept(name, budget)
        if family is not None:
            require_family(name, family)
    return {"kvpress": kvpress_version(names[0])} if names else {}


def require_family(name: str, family: str) -> None:
    """Refuse a press on a model whose queries kvpress does not know how to compute.

    Raises:
        InputError: it is one.
    """
    if family not in PRESSABLE:
        raise InputError(
            f"system {name}: kvpress does not compress a {family} model, expected one of {', '.join(PRESSABLE)}",
            hint=f"leave {name} out of --compare",
        )


def require_kept(name: str, budget: int) -> None:
    """Refuse a budget that a press would spend on what it keeps whatever its score.

    Raises:
        InputError: it would.
    """
    if budget <= PRESSES[name].keeps:
        raise InputError(
            f"system {name} always keeps {PRESSES[name].keeps} tokens, and n_init + n_local + n_mem is {budget}",
            hint="raise n_local",
        )


def kvpress_version(name: str) -> str:
    """The version of kvpress that a press is taken from.

    Raises:
        MissingError: kvpress is not installed.
    """
    try:
        return version("kvpress")
    except PackageNotFoundError as error:
        raise MissingError(f"system {name} needs the package kvpress, which is not installed", hint=INSTALL) from error
