"""artifacts -> one HTML page: figures and tables of each, what it was made from, and how. Loads no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.models.geometry import layer_numbers
from pasctl.stages.bench_tasks import benchmarks_content
from pasctl.stages.kept_text import kept_text
from pasctl.stages.probe_level import FILE as LEVEL
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.reproduce import PLACE, Made, reproduce
from pasctl.stages.runner import Artifact, Store, open_store
from pasctl.stages.say import texts_content
from pasctl.stages.stored_personas import StoredPersonas, read_rows
from pasctl.version import __version__

if TYPE_CHECKING:
    from pasctl.report.blocks import Content, Detail, Drawn
    from pasctl.report.page import Page

SEGMENTS = "segments/"
_LONGEST = 160  # characters of a parameter that are shown


@dataclass(frozen=True)
class ReportOutcome:
    """What was written: the page, the figures' own files, and the names of the artifacts on it."""

    path: Path
    figures: tuple[Path, ...]
    artifacts: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The outcome as one JSON document."""
        return {
            "path": str(self.path),
            "figures": [str(each) for each in self.figures],
            "artifacts": list(self.artifacts),
        }


def report(
    refs: str | Artifact | Sequence[str | Artifact],
    output: Path | str,
    *,
    svg: Path | str | None = None,
    png: Path | str | None = None,
    pdf: Path | str | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
) -> ReportOutcome:
    """Write a page about artifacts; the same artifacts give the same bytes.

    Args:
        refs: which, in the order of the page; one that is named twice is shown once.
        output: the HTML file.
        svg: a folder that also gets each figure as a file of its own; it is made if its parent is there.
        png: the same for PNG files in light colours.
        pdf: the same for PDF files.
        store: the store or its folder.
        reporter: receives notes.

    Raises:
        InputError: there is no reference, one is ambiguous, or the page cannot be written there.
        MissingError: a reference matches nothing.
        IntegrityError: a file of an artifact is damaged.
    """
    from pasctl.report.places import Places

    places = Places.of(output, svg=svg, png=png, pdf=pdf)
    places.require()
    given = [refs] if isinstance(refs, str | Artifact) else list(refs)
    if not given:
        raise InputError("there is nothing to report on, expected at least one artifact")
    opened, reporter = open_store(store), reporter or Silent()
    artifacts = list(dict.fromkeys(each if isinstance(each, Artifact) else opened.resolve(each) for each in given))
    page = _page(artifacts, opened, reporter)
    return ReportOutcome(Path(output), places.write(page), tuple(artifact.name for artifact in artifacts))


def require_place(target: Path) -> None:
    """Refuse a place that a page cannot be written to, before anything is read or computed.

    Raises:
        InputError: its folder is missing, or it is a folder itself.
    """
    from pasctl.report.places import Places

    Places(target).require()


def _page(artifacts: Sequence[Artifact], store: Store, reporter: Reporter) -> Page:
    from pasctl.report.blocks import Section
    from pasctl.report.page import Page, anchors

    sections = []
    for anchor, artifact in zip(anchors([each.name for each in artifacts]), artifacts, strict=True):
        reporter.note(f"reading {artifact.name}")
        name = artifact.name.removeprefix(f"{artifact.kind}/")
        sections.append(Section(anchor, artifact.kind, name, _content(artifact, store, reporter)))
    graph, held = _lineage(artifacts, store)
    title = artifacts[0].name if len(artifacts) == 1 else f"{len(artifacts)} artifacts of {_models(artifacts)}"
    return Page(title, tuple(sections), graph, tuple(_detail(each) for each in held), __version__)


def _models(artifacts: Sequence[Artifact]) -> str:
    found = list(dict.fromkeys(artifact.model for artifact in artifacts))
    return found[0] if len(found) == 1 else f"{len(found)} models"


def _content(artifact: Artifact, store: Store, reporter: Reporter) -> Content:
    """What the page says about an artifact; of a kind that has no figures here, which files it has."""
    from pasctl.report.blocks import Content, size

    readers: dict[str, Callable[[Artifact], Content]] = {
        "results": _results,
        "strengths": _strengths,
        "directions": _directions,
        "probes": _probes,
        "memory": lambda each: _memory(each, reporter),
        "answers": lambda each: _answers(each, store),
        "trials": _trials,
        "activations": _activations,
        "texts": texts_content,
        "benchmarks": benchmarks_content,
    }
    if artifact.kind in readers:
        return readers[artifact.kind](artifact)
    files = tuple((name, "") for name in artifact.files())
    return Content(
        (f"There are no figures for {artifact.kind}. It has {len(files)} files, {size(artifact.size)}.",), files
    )


def _results(artifact: Artifact) -> Content:
    from pasctl.evaluation.rows import from_table
    from pasctl.report.sections.results import results

    rows = from_table(artifact.read_table("rows.parquet")) if "rows.parquet" in artifact.files() else None
    return results(artifact.read_json("metrics.json"), rows)


def _strengths(artifact: Artifact) -> Content:
    from pasctl.report.sections.doses import strengths_or_doses

    return strengths_or_doses(artifact.read_json("curves.json"))


def _directions(artifact: Artifact) -> Content:
    from pasctl.inventory import Inventory
    from pasctl.report.sections.directions import Fitted, directions
    from pasctl.stages.steering import DirectionSet

    kept, described = StoredPersonas.of(artifact), artifact.read_json("items.json")
    rows, geometry = kept.sample(), described["geometry"]
    known = DirectionSet.read(artifact, rows)
    fitted = Fitted(
        *(known.heads, known.theta, known.sigma),
        *(geometry["layers"], geometry["heads"]),
        known.personas,
        Inventory.from_json(described["inventory"]),
        None if rows is None else len(kept),
        layer_numbers(geometry),
    )
    held = "selection.json" in artifact.files()
    return directions(fitted, artifact.params, artifact.read_json("selection.json") if held else None)


def _probes(artifact: Artifact) -> Content:
    from pasctl.probes.frames import layers_of_probes
    from pasctl.report.sections.probes import probes

    rows = (kept := StoredPersonas.of(artifact)).sample()
    scores = read_rows(artifact, "scores", rows, only=("accuracy", "n_validation"))
    level, of = artifact.read_json(LEVEL) if artifact.files(LEVEL) else None, None if rows is None else len(kept)
    numbers = layers_of_probes(artifact, (accuracy := scores["accuracy"]).shape[1])
    method = str(artifact.params.get("method", "not told"))
    return probes(accuracy, scores["n_validation"], method, of, level, numbers)


def _memory(artifact: Artifact, reporter: Reporter) -> Content:
    from pasctl.report.sections.memory import memory

    return memory(artifact.read_json("memory.json"), kept_text(artifact, reporter), artifact.size)


def _answers(artifact: Artifact, store: Store) -> Content:
    from pasctl.report.sections.answers import answers
    from pasctl.stages.memory_ask import asked_memories, read_answers

    sources, rows = asked_memories(artifact), read_answers(artifact)
    asked = [store.lookup(source.key) for source in sources]
    kept = [memory for memory in asked if memory is not None]
    events = sum(int(memory.read_json("memory.json")["events"]) for memory in kept) if len(kept) == len(asked) else None
    if events is not None and len(asked) > 1:  # first tokens are events too, where memories are put together
        events = max([events, *(event + 1 for row in rows for each in row["recalled"] for event in each["events"])])
    names = [source.name if memory is None else memory.name for source, memory in zip(sources, asked, strict=True)]
    return answers(rows, " and ".join(names), events)


def _trials(artifact: Artifact) -> Content:
    from pasctl.report.sections.trials import trials
    from pasctl.stages.memory_eval import trial_figures

    document, kept = artifact.read_json("trials.json"), artifact.provenance.get("costs", {})
    nothing = {"seconds": 0.0, "tokens_per_second": 0.0, "resident_mib": 0.0}
    costs = {key: kept.get(key, nothing) for key in document}
    return trials(trial_figures(document, costs), costs_known=set(document) <= set(kept))


def _activations(artifact: Artifact) -> Content:
    from pasctl.report.sections.activations import activations

    return activations(artifact.read_json("items.json"), artifact.size)


def _lineage(artifacts: Sequence[Artifact], store: Store) -> tuple[Drawn, list[Artifact]]:
    """The graph of the artifacts and all that they were made from; and of these what the store has, inputs first."""
    from pasctl.report.blocks import Drawn
    from pasctl.report.figures.graph import Node, graph

    asked = {artifact.key for artifact in artifacts}
    nodes: dict[str, Node] = {}
    held: list[Artifact] = []

    def visit(found: Any) -> None:
        for each in found.inputs:
            visit(each)
        if found.key not in nodes:
            short, stage = found.key.removeprefix("s1:")[:12], "not in this store"
            kind = "given" if found.key in asked else "" if found.artifact else "gone"
            if found.artifact is not None:
                held.append(found.artifact)
                stage = found.artifact.stage
            inputs = tuple(each.key for each in found.inputs)
            nodes[found.key] = Node(found.key, found.name, f"{short} {stage}", inputs, kind)

    for artifact in artifacts:
        visit(store.lineage(artifact))
    figure = Drawn(
        "lineage",
        "What was made from what",
        "An arrow goes from an input to what was made from it. Blue frames: the artifacts of this page. "
        "Under each name: the first digits of its key, which pasctl store show takes, and the stage that made it.",
        lambda width: graph(list(nodes.values()), width=width),
    )
    return figure, held


def _detail(artifact: Artifact) -> Detail:
    """How an artifact came about. Folders and hosts stay out: a page is for others."""
    from pasctl.report.blocks import Detail

    kept, document = artifact.provenance, artifact.document
    run = {"made": artifact.created_at[:19].replace("T", " ") + " UTC", "stage version": artifact.stage_version}
    run |= {name: kept[name] for name in ("seconds", "batch_tokens", "coding") if kept.get(name) is not None}
    device = (kept.get("model") or {}).get("device")
    groups = {
        "Parameters": artifact.params,
        "Model and numerics": {**(document.get("model") or {}), **(document.get("numerics") or {})},
        "Counts": kept.get("counts") or {},
        "Run": {**run, **({"device": device} if device else {})},
        "Versions": kept.get("versions") or {},
    }
    command = reproduce(Made.of(artifact))
    if not command:
        why = "No command is shown: the manifest does not tell all of it, such as a file that was given."
    else:
        why = f"{PLACE} stands for a folder of your machine." if PLACE in command else ""
    shown = tuple((name, tuple(_pairs(values))) for name, values in groups.items() if values)
    return Detail(artifact.name, artifact.key, shown, command, why)


def _pairs(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as text, one level of nesting written with a dot."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _pairs(value, f"{before}{name}.")
        else:
            yield f"{before}{name}".replace("_", " "), _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return _plain(", ".join(_plain(each) for each in value))
    text = str(value)
    if len(text) == 64 and all(each in "0123456789abcdef" for each in text):
        return text[:12]
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
