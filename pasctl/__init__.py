"""Steer a language model's personality, with every result kept in a store.

The names a notebook needs; each is loaded when first used, so that `import pasctl` is quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pasctl.errors import PasctlError
from pasctl.version import __version__

if TYPE_CHECKING:
    from pasctl.commands.run import PipelineParams
    from pasctl.commands.target import SteeringTarget
    from pasctl.generation.engine import Engine
    from pasctl.generation.request import Request
    from pasctl.generation.sampling_params import Decoding, SamplingParams
    from pasctl.generation.structure import Structure
    from pasctl.generation.token_rules import TokenRules
    from pasctl.inventory import Inventory, PersonaSet, load_inventory, load_personas
    from pasctl.memory.dropin import remember
    from pasctl.memory.em_llm import patch, unpatch
    from pasctl.memory.params import MemoryParams
    from pasctl.models.load import LoadedModel, load_model
    from pasctl.models.options import ModelOptions
    from pasctl.stages.bench_tasks import bench_tasks
    from pasctl.stages.choose_alpha import choose_alpha
    from pasctl.stages.evaluate import evaluate
    from pasctl.stages.export import check_export, export_model
    from pasctl.stages.extract import extract
    from pasctl.stages.fit_directions import fit_directions
    from pasctl.stages.import_vector import import_vector
    from pasctl.stages.inspect import inspect_checkpoint
    from pasctl.stages.memory import memory_run, open_memory
    from pasctl.stages.memory_ask import memory_ask
    from pasctl.stages.memory_eval import TrialPlan, memory_eval
    from pasctl.stages.pipeline import run
    from pasctl.stages.run import Run
    from pasctl.stages.say import say
    from pasctl.stages.stored_memory import EpisodicMemory
    from pasctl.stages.target import Steering, intervention
    from pasctl.stages.text import Text
    from pasctl.stages.train_probes import train_probes
    from pasctl.steering import Intervention, bake, steer
    from pasctl.store import Store

_HOMES = {  # beside the functions of commands, whose declarations name them
    "Decoding": "pasctl.generation.sampling_params",
    "Engine": "pasctl.generation.engine",
    "EpisodicMemory": "pasctl.stages.stored_memory",
    "Intervention": "pasctl.steering",
    "Inventory": "pasctl.inventory",
    "LoadedModel": "pasctl.models.load",
    "MemoryParams": "pasctl.memory.params",
    "ModelOptions": "pasctl.models.options",
    "PersonaSet": "pasctl.inventory",
    "PipelineParams": "pasctl.commands.run",
    "Request": "pasctl.generation.request",
    "Run": "pasctl.stages.run",
    "SamplingParams": "pasctl.generation.sampling_params",
    "Steering": "pasctl.stages.target",
    "SteeringTarget": "pasctl.commands.target",
    "Store": "pasctl.store",
    "Structure": "pasctl.generation.structure",
    "Text": "pasctl.stages.text",
    "TokenRules": "pasctl.generation.token_rules",
    "TrialPlan": "pasctl.stages.memory_eval",
    "bake": "pasctl.steering",
    "intervention": "pasctl.stages.target",
    "load_inventory": "pasctl.inventory",
    "load_model": "pasctl.models.load",
    "load_personas": "pasctl.inventory",
    "open_memory": "pasctl.stages.memory",
    "patch": "pasctl.memory.em_llm",
    "remember": "pasctl.memory.dropin",
    "run": "pasctl.stages.pipeline",
    "steer": "pasctl.steering",
    "unpatch": "pasctl.memory.em_llm",
}

__all__ = [  # those of _HOMES, and the functions of commands
    "Decoding",
    "Engine",
    "EpisodicMemory",
    "Intervention",
    "Inventory",
    "LoadedModel",
    "MemoryParams",
    "ModelOptions",
    "PasctlError",
    "PersonaSet",
    "PipelineParams",
    "Request",
    "Run",
    "SamplingParams",
    "Steering",
    "SteeringTarget",
    "Store",
    "Structure",
    "Text",
    "TokenRules",
    "TrialPlan",
    "__version__",
    "bake",
    "bench_tasks",
    "check_export",
    "choose_alpha",
    "evaluate",
    "export_model",
    "extract",
    "fit_directions",
    "import_vector",
    "inspect_checkpoint",
    "intervention",
    "load_inventory",
    "load_model",
    "load_personas",
    "memory_ask",
    "memory_eval",
    "memory_run",
    "open_memory",
    "patch",
    "remember",
    "run",
    "say",
    "steer",
    "train_probes",
    "unpatch",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    home = _HOMES.get(name) or _home_of_function(name)
    if home is None:
        raise AttributeError(f"module 'pasctl' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def _home_of_function(name: str) -> str | None:
    """The module of a command's Python function, where a declaration gives it that name."""
    if name.startswith("_"):
        return None
    from pasctl.commands import declarations

    return next((each.action.partition(":")[0] for each in declarations() if each.function == name), None)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
