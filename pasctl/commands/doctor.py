"""`pasctl doctor`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.declaration import Declaration
from pasctl.models.options import ModelOptions
from pasctl.option import group, option


@dataclass(frozen=True, kw_only=True)
class Doctor(
    Declaration,
    command="doctor",
    action="pasctl.stages.doctor:plan",
    panel="Data and store",
    place=31,
    takes=("store", "max_memory", "json"),
    examples=("pasctl doctor", "pasctl doctor --model Qwen/Qwen3-0.6B"),
):
    """Check versions, device, store, disk and hub; with --model also the model."""

    model: str | None = option(None, help="Also load this model, check it and steer it.", short="-m", metavar="MODEL")
    options: ModelOptions = group(ModelOptions, panel="Model")
