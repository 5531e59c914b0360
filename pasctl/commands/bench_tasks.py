"""`pasctl bench-tasks`."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.evaluate import Evaluate
from pasctl.commands.say import Say
from pasctl.commands.shared import AlphasLike, OfDirections, Positioned, Seeded
from pasctl.declaration import StageDeclaration
from pasctl.memory.trial_plan import parse_names
from pasctl.option import option, same


@dataclass(frozen=True, kw_only=True)
class BenchTasks(
    OfDirections,
    Positioned,
    Seeded,
    StageDeclaration,
    command="bench-tasks",
    function="bench_tasks",
    action="pasctl.stages.bench_tasks:plan",
    makes="benchmarks",
    then="pasctl report latest --output page.html",
    version=1,
    panel="Steering",
    place=7,
    positional=("tasks",),
    takes=("store", "max_memory", "wait", "dry_run", "json"),
    implied=frozenset(("strengths", "systems", "harness", "documents")),
    examples=(
        "pasctl bench-tasks --tasks arc_easy,wikitext --persona E+ --limit 200",
        "pasctl bench-tasks --tasks my_task.yaml --persona E+,N+ --alpha auto,2 --mode persona,prompted",
    ),
):
    """Run lm-eval's tasks on a steered model, and tell what a persona costs on them.

    Each task runs on the unchanged model, steered to the persona, steered in random directions of equal norm, and
    prompted with the persona. Every figure stands with its difference from the unchanged model, with an interval paired
    by document. A task that was run under a condition before is taken from the store. Needs `pasctl[lm-eval]`.
    """

    tasks: str | tuple[str, ...] = option(
        help="lm-eval's names of tasks and groups, or YAML files of your own, which may run code of theirs.",
        metavar="NAME|FILE[,...]",
        parse=parse_names,
        record="provenance",
        digest=("documents",),
        from_file=False,
    )
    persona: str | None = same(Say, "persona", None)
    alpha: AlphasLike = same(Say, "alpha", "auto")
    modes: str | None = option(
        None,
        help="Conditions that are compared with the unchanged model: persona, random-direction, prompted. Default: "
        "all.",
        flag="--mode",
        metavar="NAME[,NAME...]",
        key="conditions",
    )
    control_draws: int = same(Evaluate, "control_draws", 1)
    limit: int | None = option(None, help="Documents per task, the first ones. Default: all.", minimum=1, metavar="N")
    num_fewshot: int | None = option(
        None,
        help="Solved examples that stand before each document, drawn by the seed. Default: as the task says.",
        minimum=0,
        metavar="N",
    )
    chat_template: bool = option(
        False, help="Ask through the model's chat template; what the model is prompted with is then its system text."
    )
    batch_size: int = option(8, help="Texts per forward pass.", minimum=1, metavar="N", record="nowhere")
