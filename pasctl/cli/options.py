"""Options that several commands share, each written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pasctl.models.options import ModelOptions

StoreDir = Annotated[str, typer.Option("--store", envvar="PASCTL_STORE", help="Folder of the store.", metavar="DIR")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Seed = Annotated[int, typer.Option("--seed", envvar="PASCTL_SEED", help="Seed; enters every key.")]
Model = Annotated[
    str,
    typer.Option(
        "--model", "-m", envvar="PASCTL_MODEL", help="demo, a hub id, a local folder, or a .gguf file.", metavar="MODEL"
    ),
]
OptionalModel = Annotated[
    str | None,
    typer.Option("--model", "-m", envvar="PASCTL_MODEL", help="Take inputs of this model only.", metavar="MODEL"),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model.", metavar="REV")
]
Dtype = Annotated[
    str, typer.Option("--dtype", envvar="PASCTL_DTYPE", help="auto, float32, bfloat16 or float16.", metavar="DTYPE")
]
Device = Annotated[
    str, typer.Option("--device", envvar="PASCTL_DEVICE", help="auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE")
]
Attn = Annotated[
    str,
    typer.Option(
        "--attn", envvar="PASCTL_ATTN", help="transformers' attention: auto (sdpa), eager, ...", metavar="NAME"
    ),
]
DeviceMap = Annotated[
    str | None,
    typer.Option("--device-map", help="Spread the model: auto, balanced, ... (needs accelerate).", metavar="MAP"),
]
TrustRemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run code that comes with the model. Off unless you say so.")
]
BatchTokens = Annotated[
    int,
    typer.Option("--batch-tokens", min=1, help="At most this many tokens in one forward pass; results keep their key."),
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        envvar="PASCTL_MAX_MEMORY",
        help="Memory of the run, process and weights included, such as 6GB: batches are made to fit.",
        metavar="SIZE",
    ),
]
Inventory = Annotated[
    str,
    typer.Option(
        "--inventory", envvar="PASCTL_INVENTORY", help="builtin, papi:FOLDER, or papi (from the hub).", metavar="SPEC"
    ),
]
Personas = Annotated[
    str | None,
    typer.Option(
        "--personas",
        help="papi:FOLDER[:0-20|case=172481,...] (0-20 is the first 20), E+ or E+,N-, "
        "demo, a JSON or CSV file of answers, or a .parquet file[:0-20] with a row a respondent. "
        "Default: the inventory's own respondents.",
        metavar="SPEC",
    ),
]
Coding = Annotated[
    str,
    typer.Option(
        "--coding", help="How PAPI answers are stored: auto (proved from the data), keyed, agreement, as-published."
    ),
]
OptionOrder = Annotated[str, typer.Option("--option-order", help="forward, or both: the scale is also shown reversed.")]
TopK = Annotated[
    int | None,
    typer.Option(
        "--top-k",
        min=1,
        help="Heads a persona, default 24; with --granularity kv-group groups, by default as many as hold 24 heads. "
        "All of a smaller model.",
    ),
]
Granularity = Annotated[
    str,
    typer.Option(
        "--granularity",
        help="Choose and shift single heads (head), or all heads of a key-value group alike (kv-group), "
        "for export --engine stock and gguf.",
    ),
]
Method = Annotated[str, typer.Option("--method", help="Direction method: mass-mean or probe-weight.")]
Center = Annotated[
    str, typer.Option("--center", help="none, or population: take off the direction that all personas share.")
]
Select = Annotated[
    str,
    typer.Option(
        "--select",
        help="Heads by probe, or the layers by steering: those that bring answers to validation items nearest.",
    ),
]
TriedAlphas = Annotated[
    str,
    typer.Option("--alphas", help="Strengths to choose from; 0 leaves the model alone.", metavar="A[,A...]"),
]
Alpha = Annotated[
    str,
    typer.Option(
        "--alpha",
        help="Strength, or several: 0,1,2,4,6,8; auto: chosen on held-out fit items; oracle: on the reported ones, "
        "to compare with.",
        metavar="A[,A...]",
    ),
]
AlphaScope = Annotated[
    str, typer.Option("--alpha-scope", help="auto chooses for each persona, or one for the population.")
]
BudgetKl = Annotated[
    float | None,
    typer.Option("--budget-kl", help="auto moves neutral text no further: nats a token.", metavar="X"),
]
Folds = Annotated[int, typer.Option("--folds", help="Parts of the fit items, each held out once for auto.")]
Mode = Annotated[
    str | None,
    typer.Option(
        "--mode",
        help="Conditions: no-change, few-shot, personality-prompt, given-prose, pas, pas+few-shot, random-direction, "
        "shuffled-answers. Default: all.",
        metavar="NAME[,NAME...]",
    ),
]
OptionOrders = Annotated[
    int,
    typer.Option(
        "--option-orders", help="Orders of the options to average over: 2 reverses them, up to 10 rotate them.", min=1
    ),
]
ControlDraws = Annotated[
    int, typer.Option("--control-draws", help="Random directions that each persona is steered along.", min=1)
]
Prose = Annotated[
    str | None,
    typer.Option(
        "--prose", help="Texts about the personas for given-prose: papi:FOLDER, or a JSON file.", metavar="SPEC"
    ),
]
NeutralText = Annotated[
    str,
    typer.Option(
        "--neutral-text", help="Text that side effects are measured on: builtin, a file, or none.", metavar="FILE"
    ),
]
SvgFolder = Annotated[
    str | None, typer.Option("--svg", help="Also write each figure as a file of its own here.", metavar="DIR")
]
PngFolder = Annotated[
    str | None,
    typer.Option("--png", help="The same as PNG files.", metavar="DIR"),
]
PdfFolder = Annotated[str | None, typer.Option("--pdf", help="The same as PDF files.", metavar="DIR")]
Directions = Annotated[
    str | None, typer.Option("--directions", help="Directions to read; default: the latest.", metavar="REF")
]
ModelOfDirections = Annotated[
    str | None,
    typer.Option("--model", "-m", envvar="PASCTL_MODEL", help="Default: the model of the directions.", metavar="MODEL"),
]
Audit = Annotated[
    int, typer.Option("--audit", help="Answers to generate as text and compare with the letters.", min=0, metavar="N")
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="Only the I-th of N slices of the personas; after all of them, eval without it puts them together.",
        metavar="I/N",
    ),
]
Positions = Annotated[
    str, typer.Option("--positions", help="Steer at all positions, or from the answer on: all, answer.")
]

EvalPositions = Annotated[
    str | None,
    typer.Option(
        "--positions",
        help="Steer at all positions, or from the answer on. Default: as --select steering did, else all.",
    ),
]


def model_options(
    revision: str | None,
    dtype: str,
    device: str,
    attn: str,
    device_map: str | None,
    trust_remote_code: bool,
) -> ModelOptions:
    """The model options of a command as one value."""
    from pasctl.models.options import ModelOptions

    return ModelOptions(revision, dtype, device, attn, device_map, trust_remote_code)
