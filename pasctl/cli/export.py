"""`pasctl export`: a steered model as a checkpoint that others load, and the proof that it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json, print_outcome
from pasctl.cli.tables import align
from pasctl.errors import PasctlError

if TYPE_CHECKING:
    from pasctl.export.proof import Proof

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

Engine = Annotated[str, typer.Option("--engine", help="What loads it: transformers or vllm.", metavar="NAME")]


@app.command(_DEFAULT)
def create(
    directions: Annotated[
        str, typer.Argument(help="Directions: directions/model/label[@vN], a tag, a key, or latest.", metavar="REF")
    ],
    alpha: Annotated[float, typer.Option("--alpha", help="How strongly to steer.", metavar="A")],
    output: Annotated[str, typer.Option("--output", "-o", help="The folder to make.", metavar="DIR")],
    persona: Annotated[
        str | None, typer.Option("--persona", help="Who to steer to, if the directions have several.", metavar="ID")
    ] = None,
    engine: Engine = "transformers",
    license: Annotated[
        str | None, typer.Option("--license", help="The base model's, for the model card.", metavar="ID")
    ] = None,
    max_shard_size: Annotated[
        str, typer.Option("--max-shard-size", help="Bound on a weight file.", metavar="SIZE")
    ] = "5GB",
    force: Annotated[
        bool, typer.Option("--force", help="Replace an earlier export in DIR; never another folder.")
    ] = False,
    model: o.ModelOfDirections = None,
    revision: o.Revision = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    store: o.StoreDir = "artifacts",
    dry_run: o.DryRun = False,
    json: o.Json = False,
) -> None:
    """Write a steered model as a checkpoint, and prove that it is the steered model; the default of `export`."""
    from pasctl.stages.export import export_model

    made = export_model(
        directions,
        output,
        alpha=alpha,
        persona=persona,
        engine=engine,
        license=license,
        shard_size=max_shard_size,
        force=force,
        model=model,
        options=o.model_options(revision, dtype, device, attn, device_map, trust_remote_code),
        store=store,
        reporter=Terminal(),
        dry_run=dry_run,
    )
    if json:
        print_json(made.to_json())
        return
    name = made.outcome.artifact.name if made.outcome.artifact else ""
    if made.proof is None and name:
        print(f"{output}  would be written again  ({name})")
    elif made.proof is None:
        print_outcome(made.outcome, as_json=False)
    else:
        told = "written and proven" if made.written else "is there already and whole, nothing was loaded or written"
        print(f"{output}  {told}  ({name})")
        print(figures(made.proof))


@app.command("check")
def check(
    folder: Annotated[str, typer.Argument(help="A folder that `pasctl export` has written.", metavar="DIR")],
    engine: Engine = "transformers",
    model: o.ModelOfDirections = None,
    dtype: o.Dtype = "auto",
    device: o.Device = "auto",
    attn: o.Attn = "auto",
    device_map: o.DeviceMap = None,
    trust_remote_code: o.TrustRemoteCode = False,
    store: o.StoreDir = "artifacts",
    json: o.Json = False,
) -> None:
    """Repeat the proof of an export: its files are those that were written, and it is the steered model."""
    from pasctl.stages.export import check_export

    if engine == "vllm":
        from pasctl.export.vllm import environment, has_vllm

        if not has_vllm():
            print("\n".join(environment(folder, store)))
    proof = check_export(
        folder,
        engine=engine,
        model=model,
        options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code),
        store=store,
        reporter=Terminal(),
    )
    fault = proof.fault()
    if json:
        print_json({"folder": folder, "passed": fault is None, "fault": fault, **proof.to_json()})
    else:
        print(figures(proof))
    if fault is not None:
        raise PasctlError(f"{folder} {fault}")


def figures(proof: Proof) -> str:
    """The proof as text."""
    from pasctl.export.proof import LARGEST

    rows = [
        ["nats a token", "mean", "largest"],
        ["checkpoint and steered model", f"{proof.mean:.2g}", f"{proof.largest:.2g}"],
        [f"allowed in {proof.dtype}", f"{proof.tolerance:g}", f"{LARGEST * proof.tolerance:g}"],
        ["steered and unsteered model", f"{proof.effect_mean:.2g}", f"{proof.effect_largest:.2g}"],
    ]
    return f"{align(rows)}\n{proof.tokens} tokens in {proof.engine}; {proof.share:.1%} of the steering's effect"
