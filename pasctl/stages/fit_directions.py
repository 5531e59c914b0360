"""activations + probes -> directions: which heads to shift, where to, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pasctl.commands.fit_directions import FitDirections
from pasctl.directions import DIRECTIONS
from pasctl.errors import InputError
from pasctl.evaluation.alphas import parse_alphas
from pasctl.inventory import Inventory, chosen_inventory
from pasctl.stages.direction_shards import Fitting, fit_shards
from pasctl.stages.fit_contrast import TRAITS, contrast_activations, plan_contrast
from pasctl.stages.fit_items import read_fit_items
from pasctl.stages.granularity import heads_a_unit
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import of_model
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import Artifact
from pasctl.stages.selector import Selector, held_out
from pasctl.stages.stored_personas import PERSONAS, SHARD_PERSONAS, StoredPersonas
from pasctl.stages.tiles import direction_memory

DEFAULT_TOP_K = 24  # the paper's
DEFAULT_METHOD = "mass-mean"
DEFAULT_CENTERS = {"default": "letters", "paper": "none"}
_SELECTION = "selection.json"


def heads_or_groups(top_k: int | None, granularity: str, geometry: Mapping[str, int]) -> int:
    """How many heads, or key-value groups, each persona gets: 24 heads or as many groups as hold them by default.

    Raises:
        InputError: more than the model has.
    """
    size = heads_a_unit(granularity, geometry)
    available, what = geometry["layers"] * geometry["heads"] // size, "heads" if size == 1 else "key-value groups"
    count = min(-(-DEFAULT_TOP_K // size), available) if top_k is None else top_k
    if not 1 <= count <= available:
        raise InputError(f"top-k is {count}, expected 1 to {available}, the {what} of the model")
    return count


def plan(declared: FitDirections, run: Run) -> Job:
    """Fit theta and sigma of every persona's best heads (PAS; design section 5), or combine those of a contrast."""
    if (contrast := contrast_activations(declared, run)) is not None:
        return plan_contrast(declared, run, contrast)
    return _plan_answers(declared, run)


def _require_labels(declared: FitDirections, source: Artifact) -> None:
    """Refuse other option labels than the answers' that directions are fitted on."""
    inventory = Inventory.from_json(source.read_json("items.json")["inventory"])
    if chosen_inventory(inventory, declared.option_labels).option_labels != inventory.option_labels:
        raise InputError(
            f"--option-labels {declared.option_labels}: the answers of {source.name} are {inventory.option_labels}",
            hint=f"read others first: pasctl extract --option-labels {declared.option_labels}",
        )


def _plan_answers(declared: FitDirections, run: Run) -> Job:
    """Directions fitted on each persona's own answers, and on these shuffled."""
    if declared.personas is not None:
        raise InputError(
            "personas of answers come with their probes, expected no --personas here",
            hint="give it to train-probes; or extract a contrast first: pasctl extract --contrast big5",
        )
    if declared.remove != "none":
        raise InputError(
            f"--remove {declared.remove} is for directions of traits, found activations of answers",
            hint="leave it out, or extract a contrast first: pasctl extract --contrast big5",
        )
    if declared.method == TRAITS:
        raise InputError(
            "method traits combines a contrast's directions, found activations of answers",
            hint="extract a contrast first: pasctl extract --contrast big5",
        )
    method = DIRECTIONS.canonical(declared.method or DEFAULT_METHOD)
    if declared.select == "steering" and declared.top_k is not None:
        raise InputError("selection by steering chooses how many heads there are, expected no top-k with it")
    model = declared.model
    scored = run.input(
        "probes", declared.probes, fits=of_model(model), wanted=f"of {model}" if isinstance(model, str) else ""
    )
    source = run.input("activations", declared.activations or scored.inputs["activations"].key)
    if source.document["model"] != scored.document["model"]:
        raise InputError(f"{source.name} and {scored.name} are of different models")
    if source.params["inventory"] != scored.params["inventory"]:
        raise InputError(f"{source.name} and {scored.name} are of different inventories")
    _require_labels(declared, source)
    geometry = source.read_json("items.json")["geometry"]
    count = heads_or_groups(declared.top_k, declared.granularity, geometry)
    numerics: dict[str, Any] = {"seed": declared.seed}
    center = declared.center or DEFAULT_CENTERS[declared.recipe]
    key = declared.key(omit=("alphas", "positions"), method=method, top_k=count, center=center)
    selector: Selector | None = None
    if declared.select == "steering":
        selector = _selector(declared, run, scored, geometry)
        key, numerics = (
            declared.key(method=method, top_k=count, center=center, **selector.params),
            selector.handle.numerics(declared.seed),
        )
    memory = direction_memory(source)
    tile = min(declared.tile or SHARD_PERSONAS, memory.tile(len(StoredPersonas.of(scored)), run.max_memory))
    fit = Fit(source, scored, declared, method, center, count, selector, tile)
    return Job(
        stage=Stage.of(FitDirections),
        model=scored.model,
        label=scored.label,
        params=key,
        inputs={"activations": source, "probes": scored},
        identity=scored.document["model"],
        numerics=numerics,
        compute=fit.compute,
        provenance={"coding": scored.provenance.get("coding"), "model": source.provenance.get("model")},
        estimate=lambda: fit.estimate(memory.bytes_of(tile)),
    )


fit_directions = function_of(FitDirections)


def _selector(declared: FitDirections, run: Run, scored: Artifact, geometry: Mapping[str, int]) -> Selector:
    """What selects by steering; a name in artifact names says which model, but not where it is."""
    given = None if declared.model == scored.model else declared.model
    tried = tuple(alpha for alpha in parse_alphas(declared.alphas) if alpha)
    size = heads_a_unit(declared.granularity, geometry)
    handle = run.model_of(scored, given, declared.options)
    return Selector(handle, tried, declared.positions or "all", run.batch_tokens, size)


@dataclass(frozen=True, eq=False)
class Fit:
    """Everything that fitting needs.

    Attributes:
        activations: of the fit items.
        probes: that rank heads, and whose validation items a selector asks.
        declared: how directions are fitted.
        method: of the directions.
        center: of the directions.
        top_k: heads, or key-value groups, per persona.
        selector: selects heads by steering; None takes those of best probe.
        tile: peak number of personas at once.
    """

    activations: Artifact
    probes: Artifact
    declared: FitDirections
    method: str
    center: str
    top_k: int
    selector: Selector | None
    tile: int

    def estimate(self, fitting: int) -> dict[str, int]:
        """Heads, or the questions of a selection, and the memory that takes; `fitting` is that of the fit in bytes."""
        described = self.activations.read_json("items.json")
        geometry = described["geometry"]
        if self.selector is None:
            heads = self.top_k * heads_a_unit(self.declared.granularity, geometry)
            return {"heads": heads, "forward_tokens": 0, "memory_bytes": fitting}
        personas = len(StoredPersonas.of(self.probes))
        validation = self.probes.read_json("split.json")["validation"]
        asking = self.selector.memory_bytes(Inventory.from_json(described["inventory"]), validation, personas)
        trials = self.selector.count_trials(geometry["layers"], geometry["heads"])
        return {"questions_at_most": trials * personas * len(validation), "memory_bytes": max(fitting, asking)}

    def compute(self, work: StageContext) -> Payload:
        """Select heads if that is asked for, and fit their directions persona by persona."""
        items, how = read_fit_items(self.activations), self.declared
        described: dict[str, Any] = self.activations.read_json("items.json")
        size = heads_a_unit(how.granularity, described["geometry"])
        fitting = Fitting(items, self.top_k, self.method, self.center, size, how.seed, self.tile)
        selection: dict[str, Any] | None = None
        counts: dict[str, int] = {}
        if self.selector is not None:
            held = held_out(items, self.probes.read_json("split.json")["validation"])
            everybody = StoredPersonas.of(self.probes).rows(None)
            selection = self.selector.select(work, items, everybody, held, self.method, self.center, counts)
            fitting = replace(fitting, heads=selection["heads"])
        work.provenance["counts"] = {**fit_shards(work, self.probes, fitting), **counts}
        return {
            **({_SELECTION: selection} if selection else {}),
            PERSONAS: self.probes.read_json(PERSONAS),
            "items.json": {key: described[key] for key in ("inventory", "geometry", "template")},
        }


def read_selection(directions: Artifact) -> dict[str, Any] | None:
    """What a selection by steering chose (layers, heads, alpha, positions) and tried; None where heads are by probe."""
    return directions.read_json(_SELECTION) if directions.files(_SELECTION) else None
