"""Stores with directions of a tiny model that are drawn instead of fitted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pasctl.directions.groups import members
from pasctl.inventory import PersonaSet
from pasctl.models.options import ModelOptions
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, open_store, run_job
from tests.tiny import HEAD_DIM, HEADS, LAYERS, save_tiny

PERSONAS = ("ada", "E+")
ALPHA = 2.0


def plant(
    folder: Path, family: str = "qwen3", *, dtype: str = "float32", granularity: str = "head"
) -> tuple[Path, Path]:
    """A model folder of `family` and a store with directions of it for PERSONAS, in layers 0 and 2.

    Returns:
        The model and the store.
    """
    model, store = save_tiny(folder / f"tiny-{family}", family), folder / "store"
    plant_directions(store, ModelHandle(str(model), ModelOptions(dtype=dtype)), granularity=granularity)
    return model, store


def plant_directions(
    store: Path,
    handle: ModelHandle,
    *,
    head_dim: int = HEAD_DIM,
    sigma: float = 1.0,
    granularity: str = "head",
    names: Sequence[str] = PERSONAS,
) -> Artifact:
    """Directions of a model in heads, or groups of three heads, of layers 0 and 2, all of one sigma."""
    rng = np.random.default_rng(5)
    units = np.array([[0, 1], [2, 0], [2, HEADS - 1]], np.int64)
    assert units[:, 0].max() < LAYERS
    size = 1 if granularity == "head" else 3
    units[:, 1] //= size
    heads = members(units[None], size)[0]
    theta = rng.standard_normal((len(names), len(units), head_dim)).astype(np.float32)
    theta = np.repeat(theta / np.linalg.norm(theta, axis=-1, keepdims=True), size, axis=1)
    sigmas = np.full((len(names), len(heads)), sigma, np.float32)

    def compute(work: StageContext) -> Payload:
        return {
            "directions.safetensors": {"heads": np.stack([heads] * len(names)), "theta": theta, "sigma": sigmas},
            "personas.json": PersonaSet("made", tuple(names), np.full((len(names), 4), 4.0)).to_json(),
            "items.json": {"geometry": {"heads": 3, "kv_heads": 1}},
        }

    made = run_job(
        open_store(store),
        Job(
            stage=Stage("fit-directions", "directions", 2),
            model=handle.slug,
            label="made",
            params={"sigma": sigma, **({"granularity": granularity} if size > 1 else {})},
            inputs={},
            identity=handle.identity,
            numerics={"seed": 0},
            compute=compute,
            provenance={"model": handle.provenance()},
        ),
    ).artifact
    assert made is not None
    return made
