"""`pasctl export`: a steered model as a checkpoint that others load, and the proof that it is one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from pasctl.cli import options as o
from pasctl.cli.output import Terminal, print_json, print_outcome
from pasctl.cli.tables import align
from pasctl.errors import InputError, PasctlError

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

Engine = Annotated[
    str,
    typer.Option("--engine", help="What loads it: transformers, vllm, vllm-plugin, stock or gguf.", metavar="NAME"),
]


@app.command(_DEFAULT)
def create(
    directions: Annotated[
        str, typer.Argument(help="Directions: directions/model/label[@vN], a tag, a key, or latest.", metavar="REF")
    ],
    alpha: Annotated[float, typer.Option("--alpha", help="How strongly to steer.", metavar="A")],
    output: Annotated[
        str | None, typer.Option("--output", "-o", help="The folder to make: a whole model.", metavar="DIR")
    ] = None,
    control_vector: Annotated[
        str | None,
        typer.Option(
            "--control-vector",
            help="Instead of -o: a control vector for llama.cpp (.gguf), which comes near the steering.",
            metavar="FILE",
        ),
    ] = None,
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
        bool, typer.Option("--force", help="Replace an earlier export; never another folder or file.")
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
    common: dict[str, Any] = {
        "alpha": alpha,
        "persona": persona,
        "force": force,
        "model": model,
        "options": o.model_options(revision, dtype, device, attn, device_map, trust_remote_code),
        "store": store,
        "reporter": Terminal(),
        "dry_run": dry_run,
    }
    if control_vector is not None:
        _require_alone(output, engine, license)
        _control_vector(directions, control_vector, common, as_json=json)
    elif output is not None:
        _folder(
            directions, output, {**common, "engine": engine, "license": license, "shard_size": max_shard_size}, json
        )
    else:
        raise InputError("expected -o DIR, or --control-vector FILE, found neither")


def _require_alone(output: str | None, engine: str, license: str | None) -> None:
    """A control vector is no model: refuse what is said about one."""
    if output is not None:
        raise InputError("-o DIR and --control-vector FILE are two exports", hint="give one of them")
    if engine not in ("transformers", "gguf"):
        raise InputError(f"a control vector is for llama.cpp, found --engine {engine}", hint="leave --engine out")
    if license is not None:
        raise InputError("a control vector has no model card, found --license", hint="leave --license out")


def _folder(directions: str, output: str, how: dict[str, Any], as_json: bool) -> None:
    from pasctl.stages.export import export_model

    made = export_model(directions, output, **how)
    if as_json:
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


def _control_vector(directions: str, path: str, how: dict[str, Any], *, as_json: bool) -> None:
    from pasctl.stages.control_vector import export_control_vector

    made = export_control_vector(directions, path, **how)
    if as_json:
        print_json(made.to_json())
        return
    layers = f"{len(made.layers)} layers" + (", not layer 0, where llama.cpp adds none" if made.without else "")
    if made.proof is None:
        print(f"{path}  would be written  ({layers})")
        return
    proof = made.proof
    rows = [
        ["nats a token", "mean", "largest"],
        ["control vector and steered model", f"{proof.mean:.2g}", f"{proof.largest:.2g}"],
        ["steered and unsteered model", f"{proof.effect_mean:.2g}", f"{proof.effect_largest:.2g}"],
    ]
    print(f"{path}  written  ({layers})")
    print("an approximation: added behind a layer, not behind its attention")
    print(f"{align(rows)}\n{proof.tokens} tokens in {proof.engine}; {proof.share:.1%} of the steering's effect")


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
    from pasctl.export.engines import ENGINES
    from pasctl.export.engines.engine import AbsentEngine
    from pasctl.stages.export import check_export

    try:
        proof = check_export(
            folder,
            engine=engine,
            model=model,
            options=o.model_options(None, dtype, device, attn, device_map, trust_remote_code),
            store=store,
            reporter=Terminal(),
        )
    except AbsentEngine:
        print("\n".join(ENGINES.get(engine)().instructions(folder, store)))
        raise
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
