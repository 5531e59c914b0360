"""The memory-eval stage: what a model with a memory finds in long texts, beside a window alone and full attention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams
from pasctl.memory.results import SYSTEMS, Cost, Result, summarize
from pasctl.memory.tasks import TASKS
from pasctl.models.options import ModelOptions
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Job, Outcome, Payload, Stage, Store, Work, open_store, part_key, run_job
from pasctl.stages.text import Text

if TYPE_CHECKING:
    from pasctl.models.identity import ModelSource
    from pasctl.models.load import LoadedModel

STAGE = Stage("memory-eval", "trials", 3)
NLL = "nll"
COMPARED = SYSTEMS[1:]


@dataclass(frozen=True)
class Unit:
    """One trial of one system, or one text whose surprise one system measures."""

    system: str
    task: str
    length: int
    depth: float
    seed: int


@dataclass(frozen=True)
class TrialPlan:
    """Which trials are run.

    Attributes:
        tasks: names in `pasctl.memory.tasks.TASKS`, or "nll": mean surprise of a text, by position.
        lengths: tokens of the texts.
        trials: of each task and length, their evidence spread over the text from its start to its end.
        compare: systems beside the memory: "window", first and local tokens alone; "full" attention.
        seed: trial n of a task and length has the seed `seed` + n.
        max_new_tokens: of an answer.
    """

    tasks: tuple[str, ...]
    lengths: tuple[int, ...]
    trials: int = 10
    compare: tuple[str, ...] = ()
    seed: int = 0
    max_new_tokens: int = 32

    def __post_init__(self) -> None:
        for task in self.tasks:
            if task != NLL:
                TASKS.check(task)
        for system in self.compare:
            if system not in COMPARED:
                raise InputError(f"system {system!r} is unknown, expected one of {', '.join(COMPARED)}")
        if not self.tasks or not self.lengths:
            raise InputError("there is nothing to run, expected at least one task and one length")
        for name in ("trials", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected at least 1")
        if min(self.lengths) < 1:
            raise InputError(f"length {min(self.lengths)} is too short, expected at least 1 token")

    def units(self) -> list[Unit]:
        """All trials, short texts first."""
        systems = ("memory", *self.compare)
        found = []
        for length in sorted(self.lengths):
            for task in self.tasks:
                depths = [0.0] if task == NLL else spread_depths(self.trials)
                seeds = [0] if task == NLL else [self.seed + number for number in range(self.trials)]
                for depth, seed in zip(depths, seeds, strict=True):
                    found += [Unit(system, task, length, depth, seed) for system in systems]
        return found


def memory_eval(
    model: str | ModelSource | LoadedModel | ModelHandle,
    plan: TrialPlan,
    *,
    text: Text | None = None,
    params: MemoryParams | None = None,
    options: ModelOptions | None = None,
    store: Store | Path | str = "artifacts",
    reporter: Reporter | None = None,
    dry_run: bool = False,
) -> Outcome:
    """Run memory tasks; a trial that was run before with the same model and parameters is taken from the store.

    Args:
        model: hub id, local folder, .gguf file, or a model already loaded.
        plan: which trials.
        text: for the task "nll".
        params: how events are cut and recalled.
        options: how to load the model.
        store: the store or its folder.
        reporter: receives notes and progress.
        dry_run: say what would be done and do nothing.

    Raises:
        InputError: the task "nll" without a text, or a text without it.
    """
    if (NLL in plan.tasks) != (text is not None):
        raise InputError(f"the task {NLL!r} and a text go together, only one of them is given")
    params = params or MemoryParams()
    handle = ModelHandle.of(model, options)
    keys = {_part(unit, plan, handle, params, text): unit for unit in plan.units()}
    job = Job(
        stage=STAGE,
        model=handle.slug,
        label="-".join(plan.tasks),
        params={**asdict(plan), "memory": asdict(params), "text": text.digest if text else None},
        inputs={},
        identity=handle.identity,
        numerics=handle.numerics(params.seed) | {"attn": "memory"},
        compute=partial(_compute, keys=keys, plan=plan, handle=handle, params=params, text=text),
        provenance={"model": handle.provenance(), "text": text.name if text else None},
        parts=lambda: tuple(keys),
        estimate=lambda: _estimate(keys, plan, handle, text),
    )
    return run_job(open_store(store), job, reporter=reporter, dry_run=dry_run)


def _part(unit: Unit, plan: TrialPlan, handle: ModelHandle, params: MemoryParams, text: Text | None) -> str:
    return part_key(
        {
            "stage": STAGE.name,
            "stage_version": STAGE.version,
            "unit": asdict(unit),
            "max_new_tokens": None if unit.task == NLL else plan.max_new_tokens,
            "memory": None if unit.system == "full" else asdict(params),
            "text": text.digest if text and unit.task == NLL else None,
            "model": handle.identity,
            "numerics": handle.numerics(params.seed),
        }
    )


def _compute(
    work: Work,
    *,
    keys: Mapping[str, Unit],
    plan: TrialPlan,
    handle: ModelHandle,
    params: MemoryParams,
    text: Text | None,
) -> Payload:
    """Each trial is kept as it ends, its result and what it cost in a file of its own."""
    ids = _text_ids(plan, handle, text)
    found = _earlier(work, keys)
    counts = {"trials": len(keys), "trials_reused": len(found), "tokens_run": 0}
    with work.reporter.progress("trials", len(keys), "trials") as advance:
        for key, unit in keys.items():
            name = f"parts/{key}.json"
            if key not in found and work.has(name):
                found[key] = work.read_json(name)
                counts["trials_reused"] += 1
            elif key not in found:
                found[key] = _run(unit, plan, params, ids, handle.load(work.reporter))
                counts["tokens_run"] += unit.length
                work.write(name, found[key])
            advance(1)
    work.provenance["counts"] = counts
    work.provenance["costs"] = {key: found[key]["cost"] for key in keys}
    return {"trials.json": {key: found[key]["result"] for key in keys}}


def _run(unit: Unit, plan: TrialPlan, params: MemoryParams, ids: list[int], model: LoadedModel) -> dict[str, Any]:
    from pasctl.memory.trials import make_trial, mean_surprise, run_trial

    if unit.task == NLL:
        stretches, cost = mean_surprise(model, ids[: unit.length], unit.system, params)
        return {"result": {"stretches": stretches}, "cost": asdict(cost)}
    trial = make_trial(model, unit.task, unit.length, unit.depth, unit.seed)
    result, cost = run_trial(model, trial, unit.system, params, max_new_tokens=plan.max_new_tokens)
    return {"result": asdict(result), "cost": asdict(cost)}


def _text_ids(plan: TrialPlan, handle: ModelHandle, text: Text | None) -> list[int]:
    """Token ids of the text for "nll", which must be as long as the longest length; none without a text."""
    from pasctl.memory.prompt import Prompt

    if text is None:
        return []
    ids = Prompt(handle.chat()).text(text.content)
    if len(ids) < max(plan.lengths):
        raise InputError(
            f"text {text.name} has {len(ids):,} tokens, fewer than the length {max(plan.lengths):,}",
            hint="give a longer text or ask for shorter lengths",
        )
    return ids


def _estimate(keys: Mapping[str, Unit], plan: TrialPlan, handle: ModelHandle, text: Text | None) -> dict[str, Any]:
    _text_ids(plan, handle, text)
    return {"trials": len(keys), "tokens": sum(unit.length for unit in keys.values())}


def _earlier(work: Work, keys: Mapping[str, Unit]) -> dict[str, dict[str, Any]]:
    """Trials that other artifacts hold already."""
    found = {}
    for key, artifact in work.find_parts(list(keys)).items():
        result, cost = artifact.read_json("trials.json").get(key), artifact.provenance.get("costs", {}).get(key)
        if result and cost:
            found[key] = {"result": result, "cost": cost}
    return found


def trial_figures(document: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    """What the trials show: `tasks`, a row each task, length and system, and `nll`, a row each stretch and system.

    Args:
        document: an artifact's trials.json.
        costs: its provenance's costs.
    """
    scored = {key: Result(**each) for key, each in document.items() if "stretches" not in each}
    stretches = [
        {**stretch, "tokens": each["stretches"][-1]["stop"], **costs[key]}
        for key, each in document.items()
        if "stretches" in each
        for stretch in each["stretches"]
    ]
    stretches.sort(key=lambda row: (row["tokens"], row["stop"], row["start"], SYSTEMS.index(row["system"])))
    return {"tasks": summarize(list(scored.values()), [Cost(**costs[key]) for key in scored]), "nll": stretches}


def spread_depths(count: int) -> list[float]:
    """`count` depths spread evenly over a text, none at its very ends."""
    return [round(0.02 + 0.96 * number / (count - 1), 4) for number in range(count)] if count > 1 else [0.5]
