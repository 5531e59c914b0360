"""Interventions on attention heads: what to add, hooks that add it, and a checkpoint that has it built in."""

from pasctl.steering.bake import bake
from pasctl.steering.hooks import POSITIONS, steer
from pasctl.steering.intervention import Intervention

__all__ = ["POSITIONS", "Intervention", "bake", "steer"]
