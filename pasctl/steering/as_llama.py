"""A Mistral or Qwen2 as a Llama, tensor for tensor: Llama's class has biases in all projections of its attention.

The three compute the same where no layer has a sliding window: RMS norm, rotary halves, grouped attention, SiLU. In
transformers Mistral has no biases, and Qwen2 has those of q, k and v alone, so neither can carry a shift of o_proj.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasctl.errors import InputError
from pasctl.json_file import read_json

_SAME = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "hidden_act", "max_position_embeddings", "initializer_range", "rms_norm_eps"),
    *("use_cache", "pad_token_id", "bos_token_id", "eos_token_id", "tie_word_embeddings", "rope_parameters"),
    *("attention_dropout", "dtype"),
)


def has_window(config: Mapping[str, Any]) -> bool:
    """Whether a layer of a Mistral or Qwen2 attends to less than all tokens that its positions were made for."""
    types = config.get("layer_types")
    if types is not None and any(each != "full_attention" for each in types):
        return True
    if types is not None and config.get("model_type") == "qwen2":
        return False  # it asks each layer's type alone
    window, context = config.get("sliding_window"), config.get("max_position_embeddings")
    if not config.get("use_sliding_window", True) or window is None:
        return False
    return context is None or window < context


def require_no_window(config: Mapping[str, Any]) -> None:
    """Refuse what Llama computes differently.

    Raises:
        InputError: a layer has a sliding window.
    """
    if has_window(config):
        raise InputError(
            f"a {config.get('model_type')} with a sliding window of {config.get('sliding_window')} tokens cannot be "
            "written as a Llama, which alone has the biases",
            hint="steer it at run time with `pasctl.steer` or `pasctl serve`",
        )


def require_folder_without_window(folder: Path | None) -> None:
    """Refuse the same before a model is loaded, where its config.json is there and says so.

    Raises:
        InputError: a layer has a sliding window.
    """
    if folder is None or not folder.is_dir():
        return
    try:
        config = read_json(folder / "config.json", constants=True)
    except (OSError, ValueError):
        return
    if isinstance(config, dict):
        require_no_window(config)


def llama_config(config: Any) -> Any:
    """The config of the Llama that computes what a Mistral or Qwen2 does, biased projections switched on.

    Raises:
        InputError: a layer has a sliding window.
    """
    from transformers import LlamaConfig

    require_no_window(config.to_dict())
    heads = config.num_attention_heads
    made: Any = LlamaConfig(
        **{name: getattr(config, name) for name in _SAME if hasattr(config, name)},
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        attention_bias=True,
        mlp_bias=False,
    )
    made.architectures = ["LlamaForCausalLM"]
    return made
