"""`pasctl serve`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pasctl.commands.shared import OfModel
from pasctl.commands.target import SteeringTarget
from pasctl.declaration import Declaration
from pasctl.option import group, option
from pasctl.serving.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Serve(
    OfModel,
    Declaration,
    command="serve",
    panel="Using a model",
    place=2,
    takes=("store", "max_memory", "json"),
    examples=(
        "pasctl serve --model demo --directions latest",
        "pasctl serve --model Qwen/Qwen3-0.6B --memory memory/qwen3-0.6b/report --port 8080",
    ),
):
    """Serve a model to OpenAI's clients; each request may name a persona and a memory. Ctrl-C or SIGTERM stops it."""

    directions: Sequence[str] = option(
        (),
        help="Directions whose personas can be named by id, as model+id too. May be given several times.",
        metavar="REF",
        panel="Steering",
    )
    memory: Sequence[str] = option((), help="Open this memory at once. May be given several times.", metavar="REF")
    steering: SteeringTarget = group(SteeringTarget, panel="Steering", without=("directions", "persona"))
    settings: Settings = group(Settings, panel="Server")
