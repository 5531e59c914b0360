"""Write an intervention into the weights: biases of o_proj or v_proj, in a checkpoint that plain transformers loads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pasctl.errors import InputError
from pasctl.models.adapters import Adapter
from pasctl.models.geometry import Geometry
from pasctl.models.load import LoadedModel
from pasctl.models.projection import output_shift
from pasctl.models.sites import HEADS
from pasctl.steering.as_llama import llama_config
from pasctl.steering.intervention import Intervention

SHARD_SIZE = "5GB"
_LLAMA_SWITCH = "attention_bias"


def bake(model: LoadedModel, intervention: Intervention, folder: Path, *, max_shard_size: str = SHARD_SIZE) -> None:
    """Save the steered model (positions "all") as a checkpoint: o_proj.bias = W_o d, tokenizer beside it.

    transformers knows a biased o_proj only together with biased q, k and v, so the config says `attention_bias`
    and zero q, k and v biases are written for all layers. Engines that ignore o_proj's bias serve the base model.
    What is written are the model's own tensors, of which no more than a shard is copied at once. A Mistral or Qwen2
    is written as a Llama.

    Args:
        model: the loaded model; it is not changed.
        intervention: of one row.
        folder: where the checkpoint goes; made if missing.
        max_shard_size: bound on a weight file, such as "5GB"; a larger model gets several.

    Raises:
        InputError: the family has no switch for an o_proj bias, a Mistral or Qwen2 has a sliding window, or the
            intervention has several rows.
    """
    switch = bias_switch(model.adapter)
    as_llama = llama_config(model.model.config) if model.adapter.as_llama else None

    def shift(o_proj: nn.Module, displacement: Tensor) -> Tensor:
        return output_shift(o_proj, displacement)[0]

    state = _biased(model, intervention, None, shift, everywhere=True)
    _save(model, state, switch, folder, max_shard_size, as_llama)


def bake_values(
    model: LoadedModel, intervention: Intervention, folder: Path, *, max_shard_size: str = SHARD_SIZE
) -> None:
    """Save the steered model (positions "all") as a checkpoint: v_proj.bias = d of each key-value group.

    Attention weights sum to 1, so this is exact where all heads of a group are displaced alike; see
    `pasctl.directions.groups`. An o_proj bias that comes with the family's switch is zero, so an engine that drops it
    loses nothing.

    Args:
        model: the loaded model; it is not changed.
        intervention: of one row.
        folder: where the checkpoint goes; made if missing.
        max_shard_size: bound on a weight file, such as "5GB"; a larger model gets several.

    Raises:
        InputError: the family has no v_proj bias, the heads of a group are displaced differently, or the intervention
            has several rows.
    """
    switch = value_bias_switch(model.adapter)
    as_llama = llama_config(model.model.config) if switch and model.adapter.as_llama else None

    def shift(o_proj: nn.Module, displacement: Tensor) -> Tensor:
        return value_shift(displacement, model.geometry)

    state = _biased(model, intervention, "v_proj", shift, everywhere=switch is not None)
    _save(model, state, switch, folder, max_shard_size, as_llama)


def value_shift(displacement: Tensor, geometry: Geometry) -> Tensor:
    """What the values of the key-value groups are displaced by, [G*D], where each head is displaced by [1, H*D].

    Raises:
        InputError: heads of a group are displaced differently.
    """
    by_group = displacement.view(geometry.kv_heads, -1, geometry.head_dim)
    shared: Tensor = by_group[:, 0]
    if not torch.equal(by_group, shared[:, None].expand_as(by_group)):
        raise InputError(
            "heads that share a key-value group are displaced differently, which no bias of v_proj does",
            hint="fit directions with --granularity kv-group",
        )
    return shared.flatten()


def bias_switch(adapter: Adapter) -> str:
    """The attribute of a family's config that gives o_proj a bias; of the Llama that it is written as, if it has none.

    Raises:
        InputError: the family has none.
    """
    if adapter.as_llama:
        return _LLAMA_SWITCH
    if adapter.bias_switch is None:
        raise InputError(
            f"family {adapter.family} has no o_proj bias in transformers, so nothing can be baked in",
            hint="steer it at run time with `pasctl.steer`",
        )
    return adapter.bias_switch


def value_bias_switch(adapter: Adapter) -> str | None:
    """The attribute of a family's config that gives v_proj a bias; None where it always has one.

    Raises:
        InputError: the family has neither, or such a bias would not be exact.
    """
    if not adapter.exact_values:
        raise InputError(
            f"a bias of v_proj is not what steers a {adapter.family} model: its attention has sinks or an output gate",
            hint="export it for another engine, or steer it at run time with `pasctl.steer`",
        )
    if adapter.as_llama and not adapter.biased_values:
        return _LLAMA_SWITCH
    if adapter.bias_switch is None and not adapter.biased_values:
        raise InputError(
            f"family {adapter.family} has no v_proj bias in transformers, so nothing can be baked in",
            hint="steer it at run time with `pasctl.steer`",
        )
    return adapter.bias_switch


def _biased(
    model: LoadedModel,
    intervention: Intervention,
    carrier: str | None,
    shift: Callable[[nn.Module, Tensor], Tensor],
    *,
    everywhere: bool,
) -> dict[str, Tensor]:
    """The model's tensors, with shift(o_proj, displacement) added to the bias of `carrier`, or of o_proj itself.

    Where the config's switch gives biases to all projections of the attention `everywhere`, each has one, zero where
    there was none.
    """
    if intervention.kind != HEADS:
        raise InputError(f"biases carry displacements of {HEADS}, found {intervention.kind}")
    if any(displacement.shape[0] != 1 for displacement in intervention.displacements.values()):
        raise InputError("an intervention with one displacement a row cannot be baked, expected one row")
    state = dict(model.model.state_dict())
    names = {module: name for name, module in model.model.named_modules()}
    for layer, o_proj in enumerate(model.outputs()):
        prefix, _, output = names[o_proj].rpartition(".")
        for projection in ("q_proj", "k_proj", "v_proj", output) if everywhere else ():
            weight = state[f"{prefix}.{projection}.weight"]
            state.setdefault(f"{prefix}.{projection}.bias", torch.zeros(weight.shape[0], dtype=weight.dtype))
        if layer in intervention.displacements:
            bias = f"{prefix}.{carrier or output}.bias"
            moved = shift(o_proj, intervention.displacements[layer])
            state[bias] = state[bias] + moved.to(device=state[bias].device, dtype=state[bias].dtype)
    return state


def _save(
    model: LoadedModel, state: dict[str, Tensor], switch: str | None, folder: Path, shard_size: str, as_llama: Any
) -> None:
    """Write tensors, config and tokenizer; the model's config is as it was when this ends."""
    if as_llama is not None:
        model.model.save_pretrained(folder, state_dict=state, max_shard_size=shard_size)
        as_llama.save_pretrained(folder)  # in the place of the model's own config.json
        model.tokenizer.save_pretrained(folder)
        return
    config = model.config
    before = getattr(config, switch) if switch else None
    try:
        if switch:
            setattr(config, switch, True)
        model.model.save_pretrained(folder, state_dict=state, max_shard_size=shard_size)
    finally:
        if switch:
            setattr(config, switch, before)
    model.tokenizer.save_pretrained(folder)
