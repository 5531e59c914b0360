"""What `pasctl demo` prints: each step, the command that does the same, and what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.memory_eval import tables
from pasctl.cli.output import outcome_json, print_json, print_outcome, write, write_generated

if TYPE_CHECKING:
    from pasctl.commands.demo import Demo
    from pasctl.demo.step import Step
    from pasctl.stages.job import Outcome
    from pasctl.stages.run import Run


def present(options: Demo, run: Run, *, json: bool) -> None:
    """Do every step, and write the page."""
    from pasctl.demo.real import RealWalk
    from pasctl.demo.walk import Walk
    from pasctl.models.identity import DEMO
    from pasctl.stages.report import report, require_place

    require_place(Path(options.output))
    walk = Walk(run) if options.model == DEMO else RealWalk(run, options.model)
    outcomes = []
    for number, step in enumerate(walk.steps, start=1):
        if not json:
            write(f"\n{number}. {step.purpose}\n   $ {step.command}\n")
        outcomes.append(step.run())
        if not json:
            _show(step, outcomes[-1])
    page = report(walk.artifacts, options.output, store=run.store)
    if json:
        stages = [
            {**outcome_json(outcome), "command": step.command}
            for step, outcome in zip(walk.steps, outcomes, strict=True)
        ]
        print_json({"figures": walk.figures(), "stages": stages, "report": str(page.path)})
        return
    write(f"\nEverything is in the store {run.store.root}:\n")
    write(align([[artifact.name, artifact.short_key] for artifact in walk.artifacts]))
    write(f"\nThe report, with figures: {page.path}")


def _show(step: Step, outcome: Outcome) -> None:
    """What came of a step: its tables, or what a memory answered beside what is right."""
    from pasctl.cli.say import print_texts
    from pasctl.stages.memory_ask import read_answers
    from pasctl.stages.memory_eval import trial_figures
    from pasctl.stages.steering import DirectionSet

    print_outcome(outcome, as_json=False)
    made = outcome.artifact
    if made is None:
        return
    if made.kind == "directions":
        heads = DirectionSet.read(made).heads[0]
        layers = ", ".join(map(str, sorted(set(heads[:, 0].tolist()))))
        write(f"steered: {len(heads)} heads, all of layers {layers}")
    elif made.kind == "texts":
        print_texts(made)
    elif made.kind == "answers" and step.expected is not None:
        [answer] = read_answers(made)
        write_generated(f"answer: {answer['answer']}\nthe text says: {step.expected}")
    elif made.kind == "trials":
        figures: dict[str, Any] = trial_figures(made.read_json("trials.json"), made.provenance["costs"])
        write(f"\n{tables(figures)[0]}")
