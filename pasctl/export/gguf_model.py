"""A loaded model as a .gguf file, with biases of v_proj: config, tokenizer and tensors under llama.cpp's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.export.gguf_file import ARCHITECTURES, Biases, Pairs, Tensors, add_pairs, bias_name, finish, gguf_package
from pasctl.export.gguf_tokenizer import add_tokenizer
from pasctl.models.load import LoadedModel
from pasctl.steering.as_llama import has_window


def write_model(model: LoadedModel, biases: Biases, target: Path, pairs: Pairs | None = None) -> None:
    """Write a model in its own dtype, with biases of v_proj added in some layers; vectors are float32.

    Args:
        model: of a family in ARCHITECTURES.
        biases: what is added, by layer.
        target: where the file goes.
        pairs: metadata that is added.

    Raises:
        InputError: llama.cpp computes something else from such a config, or has no name for the tokenizer.
    """
    gguf = gguf_package()
    _require_plain(model)
    writer = gguf.GGUFWriter(target, ARCHITECTURES[model.adapter.family])
    pairs = pairs or {"general.name": model.source.repo or model.source.slug}
    _add_config(writer, model)
    add_pairs(writer, pairs)
    embedding: Any = model.model.get_input_embeddings()
    add_tokenizer(writer, model.tokenizer, int(embedding.weight.shape[0]))
    finish(writer, lambda: _tensors(model, biases))


def _require_plain(model: LoadedModel) -> None:
    """Refuse what llama.cpp would need more than a name for, or computes in one way only."""
    config, geometry = model.model.config, model.geometry
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type", "default") != "default":
        raise _refused(f"positions scaled by {rope['rope_type']}")
    if getattr(config, "use_sliding_window", False) or (model.adapter.as_llama and has_window(config.to_dict())):
        raise _refused("a sliding window")
    if not getattr(config, "norm_topk_prob", True):
        raise _refused("experts whose weights do not sum to 1")
    if model.adapter.family == "qwen2" and geometry.width != geometry.hidden:
        raise _refused(f"heads that are {geometry.width} wide together in a stream of {geometry.hidden}")


def _refused(what: str) -> InputError:
    return InputError(
        f"the model has {what}, which pasctl does not write to a .gguf file",
        hint="convert the model with llama.cpp's convert_hf_to_gguf.py, and fit directions of that file",
    )


def _add_config(writer: Any, model: LoadedModel) -> None:
    config, geometry = model.model.config, model.geometry
    writer.add_block_count(geometry.layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(geometry.hidden)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(geometry.heads)
    writer.add_head_count_kv(geometry.kv_heads)
    writer.add_key_length(geometry.head_dim)
    writer.add_value_length(geometry.head_dim)
    writer.add_rope_dimension_count(geometry.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(float((getattr(config, "rope_parameters", None) or {}).get("rope_theta", 10000.0)))
    writer.add_vocab_size(config.vocab_size)
    if model.adapter.family == "qwen3_moe":
        writer.add_expert_count(config.num_experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def _tensors(model: LoadedModel, biases: Biases) -> Tensors:
    """The model's tensors and the biases, in numpy's hands one at a time."""
    gguf, geometry = gguf_package(), model.geometry
    architecture = next(
        each for each, name in gguf.MODEL_ARCH_NAMES.items() if name == ARCHITECTURES[model.adapter.family]
    )
    names = gguf.get_tensor_name_map(architecture, geometry.layers)
    added = {bias_name(layer): torch.from_numpy(bias) for layer, bias in biases.items()}
    for theirs, tensor in _named(model):
        name = names.get_name(theirs, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise InputError(f"llama.cpp has no name for {theirs}", hint="export the model for another engine")
        if ARCHITECTURES[model.adapter.family] == "llama" and (".q_proj." in theirs or ".k_proj." in theirs):
            tensor = _paired(tensor, geometry.heads if ".q_proj." in theirs else geometry.kv_heads)
        if name in added:
            tensor = tensor.float().cpu() + added.pop(name)
        yield name, *_data(gguf, name, tensor)
    for name, tensor in added.items():
        yield name, *_data(gguf, name, tensor)


def _named(model: LoadedModel) -> list[tuple[str, Tensor]]:
    """Tensors by transformers' names; the experts' are cut into gate and up, as llama.cpp keeps them."""
    found: list[tuple[str, Tensor]] = []
    for name, tensor in model.model.state_dict().items():
        if name == "lm_head.weight" and model.model.config.tie_word_embeddings:
            continue
        if name.endswith("experts.gate_up_proj"):
            gate, up = tensor.chunk(2, dim=1)  # [experts, 2 * width, hidden]
            stem = name.removesuffix("gate_up_proj")
            found += [(f"{stem}gate_proj.weight", gate), (f"{stem}up_proj.weight", up)]
        elif name.endswith("experts.down_proj"):
            found.append((f"{name}.weight", tensor))
        else:
            found.append((name, tensor))
    return found


def _paired(tensor: Tensor, heads: int) -> Tensor:
    """Rows of q or k in llama.cpp's order for this family: it rotates neighbours, transformers the halves of a head."""
    halves = tensor.view(heads, 2, -1, *tensor.shape[1:])
    return halves.transpose(1, 2).reshape(tensor.shape)


def _data(gguf: Any, name: str, tensor: Tensor) -> tuple[Any, Any]:
    """A tensor's numbers and their type; vectors and routers are float32 whatever the model is in."""
    kinds = gguf.GGMLQuantizationType
    tensor = tensor.detach().cpu().contiguous()
    if tensor.ndim == 1 or name.endswith("ffn_gate_inp.weight") or tensor.dtype == torch.float32:
        return tensor.float().numpy(), kinds.F32
    if tensor.dtype == torch.float16:
        return tensor.numpy(), kinds.F16
    return tensor.view(torch.int16).numpy(), kinds.BF16
