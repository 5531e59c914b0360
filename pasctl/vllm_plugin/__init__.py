"""The plugin for vLLM: its own Qwen3 and Qwen3-MoE with the o_proj biases that it leaves out.

vLLM finds `register` by the entry point `vllm.general_plugins` and calls it in each of its processes. A vLLM without
this package knows none of the architectures, and refuses to serve an export that names one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "qwen3": "PasctlQwen3ForCausalLM",
        "qwen3_moe": "PasctlQwen3MoeForCausalLM",
    }
)
"""Model family to the architecture that an export names; classes of these names are in `pasctl.vllm_plugin.models`."""


def register() -> None:
    """Tell vLLM's registry where the architectures are; the classes are imported when a model needs one."""
    vllm: Any = importlib.import_module("vllm")
    for architecture in ARCHITECTURES.values():
        vllm.ModelRegistry.register_model(architecture, f"pasctl.vllm_plugin.models:{architecture}")
