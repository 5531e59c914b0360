"""What an artifact found, in a sentence or a few, and what makes it doubtful."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pasctl.models.geometry import layer_numbers
from pasctl.stages.extract_contrast import is_contrast, read_contrast
from pasctl.stages.letter_mass import stored_warning
from pasctl.stages.probe_level import FILE as LEVEL
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_personas import StoredPersonas, read_rows


def finding(artifact: Artifact) -> str:
    """What an artifact found, a line a sentence; "" of kinds that have nothing to say."""
    teller = _TELLERS.get(artifact.kind)
    return teller(artifact) if teller is not None else ""


def warnings(artifact: Artifact) -> tuple[str, ...]:
    """What makes an artifact's figures doubtful, a line each; nothing as a rule."""
    if artifact.kind == "results":
        from pasctl.evaluation.verdicts import verdicts

        found = verdicts(artifact.read_json("metrics.json"))
        return tuple(line for verdict in found for line in verdict.warnings)
    if artifact.kind == "probes" and (level := _level(artifact)) is not None:
        from pasctl.evaluation.verdicts import at_chance

        return ("no head tells these answers apart better than shuffled ones",) if at_chance(level) else ()
    if artifact.kind == "activations" and (doubt := stored_warning(artifact.provenance)) is not None:
        return (doubt,)
    return ()


def next_command(usual: str, artifact: Artifact) -> str:
    """The command that comes after an artifact; `usual` is what its stage's declaration says."""
    return "pasctl fit-directions" if artifact.kind == "activations" and is_contrast(artifact) else usual


def _activations(artifact: Artifact) -> str:
    described = artifact.read_json("items.json")
    if is_contrast(artifact):
        contrast = read_contrast(artifact)
        read = f"{len(contrast.pairs)} pairs of texts read on {len(contrast.axes)} axes"
        return f"{read}, {described['geometry']['layers']} layers of {described['geometry']['heads']} heads"
    geometry, rows = described.get("geometry"), described.get("rows")
    if geometry is None or rows is None:
        return ""
    columns = len(described.get("columns") or ())
    answers = f" at {columns} answers each" if columns else ""
    return f"{len(rows)} items read{answers}, {geometry['layers']} layers of {geometry['heads']} heads"


def _probes(artifact: Artifact) -> str:
    from pasctl.evaluation.verdicts import probes_finding

    if (level := _level(artifact)) is not None:
        return probes_finding(level)
    return "the best heads were not compared with shuffled answers, see --permutations"


def _level(artifact: Artifact) -> dict[str, Any] | None:
    """The permutation level of probes; None where it was not measured."""
    return artifact.read_json(LEVEL) if artifact.files(LEVEL) else None


def _directions(artifact: Artifact) -> str:
    stored = StoredPersonas.of(artifact)
    heads = read_rows(artifact, "directions", stored.sample(), only=("heads",))["heads"]
    numbers = layer_numbers(artifact.read_json("items.json")["geometry"])
    layers = [numbers[place] for place in np.unique(heads[..., 0])]
    span = f"layer {layers[0]}" if len(layers) == 1 else f"layers {layers[0]} to {layers[-1]}"
    return f"{heads.shape[1]} heads in {span} for each of {len(stored):,} personas"


def _strengths(artifact: Artifact) -> str:
    curves = artifact.read_json("curves.json")
    if "doses" in curves:
        return _dose(curves)
    alphas, chosen = curves["alphas"], curves["chosen"]
    errors = np.nanmean(np.array(curves["mae"], dtype=np.float64), axis=1)
    best = float(chosen["population"])
    counted = sorted(Counter(float(each) for each in chosen["persona"]).items())
    told = ", ".join(f"{alpha:g} for {count}" for alpha, count in counted)
    place = alphas.index(best)
    against = f", {errors[alphas.index(0.0)]:.2f} unsteered" if 0.0 in alphas else ""
    cost = f", KL {np.mean(curves['kl'][place]):.2f} nats/token" if curves.get("kl") else ""
    return f"alpha {best:g} for all: mean error {errors[place]:.2f}{against}{cost}; for each persona: {told}"


def _dose(curves: Mapping[str, Any]) -> str:
    """Of a strength that was chosen as a relative dose."""
    chosen = float(curves["chosen"])
    place = min(range(len(curves["alphas"])), key=lambda each: abs(curves["alphas"][each] - chosen))
    budget = curves["budget_kl"]
    allowed = "" if budget is None else f" of {budget:g} allowed"
    cost = f"KL {np.mean(curves['kl'][place]):.2f} nats/token{allowed}"
    if chosen == 0:
        return "alpha 0: no strength within the KL budget moves the fit items as meant"
    effect = np.nanmean(np.array(curves["effect"][place], dtype=np.float64))
    return f"alpha {chosen:.3g} for all, relative dose {curves['doses'][place]:.2g}: effect {effect:.2f}, {cost}"


def _results(artifact: Artifact) -> str:
    from pasctl.evaluation.verdicts import verdicts

    found = verdicts(artifact.read_json("metrics.json"))
    named = len(found) > 1
    return "\n".join(
        f"{verdict.reading}: {sentence}" if named else sentence for verdict in found for sentence in verdict.sentences
    )


def _benchmarks(artifact: Artifact) -> str:
    from pasctl.evaluation.bench_verdict import bench_finding

    return bench_finding(artifact.read_json("rows.json"))


_TELLERS: dict[str, Callable[[Artifact], str]] = {
    "activations": _activations,
    "probes": _probes,
    "directions": _directions,
    "strengths": _strengths,
    "results": _results,
    "benchmarks": _benchmarks,
}
