"""What each kind of artifact can show: its class with the frames it has, and what draws it.

They lie above the store, so that they stand here by name and are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pasctl.registry import Registry

if TYPE_CHECKING:
    from pasctl.store.manifest import Artifact

FRAMES = Registry(
    "kind of artifact",
    {
        "activations": "pasctl.activations.frames:Activations",
        "probes": "pasctl.probes.frames:Probes",
        "directions": "pasctl.directions.frames:Directions",
        "strengths": "pasctl.evaluation.frames:Strengths",
        "results": "pasctl.evaluation.frames:Results",
        "memory": "pasctl.memory.frames:Memory",
        "answers": "pasctl.memory.frames:Answers",
        "trials": "pasctl.memory.frames:Trials",
    },
)
VIEWS = Registry("view of an artifact", {"plot": "pasctl.report.plot:plot"})


def artifact_class(kind: str) -> type[Artifact]:
    """The class of artifacts of a kind; `Artifact` for kinds that have no frames of their own."""
    if kind in FRAMES.names():
        made: type[Artifact] = FRAMES.get(kind)
        return made
    from pasctl.store.manifest import Artifact

    return Artifact


def draw(artifact: Artifact) -> Any:
    """The matplotlib figure of an artifact."""
    return VIEWS.get("plot")(artifact)
