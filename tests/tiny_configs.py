"""Tiny configs of the model families that pasctl is tested on: one row a family, of a shape that its class takes.

`SHAPE` is shared by all. What a family adds is kept as small as it can be, and switched on where a config
leaves it off: sinks, softcaps, windows of some layers, rotation of a part of a head.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import CONFIG_MAPPING, PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

LAYERS, HEADS, KV_HEADS, HEAD_DIM, HIDDEN, VOCAB = 3, 6, 2, 16, 48, 512

SHAPE: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "head_dim": HEAD_DIM,
    "max_position_embeddings": 8192,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
    "tie_word_embeddings": False,
}

_MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "norm_topk_prob": True}
_WINDOWED = ["sliding_attention", "sliding_attention", "full_attention"]
_HYBRID = {
    "num_hidden_layers": 4,
    "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 12,
}
_LATENT = {
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 8,
    "v_head_dim": 10,
    "num_key_value_heads": HEADS,
}
_ROUTED = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_VISION = {"hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "patch_size": 4}

_CHANGES: Mapping[str, Mapping[str, Any]] = {
    "qwen3": {"tie_word_embeddings": True},
    "qwen3_moe": _MOE,
    "llama": {},
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen2_moe": {**_MOE, "shared_expert_intermediate_size": 24},
    "qwen3_next": {**_HYBRID, **_MOE, "shared_expert_intermediate_size": 24, "decoder_sparse_step": 1},
    "qwen3_5_text": _HYBRID,
    "qwen3_5_moe_text": {**_HYBRID, **_MOE, "shared_expert_intermediate_size": 24},
    "ministral": {"layer_types": _WINDOWED, "sliding_window": 24},
    "ministral3": {},
    "mixtral": {"num_local_experts": 4},
    "phi3": {"partial_rotary_factor": 0.75},
    "phi": {"num_key_value_heads": HEADS, "head_dim": 8, "partial_rotary_factor": 0.5},
    "gemma2": {
        "query_pre_attn_scalar": 16,
        "attn_logit_softcapping": 2.0,
        "layer_types": _WINDOWED,
        "sliding_window": 24,
    },
    "gemma3_text": {"query_pre_attn_scalar": 16, "layer_types": _WINDOWED, "sliding_window": 24},
    "gemma4_text": {
        "layer_types": _WINDOWED,
        "sliding_window": 24,
        "global_head_dim": 32,
        "vocab_size_per_layer_input": VOCAB,
        "hidden_size_per_layer_input": 8,
        "num_kv_shared_layers": 0,
    },
    "olmo2": {},
    "olmo3": {"layer_types": _WINDOWED, "sliding_window": 24},
    "olmoe": {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "granite": {"logits_scaling": 2.0, "residual_multiplier": 0.5, "embedding_multiplier": 2.0},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "glm": {},
    "glm4": {},
    "glm4_moe": {**_ROUTED, "partial_rotary_factor": 0.5, "first_k_dense_replace": 1, "use_qk_norm": True},
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "layer_types": _WINDOWED, "sliding_window": 24},
    "ernie4_5": {},
    "cohere2": {"layer_types": _WINDOWED, "sliding_window": 24, "logit_scale": 0.5},
    "minicpm3": {**_LATENT, "scale_depth": 1.4, "dim_model_base": 24},
    "deepseek_v2": {**_LATENT, **_ROUTED, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
    "deepseek_v3": {**_LATENT, "head_dim": 8, **_ROUTED, "first_k_dense_replace": 1, "n_group": 2, "topk_group": 1},
    "glm4_moe_lite": {**_LATENT, **_ROUTED, "first_k_dense_replace": 1},
    "lfm2": {
        "num_hidden_layers": 4,
        "layer_types": ["conv", "full_attention", "conv", "full_attention"],
        "block_auto_adjust_ff_dim": False,
    },
    "starcoder2": {"sliding_window": None},
    "exaone4": {"layer_types": _WINDOWED, "sliding_window": 24},
    "seed_oss": {},
    "apertus": {},
    "arcee": {},
    "hunyuan_v1_dense": {},
    "nanochat": {},
    "minimax_m2": {"num_local_experts": 4, "num_experts_per_tok": 2, "rotary_dim": 8},
    "nemotron": {},
    "stablelm": {"head_dim": 8, "partial_rotary_factor": 0.5},
    "helium": {"head_dim": 8},
    "dots1": {**_ROUTED, "first_k_dense_replace": 1},
    "cwm": {"layer_types": _WINDOWED, "sliding_window": 24},
    "olmo_hybrid": _HYBRID,
}

# model type -> that of its text decoder, and the vision tower, which no test runs
_TOWERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "qwen3_vl": ("qwen3_vl_text", {**_VISION, "depth": 2, "out_hidden_size": HIDDEN, "deepstack_visual_indexes": [0]}),
    "qwen2_5_vl": ("qwen2_5_vl_text", {**_VISION, "depth": 2, "out_hidden_size": HIDDEN}),
    "qwen3_5": ("qwen3_5_text", {**_VISION, "depth": 2, "out_hidden_size": HIDDEN}),
    "qwen3_5_moe": ("qwen3_5_moe_text", {**_VISION, "depth": 2, "out_hidden_size": HIDDEN}),
    "gemma3": (
        "gemma3_text",
        {
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 4,
        },
    ),
    "mistral3": (
        "mistral",
        {
            "model_type": "pixtral",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "head_dim": 16,
            "image_size": 16,
            "patch_size": 4,
        },
    ),
}


_TOWER_TEXTS: Mapping[str, Mapping[str, Any]] = {
    "qwen2_5_vl": {
        "head_dim": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    },
    "qwen3_vl": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}},
}


EVERY_FAMILY: list[str] = [*_CHANGES, *_TOWERS]
"""All model types that a tiny model can be made of."""


def config_of(family: str) -> PreTrainedConfig:
    """A tiny config of a family."""
    if family in _TOWERS:
        text, vision = _TOWERS[family]
        shape = {**SHAPE, **_CHANGES.get(text, {}), "model_type": text, **_TOWER_TEXTS.get(family, {})}
        config = CONFIG_MAPPING[family](text_config=shape, vision_config=dict(vision), tie_word_embeddings=False)
        config.architectures = [MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES[family]]
        return config
    return CONFIG_MAPPING[family](**{**SHAPE, **_CHANGES[family]})
