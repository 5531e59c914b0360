"""A checkpoint of anybody's -> whether it is steered, to whom, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pasctl.commands.inspect import Inspect
from pasctl.errors import InputError, MissingError
from pasctl.models.hub import fetch_snapshot
from pasctl.models.identity import resolve_model
from pasctl.models.sites import HEADS
from pasctl.stages.granularity import site_of
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DirectionSet
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.text_file import expand_home

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.export.inspection import Inspection
    from pasctl.export.tensor_files import TensorFiles

MOST = 1024
"""Personas that a file is compared with; of more, only the one that it names."""


def inspect(declared: Inspect, run: Run) -> Inspection:
    """Read what a file says of itself and what its bytes have; nothing is loaded as a model.

    Raises:
        InputError: neither a model folder nor a .gguf file, a damaged one, or a base or directions of another model.
        MissingError: there is no such file, base or directions.
    """
    from pasctl.export.inspection import inspect_files, match_personas
    from pasctl.export.tensor_files import TensorFiles

    path = expand_home(declared.file)
    base = None if declared.base is None else _place(declared.base)
    found, shifts = inspect_files(path, base)
    directions = _directions(declared, run, found)
    if directions is None or not shifts:
        return found
    weights = TensorFiles.of(path if found.kind != "vector" or base is None else base)
    carrier = found.origin.carrier if found.origin and found.origin.carrier in shifts else next(iter(shifts))
    if carrier == "vector" and weights.kind == "vector":
        run.reporter.note(f"{path} has no weights, so {directions.name} cannot be compared: --base gives them")
        return found
    known = _units(directions, weights, carrier, found.origin.persona if found.origin else None)
    has = shifts[carrier] if carrier == "vector" else None  # a format may have no place for the first layer
    units = {who: {layer: row for layer, row in by.items() if has is None or layer in has} for who, by in known.items()}
    return replace(found, matches=tuple(match_personas({carrier: shifts[carrier]}, units)))


inspect_checkpoint = function_of(Inspect)


def _place(model: str) -> Path:
    """Where a model's files are."""
    source = resolve_model(model)
    if source.repo and source.sha:
        return fetch_snapshot(source.repo, source.sha)
    if source.path is None:
        raise MissingError(f"base {model} has no files here", hint="give a folder, a .gguf file, or a hub id")
    return source.path


def _directions(declared: Inspect, run: Run, found: Inspection) -> Artifact | None:
    """The directions to compare with: those given, or those that the file names, where the store has them."""
    if declared.directions is not None:
        return run.input("directions", declared.directions)
    if found.origin is None or not found.origin.directions_key:
        return None
    with suppress(MissingError, InputError):
        return run.store.lookup(found.origin.directions_key)
    return None


def _units(directions: Artifact, weights: TensorFiles, carrier: str, said: str | None) -> dict[str, dict[int, Tensor]]:
    """Personas' shifts at alpha 1 as a carrier has them: W_o d of o_proj and vectors, d of a group's values.

    Raises:
        InputError: directions of other sites, of single heads for values, or of another model.
    """
    if site_of(directions) != HEADS:
        raise InputError(f"{directions.name} is of {site_of(directions)}, a checkpoint carries shifts of {HEADS}")
    stored = StoredPersonas.of(directions)
    row = None if said is None else stored.find(said)
    rows = None
    if len(stored) > MOST:
        if row is None:
            raise InputError(
                f"{directions.name} has {len(stored):,} personas, expected at most {MOST:,} to compare with",
                hint="name directions of fewer personas",
            )
        rows = np.array([row])
    known = DirectionSet.read(directions, rows)
    return {persona: _unit(known, place, weights, carrier) for place, persona in enumerate(known.personas.ids)}


def _unit(known: DirectionSet, place: int, weights: TensorFiles, carrier: str) -> dict[int, Tensor]:
    import torch

    by_head: dict[int, dict[int, Tensor]] = {}
    for (layer, head), theta, sigma in zip(
        known.heads[place].tolist(), known.theta[place], known.sigma[place], strict=True
    ):
        by_head.setdefault(layer, {})[head] = torch.from_numpy(float(sigma) * theta)
    return {layer: _shift(heads, weights, carrier, layer, known.size) for layer, heads in by_head.items()}


def _shift(heads: Mapping[int, Tensor], weights: TensorFiles, carrier: str, layer: int, size: int) -> Tensor:
    """What a layer's heads [D], by number, are in a carrier."""
    import torch

    values = carrier == "v_proj.bias"
    projection, width = (
        weights.slot(layer, "v_proj.weight" if values else "o_proj.weight"),
        len(next(iter(heads.values()))),
    )
    if projection is None:
        raise InputError(f"{weights.path} has no attention projection in layer {layer}", hint="give its --base")
    if values and size == 1:
        raise InputError(
            "a bias of v_proj is compared with directions of key-value groups, found those of single heads",
            hint="give the directions that it was made from",
        )
    row = torch.zeros(projection.shape[0] if values else projection.shape[1])
    for head, delta in heads.items():
        at = head // size if values else head
        if (at + 1) * width > len(row):
            raise InputError(
                f"{weights.path} has {len(row)} values in layer {layer}, no head {head} of {width}",
                hint="give directions of this model",
            )
        row[at * width : (at + 1) * width] = delta
    return row if values else projection @ row
