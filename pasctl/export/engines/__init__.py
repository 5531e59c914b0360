"""What an export can be made for: one file an engine, a name of this table each."""

from __future__ import annotations

from pasctl.registry import Registry

ENGINES = Registry(
    "engine",
    {
        "transformers": "pasctl.export.engines.transformers:Transformers",
        "vllm": "pasctl.export.engines.vllm:Vllm",
        "vllm-plugin": "pasctl.export.engines.vllm_plugin:VllmPlugin",
        "vllm-personas": "pasctl.export.engines.vllm_personas:VllmPersonas",
        "stock": "pasctl.export.engines.stock:Stock",
        "gguf": "pasctl.export.engines.gguf:Gguf",
    },
    group="pasctl.engines",
)
