"""Write an intervention into the weights: o_proj biases that plain transformers loads."""

from __future__ import annotations

from pathlib import Path

import torch

from pasctl.errors import InputError
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import output_shift
from pasctl.steering.intervention import Intervention


def bake(model: LoadedModel, intervention: Intervention, folder: Path) -> None:
    """Save the steered model (positions "all") as a checkpoint: o_proj.bias = W_o d, tokenizer beside it.

    transformers knows a biased o_proj only together with biased q, k and v, so the config says `attention_bias`
    and zero q, k and v biases are written for all layers. Engines that ignore o_proj's bias serve the base model.

    Args:
        model: the loaded model; it is not changed.
        intervention: of one row.
        folder: where the checkpoint goes; made if missing.

    Raises:
        InputError: the family has no switch for an o_proj bias, or the intervention has several rows.
    """
    switch = model.adapter.bias_switch
    if switch is None:
        raise InputError(
            f"family {model.model.config.model_type} has no o_proj bias in transformers, so nothing can be baked in",
            hint="steer it at run time with `pasctl.steer`",
        )
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
        model.model.save_pretrained(folder, state_dict=state)
    finally:
        setattr(config, switch, before)
    model.tokenizer.save_pretrained(folder)
