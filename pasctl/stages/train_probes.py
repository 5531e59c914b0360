"""activations + personas -> probes: how well each head tells a persona's answers apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.inventory import (
    Inventory,
    Personas,
    default_personas,
    inventory_of,
    open_personas,
)
from pasctl.probes import PROBES
from pasctl.probes.split import split_items
from pasctl.stages.kept_personas import PERSONAS, SHARD_PERSONAS, told_personas
from pasctl.stages.model import of_model
from pasctl.stages.probe_shards import Training, train_shards, usable_personas
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.runner import (
    Artifact,
    Job,
    Outcome,
    Payload,
    Stage,
    Store,
    Work,
    find_input,
    open_store,
    run_job,
)
from pasctl.stages.tiles import probe_memory

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

STAGE = Stage("train-probes", "probes", version=1)


@dataclass(frozen=True)
class ProbeParams:
    """How probes are trained.

    Attributes:
        method: a name in `pasctl.probes.PROBES`.
        c: inverse strength of the L2 penalty, as in scikit-learn.
        validation: share of each trait's items held out to rank heads.
        weights: keep the probes' weights.
    """

    method: str = "logistic"
    c: float = 1.0
    validation: float = 0.25
    weights: bool = False


@dataclass(frozen=True, eq=False)
class FitItems:
    """The activations of an inventory's fit items, with what the maths needs.

    Attributes:
        head_outputs: [I, A, L, H, D].
        columns: int [I], the items' places in the inventory.
        pairs: (agree, disagree) answer columns.
    """

    inventory: Inventory
    head_outputs: Tensor
    columns: NDArray[np.int64]
    pairs: list[tuple[int, int]]

    @property
    def traits(self) -> list[str]:
        """The trait of each item."""
        return [self.inventory.items[column].trait for column in self.columns]


def train_probes(
    *,
    personas: str | Personas | None = None,
    activations: str | Artifact | None = None,
    method: str = "logistic",
    c: float = 1.0,
    validation: float = 0.25,
    weights: bool = False,
    coding: str = "auto",
    leave_out_unusable: bool = False,
    model: str | None = None,
    tile: int = SHARD_PERSONAS,
    max_memory: str | int | None = None,
    seed: int = 0,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Train one probe per persona, layer and head (PAS; design section 5).

    Args:
        personas: a spec such as "papi:FOLDER:0-20", "E+", "answers.json" or "many.parquet", or personas; None takes the
            inventory's own respondents. Those of a large .parquet file are read shard by shard.
        activations: which to read; None takes the latest that fits.
        method: a name in `pasctl.probes.PROBES`.
        c: inverse strength of the L2 penalty, as in scikit-learn.
        validation: share of each trait's items held out to rank heads.
        weights: keep the probes' weights in the artifact.
        coding: how a PAPI file's answers are stored: "auto" proves it, "keyed", "agreement", or "as-published".
        leave_out_unusable: go on without personas who have no answer other than 3 among the items to train on, or none
            among those to rank heads by; otherwise they are refused.
        model: take activations of this model only: folder, file, hub id, or its name in artifact names.
        tile: personas whose probes are trained at once, at most; it bounds memory and is not part of the key. A large
            set comes in shards of its own, which no tile exceeds.
        max_memory: what the run may take, such as "4GB": tiles are made to fit. None is no bound.
        seed: of the item split.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: a persona without usable answers, or personas of another inventory.
        MissingError: there are no activations that fit.
    """
    PROBES.check(method)
    params = ProbeParams(method, float(c), float(validation), weights)
    opened = open_store(store)
    source = find_input(
        opened, "activations", activations, fits=_fitting(personas, model), wanted=_wanted(personas, model)
    )
    described = source.read_json("items.json")
    inventory = Inventory.from_json(described["inventory"])
    if personas is None:
        personas = default_personas(source.provenance.get("inventory") or inventory.name)
    chosen = open_personas(personas, inventory, coding=coding) if isinstance(personas, str) else personas
    if chosen.n_items != len(inventory.items):
        raise InputError(
            f"personas {chosen.label} answer {chosen.n_items} items, {source.name} has {len(inventory.items)}"
        )
    columns = fit_columns(inventory, described)
    held_out = split_items([inventory.items[column].trait for column in columns], params.validation, seed)
    chosen = usable_personas(chosen, columns, held_out, leave_out=leave_out_unusable, reporter=reporter or Silent())
    memory = probe_memory(source)
    tile = min(tile, memory.tile(len(chosen), max_memory))
    job = Job(
        stage=STAGE,
        model=source.model,
        label=chosen.label if chosen.coding == "agreement" else f"{chosen.label}-{chosen.coding}",
        params={**asdict(params), "personas": chosen.digest, "inventory": inventory.digest},
        inputs={"activations": source},
        identity=source.document["model"],
        numerics={"seed": seed},
        compute=partial(_compute, activations=source, personas=chosen, params=params, seed=seed, tile=tile),
        provenance={"coding": chosen.coding, "model": source.provenance.get("model")},
        estimate=lambda: _estimate(described, chosen) | {"memory_bytes": memory.bytes_of(tile)},
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def fit_columns(inventory: Inventory, described: dict[str, Any]) -> NDArray[np.int64]:
    """The fit items that were extracted, as places in the inventory; report items are never fitted on."""
    import numpy as np

    return np.intersect1d(inventory.indices("fit"), np.array(described["rows"], np.int64))


def read_fit_items(activations: Artifact) -> FitItems:
    """Read activations and keep the fit items."""
    import numpy as np

    from pasctl.stages.extract import read_head_outputs

    values, described = read_head_outputs(activations)
    inventory = Inventory.from_json(described["inventory"])
    columns = fit_columns(inventory, described)
    kept = np.searchsorted(np.array(described["rows"], np.int64), columns)
    pairs = [(int(agree), int(disagree)) for agree, disagree in described["pairs"]]
    return FitItems(inventory, values[kept], columns, pairs)


def _compute(
    work: Work, *, activations: Artifact, personas: Personas, params: ProbeParams, seed: int, tile: int
) -> Payload:
    items = read_fit_items(activations)
    held_out = split_items(items.traits, params.validation, seed)
    ids = [items.inventory.items[column].id for column in items.columns]
    probe = PROBES.get(params.method)(c=params.c)
    train_shards(work, personas, Training(items, held_out, probe, params.weights, tile))
    layers, heads = items.head_outputs.shape[2:4]
    work.provenance["counts"] = {"probes": len(personas) * layers * heads}
    return {
        PERSONAS: told_personas(personas),
        "split.json": {
            "fit": [name for name, held in zip(ids, held_out, strict=True) if not held],
            "validation": [name for name, held in zip(ids, held_out, strict=True) if held],
        },
    }


def _fitting(personas: str | Personas | None, model: str | None) -> Any:
    """Activations of the right model and, where the personas tell it, of the right inventory."""
    inventory, right_model = _inventory_of(personas), of_model(model)

    def fits(artifact: Artifact) -> bool:
        return right_model(artifact) and (inventory is None or artifact.label == inventory)

    return fits


def _wanted(personas: str | Personas | None, model: str | None) -> str:
    inventory = _inventory_of(personas)
    return " ".join(filter(None, (model and f"of {model}", inventory and f"for inventory {inventory}")))


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
