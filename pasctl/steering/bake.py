"""Write an intervention into the weights: o_proj biases that plain transformers loads."""

from __future__ import annotations

from pathlib import Path

import torch

from pasctl.errors import InputError
from pasctl.models.adapters import Adapter
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import output_shift
from pasctl.steering.intervention import Intervention

SHARD_SIZE = "5GB"


def bake(model: LoadedModel, intervention: Intervention, folder: Path, *, max_shard_size: str = SHARD_SIZE) -> None:
    """Save the steered model (positions "all") as a checkpoint: o_proj.bias = W_o d, tokenizer beside it.

    transformers knows a biased o_proj only together with biased q, k and v, so the config says `attention_bias`
    and zero q, k and v biases are written for all layers. Engines that ignore o_proj's bias serve the base model.
    What is written are the model's own tensors, of which no more than a shard is copied at once.

    Args:
        model: the loaded model; it is not changed.
        intervention: of one row.
        folder: where the checkpoint goes; made if missing.
        max_shard_size: bound on a weight file, such as "5GB"; a larger model gets several.

    Raises:
        InputError: the family has no switch for an o_proj bias, or the intervention has several rows.
    """
    switch = bias_switch(model.adapter)
    if any(displacement.shape[0] != 1 for displacement in intervention.displacements.values()):
        raise InputError("an intervention with one displacement a row cannot be baked, expected one row")
    state = dict(model.model.state_dict())
    names = {module: name for name, module in model.model.named_modules()}
    for layer, o_proj in enumerate(model.outputs()):
        prefix = names[o_proj].removesuffix(model.adapter.output)
        for projection in ("q_proj", "k_proj", "v_proj", model.adapter.output):
            weight = state[f"{prefix}{projection}.weight"]
            state.setdefault(f"{prefix}{projection}.bias", torch.zeros(weight.shape[0], dtype=weight.dtype))
        if layer in intervention.displacements:
            bias = f"{prefix}{model.adapter.output}.bias"
            shift = output_shift(o_proj, intervention.displacements[layer])[0]
            state[bias] = state[bias].to(shift.device) + shift
    config = model.model.config
    before = getattr(config, switch)
    try:
        setattr(config, switch, True)
        model.model.save_pretrained(folder, state_dict=state, max_shard_size=max_shard_size)
    finally:
        setattr(config, switch, before)
    model.tokenizer.save_pretrained(folder)


def bias_switch(adapter: Adapter) -> str:
    """The attribute of a family's config that gives o_proj a bias.

    Raises:
        InputError: the family has none.
    """
    if adapter.bias_switch is None:
        raise InputError(
            f"family {adapter.family} has no o_proj bias in transformers, so nothing can be baked in",
            hint="steer it at run time with `pasctl.steer`",
        )
    return adapter.bias_switch
