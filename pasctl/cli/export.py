"""`pasctl export`: a steered model as a checkpoint that others load, and the proof that it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, print_outcome, write
from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from pasctl.commands.export import ExportCheck, ExportCreate
    from pasctl.export.proof import Proof
    from pasctl.stages.control_vector import ControlVector
    from pasctl.stages.export_place import ExportOutcome
    from pasctl.stages.run import Run

_DEFAULT = "create"


class _CreateByDefault(TyperGroup):
    """`pasctl export REF ...` means `pasctl export create REF ...`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the name of the default command before what names none."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [_DEFAULT, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_CreateByDefault,
    help="Write a steered model as a checkpoint that others load (REF, the same as create REF), or check one.",
    no_args_is_help=True,
    rich_markup_mode=None,
    subcommand_metavar="REF ... | check DIR ...",
)


def create(options: ExportCreate, run: Run, *, json: bool) -> None:
    """Export, and print the proof."""
    made = run.make(options)
    if json:
        print_json(made.to_json())
    elif options.control_vector is not None:
        _print_control_vector(made, options.control_vector)
    else:
        _print_checkpoint(made, str(options.output))


def _print_checkpoint(made: ExportOutcome, output: str) -> None:
    name = made.outcome.artifact.name if made.outcome.artifact else ""
    if made.proof is None and name:
        write(f"{output}  would be written again  ({name})")
    elif made.proof is None:
        print_outcome(made.outcome, as_json=False)
    else:
        outcome = "written and proven" if made.written else "is there already and whole, nothing was loaded or written"
        write(f"{output}  {outcome}  ({name})")
        write(figures(made.proof))


def _print_control_vector(made: ControlVector, path: str) -> None:
    none = ", ".join(map(str, made.without))
    layers = f"{len(made.layers)} layers" + (f", not layer {none}, where the format has none" if made.without else "")
    if made.proof is None:
        write(f"{path}  would be written  ({layers})")
        return
    proof = made.proof
    rows = [
        ["nats/token", "mean", "largest"],
        ["vectors of the file and steered model", f"{proof.mean:.2g}", f"{proof.largest:.2g}"],
        ["steered and unsteered model", f"{proof.effect_mean:.2g}", f"{proof.effect_largest:.2g}"],
    ]
    write(f"{path}  written  ({layers})")
    write(f"read by {made.reads}")
    exact = proof.fault() is None
    added = "added after the attention" if made.at == "attention" else "added after a layer"
    write(f"{added}: {'the steering itself' if exact else 'an approximation of the steering'}")
    write(f"{align(rows)}\n{proof.tokens} tokens in {proof.engine}; {proof.share:.1%} of the steering's effect")


def check(options: ExportCheck, run: Run, *, json: bool) -> None:
    """Check an export, and print the proof; one that does not pass is an error."""
    from pasctl.export.engines import ENGINES
    from pasctl.export.engines.engine import AbsentEngine

    folder = str(options.folder)
    try:
        proof = run.make(options)
    except AbsentEngine:
        write("\n".join(ENGINES.get(options.engine)().instructions(folder, str(run.store.root))))
        raise
    fault = proof.fault()
    if json:
        print_json({"folder": folder, "passed": fault is None, "fault": fault, **proof.to_json()})
    else:
        write(figures(proof))
    if fault is not None:
        raise PasctlError(f"{folder} {fault}")


def figures(proof: Proof) -> str:
    """The proof as text."""
    from pasctl.export.proof import LARGEST

    rows = [
        ["nats/token", "mean", "largest"],
        ["checkpoint and steered model", f"{proof.mean:.2g}", f"{proof.largest:.2g}"],
        [f"allowed in {proof.dtype}", f"{proof.tolerance:g}", f"{LARGEST * proof.tolerance:g}"],
        ["steered and unsteered model", f"{proof.effect_mean:.2g}", f"{proof.effect_largest:.2g}"],
    ]
    return f"{align(rows)}\n{proof.tokens} tokens in {proof.engine}; {proof.share:.1%} of the steering's effect"
