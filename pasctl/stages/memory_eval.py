"""The memory-eval stage: what a model with a memory finds in long texts, beside a window alone and full attention."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pasctl.commands.memory_eval import MemoryEval
from pasctl.errors import InputError
from pasctl.memory.params import MemoryParams
from pasctl.memory.press_kinds import PRESSES, press_budget, press_numerics
from pasctl.memory.results import SYSTEMS, Cost, Result, summarize
from pasctl.memory.trial_plan import DEFAULT_TASKS, NLL, DataPlan, ItemSpec, TrialPlan, TrialSpec
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.memory_checks import plain_attention, settle_params
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import LONGEST_LABEL, part_key
from pasctl.stages.text import Text

if TYPE_CHECKING:
    from pasctl.memory.benchmarks.item import Item
    from pasctl.models.load import LoadedModel

AnySpec = TrialSpec | ItemSpec

__all__ = ["TrialPlan", "memory_eval", "plan", "trial_figures"]


def plan(declared: MemoryEval, run: Run) -> Job:
    """Run memory tasks; a trial that was run before with the same model and parameters is taken from the store.

    Raises:
        InputError: the task "nll" without a text, or a text without it.
    """
    trials = replace(declared.plan, seed=declared.plan.seed or declared.seed)
    text = Text.load(declared.text) if isinstance(declared.text, str) else declared.text
    if (NLL in trials.tasks) != (text is not None):
        raise InputError(f"the task {NLL!r} and a text go together, only one of them is given")
    items = _items(declared.items)
    handle = run.model(declared.model, plain_attention(declared.options))
    params = settle_params(declared.params, handle, declared.seed)
    units: list[AnySpec] = [*item_specs(items, trials.compare)]
    if not items or trials.tasks != DEFAULT_TASKS:
        units += trials.units()
    presses = press_numerics(trials.compare, handle.source.family, press_budget(params))
    keys = {_part(unit, trials, handle, params, text, presses): unit for unit in units}
    of_items = {"items": _items_digest(items)} if items else {}
    return Job(
        stage=Stage.of(MemoryEval),
        model=handle.slug,
        label=declared.items.format or _label(trials.tasks),
        params=declared.key(**asdict(trials), memory=params.recorded(), text=text.digest if text else None, **of_items),
        inputs={},
        identity=handle.identity,
        numerics=handle.numerics(params.seed, writes=True) | {"attn": "memory", **presses},
        compute=partial(_compute, keys=keys, plan=trials, handle=handle, params=params, text=text, items=items),
        provenance={"model": handle.provenance(), "text": text.name if text else None, **_provenance(declared.items)},
        parts=lambda: tuple(keys),
        estimate=lambda: _estimate(keys, trials, handle, text, items),
    )


memory_eval = function_of(MemoryEval)


def _label(tasks: Sequence[str]) -> str:
    """The tasks, as far as a label has room."""
    whole = "-".join(tasks)
    return whole if len(whole) <= LONGEST_LABEL else f"{tasks[0]}-and-{len(tasks) - 1}-more"


def _items(plan: DataPlan) -> list[Item]:
    """The items of the files of a plan; none without files."""
    if plan.format is None:
        return []
    from pasctl.memory.benchmarks.read import read_items

    return read_items(
        plan.data, plan.format, limit=plan.limit, task_file=plan.task_file, max_new_tokens=plan.data_tokens
    )


def item_specs(items: Sequence[Item], compare: Sequence[str]) -> list[ItemSpec]:
    """All items on all systems, in the order of the files; of items that are the same in all the first alone."""
    first: dict[str, ItemSpec] = {}
    for number, item in enumerate(items):
        first.setdefault(item.digest, ItemSpec("memory", item.task, number, item.digest))
    return [replace(spec, system=system) for spec in first.values() for system in ("memory", *compare)]


def _items_digest(items: Sequence[Item]) -> str:
    return hashlib.sha256("\n".join(item.digest for item in items).encode()).hexdigest()


def _provenance(plan: DataPlan) -> dict[str, Any]:
    """What is said of the files beside the key; nothing without files."""
    if not plan.data:
        return {}
    names = {"limit": plan.limit, "task_file": plan.task_file, "data_tokens": plan.data_tokens}
    return {"data": list(plan.data), "data_format": plan.format, **names}


def _part(
    unit: AnySpec,
    plan: TrialPlan,
    handle: ModelHandle,
    params: MemoryParams,
    text: Text | None,
    presses: dict[str, str],
) -> str:
    return part_key(
        {
            "stage": MemoryEval.command,
            "stage_version": MemoryEval.version,
            "unit": {"system": unit.system, "item": unit.digest} if isinstance(unit, ItemSpec) else asdict(unit),
            "max_new_tokens": None if unit.task == NLL or isinstance(unit, ItemSpec) else plan.max_new_tokens,
            "memory": _memory_key(unit.system, params),
            "text": text.digest if text and unit.task == NLL else None,
            "model": handle.identity,
            "numerics": handle.numerics(params.seed, writes=True) | (presses if unit.system in PRESSES else {}),
        }
    )


def _memory_key(system: str, params: MemoryParams) -> dict[str, Any] | None:
    """What of a memory's parameters a system depends on."""
    if system in PRESSES:
        return {"kept": press_budget(params)}
    return None if system == "full" else params.recorded()


def _compute(
    work: StageContext,
    *,
    keys: Mapping[str, AnySpec],
    plan: TrialPlan,
    handle: ModelHandle,
    params: MemoryParams,
    text: Text | None,
    items: Sequence[Item],
) -> Payload:
    """Each trial is kept as it ends, its result and what it cost in a file of its own."""
    ids = _text_ids(plan, handle, text)
    results = _earlier(work, keys)
    counts = {"trials": len(keys), "trials_reused": len(results), "tokens_run": 0}
    with work.reporter.progress("trials", len(keys), "trials") as advance:
        for key, unit in keys.items():
            name = f"parts/{key}.json"
            if key not in results and work.has(name):
                results[key] = work.read_json(name)
                counts["trials_reused"] += 1
            elif key not in results:
                model = _load(work, handle, plan.compare)
                if isinstance(unit, ItemSpec):
                    results[key] = _run_item(unit, params, items[unit.number], model)
                    counts["tokens_run"] += results[key]["result"]["tokens"]
                else:
                    results[key] = _run(unit, plan, params, ids, model)
                    counts["tokens_run"] += unit.length
                work.write(name, results[key])
            advance(1)
    work.provenance["counts"] = counts
    work.provenance["costs"] = {key: results[key]["cost"] for key in keys}
    return {"trials.json": {key: results[key]["result"] for key in keys}}


def _load(work: StageContext, handle: ModelHandle, compare: Sequence[str]) -> LoadedModel:
    """The model; refused before any trial runs if a press cannot compress what it holds."""
    from pasctl.memory.pressed import require_pressable

    model = handle.load(work.reporter)
    for system in compare:
        if system in PRESSES:
            require_pressable(model, system)
    return model


def _run(unit: TrialSpec, plan: TrialPlan, params: MemoryParams, ids: list[int], model: LoadedModel) -> dict[str, Any]:
    from pasctl.memory.trials import make_trial, mean_surprise, run_trial

    if unit.task == NLL:
        stretches, cost = mean_surprise(model, ids[: unit.length], unit.system, params)
        return {"result": {"stretches": stretches}, "cost": asdict(cost)}
    trial = make_trial(model, unit.task, unit.length, unit.depth, unit.seed)
    result, cost = run_trial(model, trial, unit.system, params, max_new_tokens=plan.max_new_tokens)
    return {"result": asdict(result), "cost": asdict(cost)}


def _run_item(unit: ItemSpec, params: MemoryParams, item: Item, model: LoadedModel) -> dict[str, Any]:
    from pasctl.memory.trials import run_item

    result, cost = run_item(model, item, unit.system, params)
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


def _estimate(
    keys: Mapping[str, AnySpec],
    plan: TrialPlan,
    handle: ModelHandle,
    text: Text | None,
    items: Sequence[Item],
) -> dict[str, Any]:
    from pasctl.memory.prompt import Prompt

    _text_ids(plan, handle, text)
    prompt = Prompt(handle.chat())
    sizes = [len(prompt.text(item.text)) for item in items]
    tokens = sum(sizes[unit.number] if isinstance(unit, ItemSpec) else unit.length for unit in keys.values())
    return {"trials": len(keys), "tokens": tokens}


def _earlier(work: StageContext, keys: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Trials that other artifacts hold already."""
    results = {}
    for key, artifact in work.find_parts(list(keys)).items():
        result, cost = artifact.read_json("trials.json").get(key), artifact.provenance.get("costs", {}).get(key)
        if result and cost:
            results[key] = {"result": result, "cost": cost}
    return results


def trial_figures(document: Mapping[str, Any], costs: Mapping[str, Any]) -> dict[str, Any]:
    """What the trials show, in rows: `tasks`, `benchmarks` (items of files) and `nll`.

    A row is of a task, a length and a system; of `nll`, of a stretch and a system.

    Args:
        document: an artifact's trials.json.
        costs: its provenance's costs.
    """
    scored = {key: Result(**each) for key, each in document.items() if "stretches" not in each}
    own = [key for key, result in scored.items() if result.item is None]
    data = [key for key, result in scored.items() if result.item is not None]
    stretches = [
        {**stretch, "tokens": each["stretches"][-1]["stop"], **costs[key]}
        for key, each in document.items()
        if "stretches" in each
        for stretch in each["stretches"]
    ]
    stretches.sort(key=lambda row: (row["tokens"], row["stop"], row["start"], SYSTEMS.index(row["system"])))
    return {
        "tasks": summarize([scored[key] for key in own], [Cost(**costs[key]) for key in own]),
        "benchmarks": summarize([scored[key] for key in data], [Cost(**costs[key]) for key in data]),
        "nll": stretches,
    }
