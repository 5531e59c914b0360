"""The demo model's shape, and its attention under the masks of training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, Qwen3Config, Qwen3ForCausalLM

from pasctl.demo import CONTEXT
from tests.demo.builder.batches import Batch

_ATTENTION = "pasctl_demo_training"


def demo_config(tokenizer: Any, *, hidden: int = 128, layers: int = 4) -> Qwen3Config:
    """A Qwen3 of about a million parameters: 4 query heads of 64 (256 is not the hidden size), 2 key-value heads."""
    return Qwen3Config(
        vocab_size=-(-len(tokenizer) // 64) * 64,
        hidden_size=hidden,
        intermediate_size=hidden * 5 // 2,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=CONTEXT,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
        initializer_range=0.02,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_model(config: Qwen3Config, seed: int) -> Qwen3ForCausalLM:
    """A model with random weights, in float32; torch's own generator is left alone."""
    AttentionInterface.register(_ATTENTION, _masked_attention)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return empty_model(config, _ATTENTION)


def empty_model(config: Qwen3Config, attention: str = "sdpa", dtype: torch.dtype = torch.float32) -> Qwen3ForCausalLM:
    """A model of a config, whatever its weights."""
    make: Any = Qwen3ForCausalLM._from_config
    model: Qwen3ForCausalLM = make(config, dtype=dtype, attn_implementation=attention)
    return model


def hidden_states(model: Qwen3ForCausalLM, batch: Batch) -> Tensor:
    """Last hidden states [B, T, hidden] of a batch under its masks."""
    out: Any = model.model(
        input_ids=batch.ids,
        position_ids=batch.positions,
        use_cache=False,
        early_mask=batch.early,
        late_mask=batch.late,
    )
    hidden: Tensor = out.last_hidden_state
    return hidden


def _masked_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    early_mask: Tensor | None = None,
    late_mask: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention [B, H, T, D] under the mask of the module's layer -> [B, T, H, D]."""
    own: Any = module
    mask = early_mask if own.layer_idx < own.config.num_hidden_layers // 2 else late_mask
    groups = query.shape[1] // key.shape[1]
    query, key = query.to(value.dtype), key.to(value.dtype)  # under autocast the rotation leaves them in float32
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling, is_causal=mask is None)
    return mixed.transpose(1, 2).contiguous(), None
