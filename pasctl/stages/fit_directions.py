"""activations + probes -> directions: which heads to shift, where to, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.directions import CENTERS, DIRECTIONS, GRANULARITIES
from pasctl.errors import InputError
from pasctl.evaluation.alphas import Alphas, parse_alphas
from pasctl.evaluation.defaults import TRIED_ALPHAS
from pasctl.inventory import Inventory
from pasctl.stages.direction_shards import Fitting, fit_shards
from pasctl.stages.granularity import heads_a_unit
from pasctl.stages.kept_personas import PERSONAS, SHARD_PERSONAS, KeptPersonas
from pasctl.stages.model import ModelHandle, ModelOptions, model_of_artifact, of_model
from pasctl.stages.progress import Reporter
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
from pasctl.stages.selector import Selector, held_out
from pasctl.stages.tiles import direction_memory
from pasctl.stages.train_probes import read_fit_items

STAGE = Stage("fit-directions", "directions", version=2)
DEFAULT_TOP_K = 24  # the paper's
SELECTIONS = ("probe", "steering")
_SELECTION = "selection.json"


@dataclass(frozen=True)
class DirectionParams:
    """How directions are fitted.

    Attributes:
        top_k: how many heads, or key-value groups, each persona gets by probe, best first.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: "population" takes the personas' mean direction off first.
        granularity: a name in `pasctl.directions.GRANULARITIES`.
    """

    top_k: int = DEFAULT_TOP_K
    method: str = "mass-mean"
    center: str = "none"
    granularity: str = "head"

    @property
    def key(self) -> dict[str, Any]:
        """What enters a key. Single heads are not mentioned: they were all there was, and their keys remain."""
        named = asdict(self)
        return {name: value for name, value in named.items() if name != "granularity" or value != "head"}

    @classmethod
    def of(
        cls, top_k: int | None, method: str, center: str, granularity: str, geometry: Mapping[str, int]
    ) -> DirectionParams:
        """With the default of top-k: 24 heads or as many groups as hold them, or all of a model that has fewer.

        Raises:
            InputError: more heads or groups than the model has.
        """
        size = heads_a_unit(granularity, geometry)
        available, what = geometry["layers"] * geometry["heads"] // size, "heads" if size == 1 else "key-value groups"
        params = cls(min(-(-DEFAULT_TOP_K // size), available) if top_k is None else top_k, method, center, granularity)
        if not 1 <= params.top_k <= available:
            raise InputError(f"top-k is {params.top_k}, expected 1 to {available}, the {what} of the model")
        return params


def fit_directions(
    *,
    probes: str | Artifact | None = None,
    activations: str | Artifact | None = None,
    top_k: int | None = None,
    method: str = "mass-mean",
    center: str = "none",
    granularity: str = "head",
    select: str = "probe",
    alphas: Alphas = TRIED_ALPHAS,
    positions: str = "all",
    model: str | ModelHandle | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    options: ModelOptions | None = None,
    tile: int = SHARD_PERSONAS,
    seed: int = 0,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Fit theta and sigma of every persona's best heads (PAS; design section 5), and those of shuffled answers beside.

    Args:
        probes: which to read; None takes the latest.
        activations: which to read; None takes those the probes were trained on.
        top_k: heads a persona; None is 24, or all heads of a model that has fewer. With granularity "kv-group" groups
            are counted, and None is as many as hold 24 heads.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: "none", or "population" to take off what all personas share.
        granularity: "head", or "kv-group" for directions that all query heads of a key-value group share: what
            `export --engine stock` and `gguf` can express (see `pasctl.directions.groups`).
        select: "probe" takes each persona's heads of best probe; "steering" takes the neighbouring layers, or the best
            heads or groups of these layers, that bring the answers nearest to the personas' when steered, on the
            probes' validation items, with directions fitted on the others.
        alphas: strengths tried with select="steering", beside 0, which leaves the model alone.
        positions: where it steers: at "all" positions or only at the "answer".
        model: take probes of this model only: folder, file, hub id, its name in artifact names, or a model at hand.
            With select="steering" it is also where the model is now; None or a name takes it from where it was.
        batch_tokens: bound on the tokens of one forward pass; not part of the key.
        options: how to load the model, for select="steering"; its memory limit holds for tiles as well.
        tile: personas that are fitted at once, at most; it bounds memory and is not part of the key. A large set comes
            in shards of its own, which no tile exceeds.
        seed: of the order of shuffled answers.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: an unknown method, granularity or selection, more heads than the model has, a population of one.
        MissingError: there are no probes, or their activations are gone.
    """
    DIRECTIONS.check(method)
    if center not in CENTERS:
        raise InputError(f"center {center!r} is unknown, expected one of {', '.join(CENTERS)}")
    if granularity not in GRANULARITIES:
        raise InputError(f"granularity {granularity!r} is unknown, expected one of {', '.join(GRANULARITIES)}")
    if select not in SELECTIONS:
        raise InputError(f"selection {select!r} is unknown, expected one of {', '.join(SELECTIONS)}")
    if select == "steering" and top_k is not None:
        raise InputError("selection by steering chooses how many heads there are, expected no top-k with it")
    opened = open_store(store)
    scored = find_input(
        opened,
        "probes",
        probes,
        fits=of_model(model),
        wanted=f"of {model}" if isinstance(model, str) else "",
    )
    source = find_input(opened, "activations", activations or scored.inputs["activations"].key)
    if source.document["model"] != scored.document["model"]:
        raise InputError(f"{source.name} and {scored.name} are of different models")
    if source.params["inventory"] != scored.params["inventory"]:
        raise InputError(f"{source.name} and {scored.name} are of different inventories")
    geometry = source.read_json("items.json")["geometry"]
    params = DirectionParams.of(top_k, method, center, granularity, geometry)
    numerics: dict[str, Any] = {"seed": seed}
    selector: Selector | None = None
    if select == "steering":
        # a name in artifact names says which model, but not where it is
        given = None if model is None or model == scored.model else ModelHandle.of(model, options)
        handle = model_of_artifact(scored, given, options)
        handle.require(scored.document["model"], scored.name)
        tried, size = tuple(alpha for alpha in parse_alphas(alphas) if alpha), heads_a_unit(granularity, geometry)
        selector = Selector(handle, tried, positions, batch_tokens, size)
        numerics = handle.numerics(seed)
    memory = direction_memory(source)
    tile = min(tile, memory.tile(len(KeptPersonas.of(scored)), None if options is None else options.max_memory))
    job = Job(
        stage=STAGE,
        model=scored.model,
        label=scored.label,
        params={**params.key, **(selector.params if selector else {})},
        inputs={"activations": source, "probes": scored},
        identity=scored.document["model"],
        numerics=numerics,
        compute=partial(
            _compute, activations=source, probes=scored, params=params, selector=selector, seed=seed, tile=tile
        ),
        provenance={"coding": scored.provenance.get("coding"), "model": source.provenance.get("model")},
        estimate=lambda: _estimate(scored, source, params, selector, memory.bytes_of(tile)),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def read_selection(directions: Artifact) -> dict[str, Any] | None:
    """What a selection by steering chose (layers, heads, alpha, positions) and tried; None where heads are by probe."""
    return directions.read_json(_SELECTION) if directions.files(_SELECTION) else None


def _estimate(
    probes: Artifact, activations: Artifact, params: DirectionParams, selector: Selector | None, fitting: int
) -> dict[str, int]:
    described = activations.read_json("items.json")
    geometry = described["geometry"]
    if selector is None:
        heads = params.top_k * heads_a_unit(params.granularity, geometry)
        return {"heads": heads, "forward_tokens": 0, "memory_bytes": fitting}
    personas, validation = len(KeptPersonas.of(probes)), probes.read_json("split.json")["validation"]
    asking = selector.memory_bytes(Inventory.from_json(described["inventory"]), validation, personas)
    trials = selector.count_trials(geometry["layers"], geometry["heads"])
    return {"questions_at_most": trials * personas * len(validation), "memory_bytes": max(fitting, asking)}


def _compute(
    work: Work,
    *,
    activations: Artifact,
    probes: Artifact,
    params: DirectionParams,
    selector: Selector | None,
    seed: int,
    tile: int,
) -> Payload:
    items = read_fit_items(activations)
    described: dict[str, Any] = activations.read_json("items.json")
    size = heads_a_unit(params.granularity, described["geometry"])
    fitting = Fitting(items, params.top_k, params.method, params.center, size, seed, tile)
    selection: dict[str, Any] | None = None
    counts: dict[str, int] = {}
    if selector is not None:
        held = held_out(items, probes.read_json("split.json")["validation"])
        everybody = KeptPersonas.of(probes).rows(None)
        selection = selector.select(work, items, everybody, held, params.method, params.center, counts)
        fitting = replace(fitting, heads=selection["heads"])
    work.provenance["counts"] = {**fit_shards(work, probes, fitting), **counts}
    return {
        **({_SELECTION: selection} if selection else {}),
        PERSONAS: probes.read_json(PERSONAS),
        "items.json": {key: described[key] for key in ("inventory", "geometry", "template")},
    }
