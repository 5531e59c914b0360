"""`pasctl run`: the options of the stages it runs, each once."""

from __future__ import annotations

from dataclasses import field, make_dataclass
from typing import TYPE_CHECKING, Any

from pasctl.commands.evaluate import Evaluate
from pasctl.commands.extract import Extract
from pasctl.commands.fit_directions import FitDirections
from pasctl.commands.train_probes import TrainProbes
from pasctl.commands.union import union
from pasctl.declaration import Declaration, StageDeclaration
from pasctl.option import Option

STAGES = (Extract, TrainProbes, FitDirections, Evaluate)
_INPUTS = ("model", "activations", "probes", "directions", "strengths", "export_log", "report")
_MODELS = Option(
    "A model; may be given several times.",
    flag="--model",
    short="-m",
    metavar="MODEL",
    env="PASCTL_MODEL",
    record="nowhere",
    required=True,
)

if TYPE_CHECKING:
    PipelineParams = Any
else:
    PipelineParams = make_dataclass(
        "PipelineParams",
        [
            ("models", tuple[str, ...], field(default=(), metadata={"option": _MODELS})),
            *union(STAGES, without=_INPUTS),
        ],
        bases=(Declaration,),
        namespace={
            "__doc__": "Run all stages for each model; what the store has is not computed again.",
            "command": "run",
            "action": "pasctl.stages.pipeline:plan",
            "panel": "Steering",
            "place": 0,
            "takes": StageDeclaration.takes,
            "examples": (
                "pasctl run --model demo --personas demo",
                "pasctl run --model Qwen/Qwen3-0.6B --model Qwen/Qwen3-1.7B --personas builtin:0-5",
            ),
        },
        frozen=True,
        kw_only=True,
    )
    PipelineParams.__module__ = __name__
