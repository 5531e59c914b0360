"""directions + lm-eval's tasks + model -> benchmarks: what a persona costs on tasks, next to controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from pasctl.commands.bench_tasks import BenchTasks
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, MissingError
from pasctl.memory.trial_plan import parse_names
from pasctl.stages.bench_cases import PROMPTED, BenchCase, bench_cases, parse_modes
from pasctl.stages.bench_rows import Part, bench_rows
from pasctl.stages.choose_alpha import find_directions
from pasctl.stages.job import Job, Outcome, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.run import Run, function_of
from pasctl.stages.runner import LONGEST_LABEL, Artifact, Store, part_key
from pasctl.stages.say import named_personas, parse_strengths
from pasctl.stages.text_directions import contrast_of
from pasctl.stages.text_targets import TextTarget, resolve_texts
from pasctl.stages.text_words import words_by

if TYPE_CHECKING:
    from pasctl.evaluation.lm_eval_tasks import GroupFigure, HarnessTask
    from pasctl.report.blocks import Content

ROWS, PARTS = "rows.json", "parts.json"
RUN_VERSION = 1
"""Of how a task is run under a condition; the stage's own is also of how figures are compared."""


def plan(declared: BenchTasks, run: Run) -> Job | Outcome:
    """Run lm-eval's tasks under every condition, and compare each with the unchanged model, paired by document.

    Returns:
        The job; or, of a dry run, the outcome of the choice of a strength that must be made first.

    Raises:
        MissingError: lm-eval is not installed, there are no directions, or a task's documents cannot be had.
        InputError: no such task or persona, or a persona that is steered from the answer on.
    """
    modes, alphas = parse_modes(declared.modes), parse_strengths(declared.alpha)
    harness = _harness()
    source = find_directions(run, declared)
    handle = run.model_of(source, declared.model, declared.options)
    catalog = PersonaCatalog(run, handle, SteeringTarget(directions=source, positions=declared.positions))
    names = named_personas(declared.persona, catalog)
    targets = resolve_texts(catalog, names, alphas, words_by(contrast_of(source, run)))
    if isinstance(targets, Outcome):
        return targets
    note = run.reporter.note
    cases = tuple(bench_cases(targets, modes, seed=declared.seed, draws=declared.control_draws, note=note))
    template = _template(handle) if declared.chat_template else None
    how = harness.Asking(declared.limit, declared.num_fewshot, declared.seed, template)
    given = parse_names(declared.tasks) if isinstance(declared.tasks, str) else declared.tasks
    tasks, groups = harness.load_tasks(given, how)
    bench = Bench(tuple(tasks), tuple(groups), cases, handle, declared.batch_size, declared.seed)
    for task in bench.tasks:
        if not task.prompted and any(case.condition == PROMPTED for case in cases):
            note(f"{task.name} reads texts from their first word, so it is not run prompted")
    return Job(
        stage=Stage.of(BenchTasks),
        model=source.model,
        label=_label(dict.fromkeys([*(each.group for each in groups), *(task.name for task in tasks)])),
        params=declared.key(
            persona=",".join(names),
            alpha=list(alphas),
            positions="all",
            conditions=list(modes),
            documents=part_key(
                {"tasks": {task.name: task.digest for task in tasks}, "groups": [asdict(each) for each in groups]}
            ),
            harness=harness.HARNESS,
            strengths=_strengths(targets),
            systems=[case.told["system"] for case in cases if case.condition == PROMPTED],
        ),
        inputs={"directions": source},
        identity=handle.identity,
        numerics=handle.numerics(declared.seed, writes=True),
        compute=partial(_compute, bench=bench),
        provenance={"model": handle.provenance(), "tasks": list(given), "batch_size": declared.batch_size},
        parts=lambda: tuple(bench.parts),
        estimate=lambda: _estimate(bench, run.store),
    )


bench_tasks = function_of(BenchTasks)


def _harness() -> Any:
    """lm-eval's side of it, imported on use.

    Raises:
        MissingError: it is not installed.
    """
    try:
        from pasctl.evaluation import lm_eval_tasks
    except ModuleNotFoundError as error:
        raise MissingError(
            f"tasks need lm-eval, which cannot be imported: {error}",
            hint="install it with `pip install 'pasctl[lm-eval]'`",
        ) from error
    return lm_eval_tasks


def _template(handle: ModelHandle) -> Any:
    chat = handle.chat()
    if chat.kind != "chat":
        lacks = "no chat template" if chat.kind == "base" else "a chat template without a system text"
        raise InputError(f"{handle.source.spec} has {lacks}, which --chat-template needs", hint="leave it out")
    return _harness().template_of(chat.tokenizer)


def _strengths(targets: Sequence[TextTarget]) -> list[Any]:
    return [target.params for target in targets]


def _label(tasks: Iterable[str]) -> str:
    """The tasks, as far as a label has room, in the signs that one may have."""
    names = ["".join(sign if sign.isalnum() or sign in "-." else "-" for sign in task.lower()) for task in tasks]
    whole = "-".join(names)
    return whole if len(whole) <= LONGEST_LABEL else f"{names[0][:40]}-and-{len(names) - 1}-more"


@dataclass(frozen=True, eq=False)
class Bench:
    """Tasks under conditions.

    Attributes:
        tasks: with their documents.
        groups: figures of groups of them.
        cases: the conditions, the unchanged model first.
        handle: the model.
        batch_size: texts per forward pass.
        seed: of what is drawn.
    """

    tasks: tuple[HarnessTask, ...]
    groups: tuple[GroupFigure, ...]
    cases: tuple[BenchCase, ...]
    handle: ModelHandle
    batch_size: int
    seed: int

    @cached_property
    def keys(self) -> dict[tuple[int, int], str]:
        """(place of the task, place of the condition) -> part key; conditions that run the model alike have the same.

        Those that cannot be run have none.
        """
        return {
            (place, number): self._key(task, case)
            for place, task in enumerate(self.tasks)
            for number, case in enumerate(self.cases)
            if task.prompted or case.condition != PROMPTED
        }

    @cached_property
    def parts(self) -> dict[str, tuple[HarnessTask, BenchCase]]:
        """Part key -> what is run, each once, a task after the other."""
        found: dict[str, tuple[HarnessTask, BenchCase]] = {}
        for (place, number), key in self.keys.items():
            found.setdefault(key, (self.tasks[place], self.cases[number]))
        return found

    def _key(self, task: HarnessTask, case: BenchCase) -> str:
        numerics = self.handle.numerics(self.seed, writes=True)
        return part_key(
            {
                "stage": BenchTasks.command,
                "stage_version": RUN_VERSION,
                "task": task.digest,
                "template": task.how.template is not None,
                **case.told,
                "model": self.handle.identity,
                "numerics": numerics,
            }
        )


def _compute(work: StageContext, *, bench: Bench) -> Payload:
    """Each task under each condition is kept as it ends, in a file of its own."""
    parts = {key: artifact.read_json(PARTS)[key] for key, artifact in work.find_parts(list(bench.parts)).items()}
    parts |= {key: work.read_json(_file(key)) for key in bench.parts if key not in parts and work.has(_file(key))}
    counts = {"runs": len(bench.parts), "runs_reused": len(parts), "tokens_asked": 0, "tokens_run": 0}
    missing = {key: each for key, each in bench.parts.items() if key not in parts}
    total = sum(len(task.requests(case.system)) for task, case in missing.values())
    harness = None
    with work.reporter.progress("bench-tasks", total, "requests") as advance:
        for key, (task, case) in missing.items():
            if harness is None:
                from pasctl.evaluation.lm_eval_runs import Harness

                harness = Harness(bench.handle.load(work.reporter), bench.batch_size)
                work.ready()
            advance(0, f"{task.name}: {case.title}")
            parts[key] = harness.run(task, case.intervention(bench.handle.geometry()), case.system, advance)
            work.write(_file(key), parts[key])
            for name in ("tokens_asked", "tokens_run"):
                counts[name] += parts[key]["counts"][name]
    work.provenance["counts"] = counts
    read = {place: Part.of(parts[key]) for place, key in bench.keys.items()}
    return {
        ROWS: bench_rows(bench.tasks, bench.groups, bench.cases, read, bench.seed),
        PARTS: {key: parts[key] for key in bench.parts},
    }


def _file(key: str) -> str:
    return f"parts/{key}.json"


def _estimate(bench: Bench, store: Store) -> dict[str, Any]:
    """Runs, and the tokens of what they ask, from the tokenizer alone; texts that are written come on top."""
    held = store.find_parts(list(bench.parts))
    missing = [each for key, each in bench.parts.items() if key not in held]
    tokenizer, tokens_of = bench.handle.chat().tokenizer, _harness().tokens_of
    tokens = {
        (task.name, case.system): tokens_of(task.requests(case.system), lambda text: tokenizer(text)["input_ids"])
        for task, case in {(task.name, case.system): (task, case) for task, case in missing}.values()
    }
    return {
        "runs": len(bench.parts),
        "runs_to_do": len(missing),
        "tokens_asked": sum(tokens[task.name, case.system] for task, case in missing),
    }


def benchmark_rows(benchmarks: Artifact) -> Mapping[str, Any]:
    """What an artifact of this stage tells: `tasks`, `conditions`, `rows`; see `bench_rows`."""
    rows: Mapping[str, Any] = benchmarks.read_json(ROWS)
    return rows


def benchmarks_content(benchmarks: Artifact) -> Content:
    """What a page says about tasks."""
    from pasctl.report.sections.benchmarks import benchmarks as section

    return section(benchmark_rows(benchmarks))
