"""activations + probes -> directions: which heads to shift, where to, and by how much."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pasctl.directions import CENTERS, DIRECTIONS
from pasctl.errors import InputError
from pasctl.inventory import PersonaSet, signs
from pasctl.stages.model import of_model
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
from pasctl.stages.train_probes import read_fit_items

STAGE = Stage("fit-directions", "directions", version=1)
DEFAULT_TOP_K = 24  # the paper's


@dataclass(frozen=True)
class DirectionParams:
    """How directions are fitted.

    Attributes:
        top_k: how many heads each persona gets, best probe first.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: "population" takes the personas' mean direction off first.
    """

    top_k: int = DEFAULT_TOP_K
    method: str = "mass-mean"
    center: str = "none"


def fit_directions(
    *,
    probes: str | Artifact | None = None,
    activations: str | Artifact | None = None,
    top_k: int | None = None,
    method: str = "mass-mean",
    center: str = "none",
    model: str | None = None,
    seed: int = 0,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Fit theta and sigma of every persona's best heads (PAS; design section 5).

    Args:
        probes: which to read; None takes the latest.
        activations: which to read; None takes those the probes were trained on.
        top_k: heads a persona; None is 24, or all heads of a model that has fewer.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: "none", or "population" to take off what all personas share.
        model: take probes of this model only: folder, file, hub id, or its name in artifact names.
        seed: enters the key; the methods here draw nothing.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: an unknown method, more heads than the model has, or a population of one.
        MissingError: there are no probes, or their activations are gone.
    """
    DIRECTIONS.check(method)
    if center not in CENTERS:
        raise InputError(f"center {center!r} is unknown, expected one of {', '.join(CENTERS)}")
    opened = open_store(store)
    scored = find_input(
        opened,
        "probes",
        probes,
        fits=of_model(model),
        wanted=f"of {model}" if model else "",
    )
    source = find_input(opened, "activations", activations or scored.inputs["activations"].key)
    if source.document["model"] != scored.document["model"]:
        raise InputError(f"{source.name} and {scored.name} are of different models")
    if source.params["inventory"] != scored.params["inventory"]:
        raise InputError(f"{source.name} and {scored.name} are of different inventories")
    geometry = source.read_json("items.json")["geometry"]
    available = geometry["layers"] * geometry["heads"]
    params = DirectionParams(top_k if top_k is not None else min(DEFAULT_TOP_K, available), method, center)
    if not 1 <= params.top_k <= available:
        raise InputError(f"top-k is {params.top_k}, expected 1 to {available}, the heads of {source.model}")
    job = Job(
        stage=STAGE,
        model=scored.model,
        label=scored.label,
        params=asdict(params),
        inputs={"activations": source, "probes": scored},
        identity=scored.document["model"],
        numerics={"seed": seed},
        compute=partial(_compute, activations=source, probes=scored, params=params),
        provenance={"coding": scored.provenance.get("coding"), "model": source.provenance.get("model")},
        estimate=lambda: {"heads": params.top_k, "forward_tokens": 0},
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def _compute(work: Work, *, activations: Artifact, probes: Artifact, params: DirectionParams) -> Payload:
    from pasctl.directions.fit import fit_directions as fit
    from pasctl.directions.select import top_heads

    items = read_fit_items(activations)
    personas = PersonaSet.from_json(probes.read_json("personas.json"))
    scores = probes.read_arrays("scores.safetensors")
    heads = top_heads(scores["accuracy"], scores["log_loss"], params.top_k)
    layers = len({int(layer) for layer in heads[:, :, 0].flat})
    with work.reporter.progress("fit-directions", layers, "layers") as advance:
        directions = fit(
            items.head_outputs,
            items.pairs,
            signs(personas.agreements[:, items.columns]),
            heads,
            DIRECTIONS.get(params.method)(),
            params.center,
            ids=personas.ids,
            progress=lambda done, total: advance(1),
        )
    described: dict[str, Any] = activations.read_json("items.json")
    work.provenance["counts"] = {"personas": len(personas.ids), "heads": params.top_k}
    return {
        "directions.safetensors": {
            "heads": directions.heads,
            "theta": directions.theta,
            "sigma": directions.sigma,
        },
        "personas.json": personas.to_json(),
        "items.json": {key: described[key] for key in ("inventory", "geometry", "template")},
    }
