"""What each kind of artifact can show: the class with its frames, and what draws it.

They lie above the store, so that they stand here by name and are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

FRAMES = {
    "activations": "pasctl.activations.frames:Activations",
    "probes": "pasctl.probes.frames:Probes",
    "directions": "pasctl.directions.frames:Directions",
    "strengths": "pasctl.evaluation.frames:Strengths",
    "results": "pasctl.evaluation.frames:Results",
    "texts": "pasctl.evaluation.frames:Texts",
    "memory": "pasctl.memory.frames:Memory",
    "answers": "pasctl.memory.frames:Answers",
    "trials": "pasctl.memory.frames:Trials",
    "benchmarks": "pasctl.evaluation.frames:Benchmarks",
}
"""Kind -> the class of its artifacts; kinds without frames of their own are not there."""
PLOT = "pasctl.report.plot:plot"
"""The function that draws an artifact."""


def load(target: str) -> Any:
    """The class or function at "module:attribute"."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
