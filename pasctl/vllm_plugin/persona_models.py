"""vLLM's own models with a persona per request. Imported by vLLM alone."""

from __future__ import annotations

from typing import Any

from vllm.config import VllmConfig
from vllm.model_executor.models.llama import LlamaForCausalLM
from vllm.model_executor.models.mistral import MistralForCausalLM
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM
from vllm.model_executor.models.qwen3_moe import Qwen3MoeForCausalLM

from pasctl.vllm_plugin.persona_rows import TokenPersonas


class _WithPersonas:
    """A model whose requests have personas, with whichever runner vLLM takes."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "", **kwargs: Any) -> None:
        _require(vllm_config)
        build: Any = super().__init__  # of vLLM's class, which stands after this one
        build(vllm_config=vllm_config, prefix=prefix, **kwargs)
        model: Any = self
        self.personas = TokenPersonas(vllm_config, model)
        if not vllm_config.use_v2_model_runner:
            from pasctl.vllm_plugin import persona_runner

            persona_runner.install()

    @staticmethod
    def get_model_state_cls() -> type:
        """Where vLLM's V2 model runner asks for the state of a model."""
        from pasctl.vllm_plugin.persona_state import PersonaModelState

        return PersonaModelState


class PasctlPersonasQwen3ForCausalLM(_WithPersonas, Qwen3ForCausalLM):
    """vLLM's Qwen3 with a persona per request."""


class PasctlPersonasQwen3MoeForCausalLM(_WithPersonas, Qwen3MoeForCausalLM):
    """vLLM's Qwen3-MoE with a persona per request."""


class PasctlPersonasLlamaForCausalLM(_WithPersonas, LlamaForCausalLM):
    """vLLM's Llama with a persona per request."""


class PasctlPersonasQwen2ForCausalLM(_WithPersonas, Qwen2ForCausalLM):
    """vLLM's Qwen2 with a persona per request."""


class PasctlPersonasMistralForCausalLM(_WithPersonas, MistralForCausalLM):
    """vLLM's Mistral with a persona per request."""


def _require(config: VllmConfig) -> None:
    """Refuse settings under which requests would get another's vectors.

    Raises:
        ValueError: names the setting.
    """
    parallel = config.parallel_config
    if parallel.use_ubatching:
        raise ValueError("a persona per request does not run with dual batch overlap: leave out --enable-dbo")
    if parallel.prefill_context_parallel_size > 1:
        raise ValueError("a persona per request does not run with prefill context parallelism")
