"""`patch` and `unpatch`: the drop-in memory under the names that EM-LLM's own code has for it.

The published code (github.com/em-llm/EM-LLM-model) gives a model its memory by `patch_hf(model, "em_llm", **config)`,
and its configuration files have more names than the paper. Those that mean a parameter of `MemoryParams` set it; those
that only decide where tensors lie or which kernel runs decide nothing here, and are named in a warning.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import fields
from types import MappingProxyType
from typing import Any
from weakref import WeakKeyDictionary

from pasctl.errors import InputError
from pasctl.memory.dropin import remember
from pasctl.memory.params import MemoryParams

ATTENTION_TYPES = ("em_llm", "em-llm")
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "exc_block_size": "chunk",
        "min_block_size": "min_block",
        "max_block_size": "max_block",
        "surprisal_threshold_gamma": "gamma",
    }
)
"""EM-LLM's names for parameters that have another name here."""
_WITHOUT_EFFECT = (
    *("fattn", "async_global_stream", "pin_memory", "faiss", "max_cached_block", "cache_strategy", "chunk_size"),
    *("min_free_cpu_memory", "disk_offload_threshold", "vector_offload_threshold", "disk_offload_dir"),
    "allow_disk_offload",
)
# what would change the model or the formula, with the only value that changes nothing
_ONLY = MappingProxyType({"base": None, "distance_scale": 1.0, "score_decay": None, "chunk_topk_calc": None})
_OFF = MappingProxyType({"perhead": False, "random_topk_blocks": False, "uniform_blocks": False})

_PATCHED: WeakKeyDictionary[Any, ExitStack] = WeakKeyDictionary()


def patch(model: Any, attn_type: str = "em_llm", *, tokenizer: Any = None, **config: Any) -> Any:
    """Give a transformers model a memory until `unpatch`, with EM-LLM's names; see `remember` for what it does.

    Args:
        model: a CausalLM.
        attn_type: em_llm.
        tokenizer: None takes the one that the model was loaded with from the same place.
        **config: n_init, n_local, n_mem, repr_topk, exc_block_size, min_block_size, max_block_size,
            surprisal_threshold_gamma, similarity_refinement, similarity_refinement_kwargs, contiguity_buffer,
            contiguity_buffer_kwargs; or any parameter of `MemoryParams`.

    Returns:
        The model.

    Raises:
        InputError: another type of attention, an unknown name, a value that cannot be had; the model is patched
            already, or cannot have a memory.
    """
    if attn_type not in ATTENTION_TYPES:
        raise InputError(f"attn_type is {attn_type!r}, expected em_llm")
    if model in _PATCHED:
        raise InputError("the model has a memory already", hint="pasctl.unpatch(model)")
    stack = ExitStack()
    stack.enter_context(remember(model, tokenizer, **parameters(config)))
    _PATCHED[model] = stack
    return model


def unpatch(model: Any) -> Any:
    """Give a patched model back as it was; one that is not patched stays as it is."""
    if (stack := _PATCHED.pop(model, None)) is not None:
        stack.close()
    return model


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of `MemoryParams` from EM-LLM's names.

    Raises:
        InputError: a name is unknown, or a value cannot be had.
    """
    own = {field.name for field in fields(MemoryParams)}
    named: dict[str, Any] = {}
    idle: list[str] = []
    for name, value in config.items():
        if name in own or name in NAMES:
            named[NAMES.get(name, name)] = value
        elif name in _WITHOUT_EFFECT:
            idle.append(name)
        elif name in _ONLY or name in _OFF:
            only = {**_ONLY, **_OFF}[name]
            if value is not None and value != only:
                raise InputError(
                    f"{name} is {value!r}, expected {only!r}: pasctl leaves that part of the model as it is"
                )
        elif name not in _SWITCHES:
            near = difflib.get_close_matches(name, [*own, *NAMES, *_SWITCHES], 1)
            raise InputError(f"{name} is no parameter of a memory", hint=f"did you mean {near[0]}?" if near else None)
    if idle:
        warnings.warn(f"no effect in pasctl, which decides it by itself: {', '.join(idle)}", stacklevel=3)
    return named | _switched(config)


_SWITCHES = ("similarity_refinement", "similarity_refinement_kwargs", "contiguity_buffer", "contiguity_buffer_kwargs")


def _switched(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the switches of refinement and of contiguity say, with their settings."""
    named: dict[str, Any] = {}
    if "similarity_refinement" in config:
        metric = dict(config.get("similarity_refinement_kwargs") or {}).get("similarity_metric", "modularity")
        named["refine"] = metric if config["similarity_refinement"] else "none"
    if "contiguity_buffer" in config:
        share = dict(config.get("contiguity_buffer_kwargs") or {}).get("buffer_size", MemoryParams.contiguity)
        named["contiguity"] = share if config["contiguity_buffer"] else 0.0
    return named
