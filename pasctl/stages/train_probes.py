"""activations + personas -> probes: how well each head tells a persona's answers apart."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pasctl.commands.train_probes import TrainProbes
from pasctl.inventory import (
    Inventory,
    Personas,
    default_personas,
    inventory_of,
    resolve_personas,
)
from pasctl.inventory.notes import Noted
from pasctl.probes import PROBES
from pasctl.probes.frames import SITES
from pasctl.probes.split import split_items
from pasctl.stages.fit_items import fit_columns, read_fit_items
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import of_model
from pasctl.stages.probe_level import FILE as LEVEL
from pasctl.stages.probe_level import permutation_level
from pasctl.stages.probe_shards import Training, train_shards, usable_personas
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_personas import PERSONAS, SHARD_PERSONAS, told_personas
from pasctl.stages.tiles import probe_memory

if TYPE_CHECKING:
    from pasctl.commands.shared import ModelLike


def plan(declared: TrainProbes, run: Run) -> Job:
    """Train one probe per persona, layer and head (PAS; design section 5)."""
    method = PROBES.canonical(declared.method)
    personas = declared.personas
    source = run.input(
        "activations",
        declared.activations,
        fits=_fitting(personas, declared.model),
        wanted=_wanted(personas, declared.model),
    )
    described = source.read_json("items.json")
    inventory = Inventory.from_json(described["inventory"])
    if personas is None:
        personas = default_personas(source.provenance.get("inventory") or inventory.name)
    notes = Noted(run.reporter.note)
    chosen = resolve_personas(personas, inventory, coding=declared.coding, note=notes, map_file=declared.map_file)
    columns = fit_columns(inventory, described)
    held_out = split_items([inventory.items[column].trait for column in columns], declared.validation, declared.seed)
    chosen = usable_personas(
        chosen, inventory, columns, held_out, leave_out=declared.leave_out_unusable, reporter=run.reporter
    )
    memory = probe_memory(source)
    tile = min(declared.tile or SHARD_PERSONAS, memory.tile(len(chosen), run.max_memory))
    return Job(
        stage=Stage.of(TrainProbes),
        model=source.model,
        label=chosen.label if chosen.coding == "agreement" else f"{chosen.label}-{chosen.coding}",
        params=declared.key(
            method=method,
            c=float(declared.c),
            validation=float(declared.validation),
            personas=chosen.digest,
            inventory=inventory.digest,
        ),
        inputs={"activations": source},
        identity=source.document["model"],
        numerics={"seed": declared.seed},
        compute=partial(_compute, activations=source, personas=chosen, declared=declared, tile=tile),
        provenance={
            "coding": chosen.coding,
            "model": source.provenance.get("model"),
            "personas": personas if isinstance(personas, str) else None,
            **notes.provenance(declared.map_file),
        },
        estimate=lambda: _estimate(described, chosen) | {"memory_bytes": memory.bytes_of(tile)},
    )


train_probes = function_of(TrainProbes)


def _compute(
    work: StageContext, *, activations: Artifact, personas: Personas, declared: TrainProbes, tile: int
) -> Payload:
    items = read_fit_items(activations)
    held_out = split_items(items.traits, float(declared.validation), declared.seed)
    ids = [items.inventory.items[column].id for column in items.columns]
    probe = PROBES.build(declared.method, c=float(declared.c))
    train_shards(work, personas, Training(items, held_out, probe, declared.weights, tile))
    layers, heads = items.head_outputs.shape[2:4]
    work.provenance["counts"] = {"probes": len(personas) * layers * heads}
    more: dict[str, Any] = {}
    geometry = activations.read_json("items.json")["geometry"]
    if "numbers" in geometry:
        more[SITES] = {"numbers": geometry["numbers"]}
    if declared.permutations and len(items.columns) > 1:
        more[LEVEL] = permutation_level(
            items,
            personas,
            c=float(declared.c),
            permutations=declared.permutations,
            seed=declared.seed,
            reporter=work.reporter,
        )
    return {
        **more,
        PERSONAS: told_personas(personas),
        "split.json": {
            "fit": [name for name, held in zip(ids, held_out, strict=True) if not held],
            "validation": [name for name, held in zip(ids, held_out, strict=True) if held],
        },
    }


def _fitting(personas: str | Personas | None, model: ModelLike | None) -> Any:
    """Activations of the right model and, where the personas tell it, of the right inventory."""
    inventory, right_model = _inventory_of(personas), of_model(model)

    def fits(artifact: Artifact) -> bool:
        return right_model(artifact) and (inventory is None or artifact.plain_label == inventory)

    return fits


def _wanted(personas: str | Personas | None, model: ModelLike | None) -> str:
    inventory = _inventory_of(personas)
    named = f"of {model}" if isinstance(model, str) else None
    return " ".join(filter(None, (named, inventory and f"for inventory {inventory}")))


def _inventory_of(personas: str | Personas | None) -> str | None:
    """The inventory's part of artifact names, where the personas tell it."""
    found = inventory_of(personas) if isinstance(personas, str) else None
    return found and found.partition(":")[0]


def _estimate(described: dict[str, Any], personas: Personas) -> dict[str, Any]:
    geometry = described["geometry"]
    return {
        "personas": len(personas),
        "probes": len(personas) * geometry["layers"] * geometry["heads"],
        "forward_tokens": 0,
    }
