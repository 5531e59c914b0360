"""The one figure that says most about an artifact, for notebooks and scripts. Loads no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.models.geometry import layer_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pasctl.report.blocks import Content


def plot(artifact: Any) -> Figure:
    """Draw an artifact of any kind; what it is made of is read from its files.

    Results show the composite error of every condition with its interval, or what trait poles do to every trait;
    strengths the error and KL by alpha, directions which heads are shifted, probes their accuracy, a memory its
    surprise and events, answers the events that were retrieved for the first question, trials how often the first task
    was answered right.

    Args:
        artifact: of a store.

    Raises:
        InputError: there is no figure of this kind, or it lacks what would be drawn.
        IntegrityError: a file is damaged.
    """
    if artifact.kind not in _FIGURES:
        known = ", ".join(sorted(_FIGURES))
        raise InputError(
            f"{artifact.name}: there is no figure of {artifact.kind}, expected one of {known}",
            hint="plot what was made from it: train probes or fit directions" if artifact.kind == "activations" else "",
        )
    figure = _FIGURES[artifact.kind](artifact)
    if figure is None:
        raise InputError(f"{artifact.name} has nothing to draw", hint="`pasctl report` says what it does not have")
    return figure


def _named(content: Content, *names: str) -> Figure | None:
    """The first figure of a section, or the first whose name begins so."""
    from pasctl.report.blocks import WIDE, Drawn

    drawn = [block for block in content.blocks if isinstance(block, Drawn) and block.name.startswith(names or ("",))]
    return drawn[0].draw(WIDE) if drawn else None


def _results(artifact: Any) -> Figure | None:
    from pasctl.report.sections.results import results

    content = results(artifact.read_json("metrics.json"), None)
    return _named(content, "composite") or _named(content, "trait-shifts")


def _strengths(artifact: Any) -> Figure | None:
    from pasctl.report.figures.lines import lines
    from pasctl.report.sections import doses, strengths

    curves = artifact.read_json("curves.json")
    drawn = (doses if "doses" in curves else strengths).charts(curves)
    return lines(*drawn) if drawn else None


def _directions(artifact: Any) -> Figure | None:
    import numpy as np

    from pasctl.report.blocks import WIDE
    from pasctl.report.sections.directions import head_map

    heads = np.concatenate([artifact.read_arrays(name, ("heads",))["heads"] for name in artifact.files("directions")])
    geometry = artifact.read_json("items.json")["geometry"]
    return head_map(heads, layer_numbers(geometry), geometry["heads"]).draw(WIDE)


def _probes(artifact: Any) -> Figure | None:
    import numpy as np

    from pasctl.probes.frames import layers_of_probes
    from pasctl.report.sections.probes import probes

    names = ("accuracy", "n_validation")
    shards = [artifact.read_arrays(name, names) for name in artifact.files("scores")]
    accuracy, validation = (np.concatenate([shard[name] for shard in shards]) for name in names)
    numbers = layers_of_probes(artifact, accuracy.shape[1])
    return _named(probes(accuracy, validation, str(artifact.params.get("method")), numbers=numbers))


def _memory(artifact: Any) -> Figure | None:
    from pasctl.memory.stored_text import read_text
    from pasctl.report.sections.memory import memory

    text = read_text([artifact.open_path(name) for name in artifact.files("segments/")])
    return _named(memory(artifact.read_json("memory.json"), text, artifact.size), "surprise")


def _answers(artifact: Any) -> Figure | None:
    from pasctl.report.sections.answers import answers

    asked = artifact.read_json("answers.json")[0]
    rows = artifact.read_table("recall.parquet").to_pandas()
    steps = rows[rows["question"] == 0].groupby(["step", "layer"], sort=False)
    recalled = [
        {"step": step, "layer": layer, "events": list(part["event"]), "scores": list(part["score"])}
        for (step, layer), part in steps
    ]
    return _named(answers([{**asked, "recalled": recalled}], "", None))


def _trials(artifact: Any) -> Figure | None:
    from pasctl.memory.results import Cost, Result, summarize
    from pasctl.report.sections.trials import trials

    document = artifact.read_json("trials.json").values()
    scored = [Result(**trial) for trial in document if "stretches" not in trial]
    read = [
        {**stretch, "tokens": trial["stretches"][-1]["stop"]}
        for trial in document
        if "stretches" in trial
        for stretch in trial["stretches"]
    ]
    own = [result for result in scored if result.item is None]
    data = [result for result in scored if result.item is not None]
    tasks, items = (summarize(part, [Cost(0.0, 0.0, 0.0)] * len(part)) for part in (own, data))
    return _named(trials({"tasks": tasks, "benchmarks": items, "nll": read}, costs_known=False))


_FIGURES: dict[str, Callable[[Any], Figure | None]] = {
    "results": _results,
    "strengths": _strengths,
    "directions": _directions,
    "probes": _probes,
    "memory": _memory,
    "answers": _answers,
    "trials": _trials,
}
