"""The plugin for vLLM: its own models with the o_proj biases that it leaves out, or with a persona per request.

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

PERSONA_ARCHITECTURES: Mapping[str, str] = MappingProxyType(
    {
        "qwen3": "PasctlPersonasQwen3ForCausalLM",
        "qwen3_moe": "PasctlPersonasQwen3MoeForCausalLM",
        "llama": "PasctlPersonasLlamaForCausalLM",
        "qwen2": "PasctlPersonasQwen2ForCausalLM",
        "mistral": "PasctlPersonasMistralForCausalLM",
    }
)
"""The same of exports with a persona per request; their classes are in `pasctl.vllm_plugin.persona_models`."""


def register() -> None:
    """Tell vLLM's registry where the architectures are, and check the personas of requests.

    The classes are imported when a model needs one.
    """
    vllm: Any = importlib.import_module("vllm")
    for module, architectures in (("models", ARCHITECTURES), ("persona_models", PERSONA_ARCHITECTURES)):
        for architecture in architectures.values():
            vllm.ModelRegistry.register_model(architecture, f"pasctl.vllm_plugin.{module}:{architecture}")
    importlib.import_module("pasctl.vllm_plugin.persona_checks").install()
