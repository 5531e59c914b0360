"""`pasctl chat`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pasctl.commands.shared import OfModel, Seeded
from pasctl.commands.target import SteeringTarget
from pasctl.declaration import Declaration
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.option import group, option


@dataclass(frozen=True, kw_only=True)
class Chat(
    OfModel,
    Seeded,
    Declaration,
    command="chat",
    panel="Using a model",
    place=1,
    takes=("store", "batch_tokens", "max_memory", "json"),
    examples=("pasctl chat --model demo --persona E+", "pasctl chat --model Qwen/Qwen3-0.6B --memory diary"),
):
    """Chat with a model: /persona, /alpha, /memory, /compare, /save; /help lists all. Also reads lines from stdin."""

    steering: SteeringTarget = group(SteeringTarget, panel="Steering")
    memory: str | None = option(
        None, help="Remember the conversation under this name, and continue it.", metavar="NAME", panel="Memory"
    )
    system: str | None = option(None, help="System text.", metavar="TEXT")
    how: Mapping[str, Any] = group(SamplingParams, panel="Answers", partial=True)
    params: Mapping[str, Any] = group(
        MemoryParams,
        panel="Memory",
        partial=True,
        without=("gamma", "refine", "refine_layers", "contiguity", "positions", "representatives"),
    )
