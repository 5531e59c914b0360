"""activations + probes -> directions: which heads to shift, where to, and by how much."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.activations.plan import DEFAULT_BATCH_TOKENS
from pasctl.directions import CENTERS, DIRECTIONS
from pasctl.errors import InputError
from pasctl.evaluation.alphas import Alphas, parse_alphas
from pasctl.evaluation.defaults import TRIED_ALPHAS
from pasctl.inventory import PersonaSet, signs
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
from pasctl.stages.selector import Selector, held_out, same_heads
from pasctl.stages.steering import SHUFFLED, SHUFFLED_ANSWERS
from pasctl.stages.train_probes import read_fit_items

STAGE = Stage("fit-directions", "directions", version=2)
DEFAULT_TOP_K = 24  # the paper's
SELECTIONS = ("probe", "steering")
_SELECTION = "selection.json"


@dataclass(frozen=True)
class DirectionParams:
    """How directions are fitted.

    Attributes:
        top_k: how many heads each persona gets by probe, best first.
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
    select: str = "probe",
    alphas: Alphas = TRIED_ALPHAS,
    positions: str = "all",
    model: str | ModelHandle | None = None,
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
    options: ModelOptions | None = None,
    seed: int = 0,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Fit theta and sigma of every persona's best heads (PAS; design section 5), and those of shuffled answers beside.

    Args:
        probes: which to read; None takes the latest.
        activations: which to read; None takes those the probes were trained on.
        top_k: heads a persona; None is 24, or all heads of a model that has fewer.
        method: a name in `pasctl.directions.DIRECTIONS`.
        center: "none", or "population" to take off what all personas share.
        select: "probe" takes each persona's heads of best probe; "steering" takes the neighbouring layers, or the best
            heads of these layers, that bring the answers nearest to the personas' when steered, on the probes'
            validation items, with directions fitted on the others.
        alphas: strengths tried with select="steering", beside 0, which leaves the model alone.
        positions: where it steers: at "all" positions or only at the "answer".
        model: take probes of this model only: folder, file, hub id, its name in artifact names, or a model at hand.
            With select="steering" it is also where the model is now; None or a name takes it from where it was.
        batch_tokens: bound on the tokens of one forward pass; not part of the key.
        options: how to load the model, for select="steering".
        seed: of the order of shuffled answers.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: an unknown method or selection, more heads than the model has, a population of one.
        MissingError: there are no probes, or their activations are gone.
    """
    DIRECTIONS.check(method)
    if center not in CENTERS:
        raise InputError(f"center {center!r} is unknown, expected one of {', '.join(CENTERS)}")
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
    available = geometry["layers"] * geometry["heads"]
    params = DirectionParams(top_k if top_k is not None else min(DEFAULT_TOP_K, available), method, center)
    if not 1 <= params.top_k <= available:
        raise InputError(f"top-k is {params.top_k}, expected 1 to {available}, the heads of {source.model}")
    numerics: dict[str, Any] = {"seed": seed}
    selector: Selector | None = None
    if select == "steering":
        # a name in artifact names says which model, but not where it is
        given = None if model is None or model == scored.model else ModelHandle.of(model, options)
        handle = model_of_artifact(scored, given, options)
        handle.require(scored.document["model"], scored.name)
        selector = Selector(handle, tuple(alpha for alpha in parse_alphas(alphas) if alpha), positions, batch_tokens)
        numerics = handle.numerics(seed)
    job = Job(
        stage=STAGE,
        model=scored.model,
        label=scored.label,
        params={**asdict(params), **(selector.params if selector else {})},
        inputs={"activations": source, "probes": scored},
        identity=scored.document["model"],
        numerics=numerics,
        compute=partial(_compute, activations=source, probes=scored, params=params, selector=selector, seed=seed),
        provenance={"coding": scored.provenance.get("coding"), "model": source.provenance.get("model")},
        estimate=lambda: _estimate(scored, params, geometry, selector),
    )
    return run_job(opened, job, reporter=reporter, dry_run=dry_run)


def read_selection(directions: Artifact) -> dict[str, Any] | None:
    """What a selection by steering chose (layers, heads, alpha, positions) and tried; None where heads are by probe."""
    return directions.read_json(_SELECTION) if directions.files(_SELECTION) else None


def shuffle_answers(agreements: NDArray[np.float64], ids: Sequence[str], seed: int) -> NDArray[np.float64]:
    """Each persona's answers [P, I] in another order over the items it answered; NaN stay where they are.

    How many times a persona gives each answer, and so how much it agrees with everything, remains; to which items, does
    not. A persona's order depends on the seed and its id alone, whoever else is there.
    """
    shuffled = agreements.copy()
    for row, name in zip(shuffled, ids, strict=True):
        own = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
        answered = np.flatnonzero(np.isfinite(row))
        row[answered] = np.random.default_rng([seed, SHUFFLED_ANSWERS, own]).permutation(row[answered])
    return shuffled


def _estimate(
    probes: Artifact, params: DirectionParams, geometry: dict[str, int], selector: Selector | None
) -> dict[str, int]:
    if selector is None:
        return {"heads": params.top_k, "forward_tokens": 0}
    personas, items = len(probes.read_json("personas.json")["ids"]), len(probes.read_json("split.json")["validation"])
    return {"questions_at_most": selector.count_trials(geometry["layers"], geometry["heads"]) * personas * items}


def _compute(
    work: Work,
    *,
    activations: Artifact,
    probes: Artifact,
    params: DirectionParams,
    selector: Selector | None,
    seed: int,
) -> Payload:
    from pasctl.directions.fit import Directions
    from pasctl.directions.fit import fit_directions as fit
    from pasctl.directions.select import top_heads

    items = read_fit_items(activations)
    personas = PersonaSet.from_json(probes.read_json("personas.json"))
    selection: dict[str, Any] | None = None
    counts: dict[str, int] = {}
    if selector is None:
        scores = probes.read_arrays("scores.safetensors")
        heads = top_heads(scores["accuracy"], scores["log_loss"], params.top_k)
    else:
        held = held_out(items, probes.read_json("split.json")["validation"])
        selection = selector.select(work, items, personas, held, params.method, params.center, counts)
        heads = same_heads(selection["heads"], len(personas.ids))
    agreements = personas.agreements[:, items.columns]
    layers = len({int(layer) for layer in heads[:, :, 0].flat})
    with work.reporter.progress("fit-directions", 2 * layers, "layers") as advance:

        def fit_to(answers: NDArray[np.float64], *, may_lack: bool = False) -> Directions:
            return fit(
                items.head_outputs,
                items.pairs,
                signs(answers),
                heads,
                DIRECTIONS.get(params.method)(),
                params.center,
                ids=personas.ids,
                may_lack=may_lack,
                progress=lambda done, total: advance(1),
            )

        directions = fit_to(agreements)
        # shuffled answers may cancel out, or be those of the whole population, where the real ones are not
        shuffled = fit_to(shuffle_answers(agreements, personas.ids, seed), may_lack=True)
    described: dict[str, Any] = activations.read_json("items.json")
    work.provenance["counts"] = {"personas": len(personas.ids), "heads": heads.shape[1], **counts}
    return {
        **({_SELECTION: selection} if selection else {}),
        "directions.safetensors": {
            "heads": directions.heads,
            "theta": directions.theta,
            "sigma": directions.sigma,
        },
        SHUFFLED: {"theta": shuffled.theta, "sigma": shuffled.sigma},
        "personas.json": personas.to_json(),
        "items.json": {key: described[key] for key in ("inventory", "geometry", "template")},
    }
