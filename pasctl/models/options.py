"""How to load a model: the options that every command which runs one has."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.option import option


@dataclass(frozen=True)
class ModelOptions:
    """How to load a model; "auto" is resolved by `pasctl.models.device`."""

    revision: str | None = option(
        None, help="Branch, tag or commit of a hub model.", metavar="REV", record="provenance"
    )
    dtype: str = option(
        "auto",
        help="auto, float32, bfloat16 or float16.",
        metavar="DTYPE",
        env="PASCTL_DTYPE",
        record="numerics",
    )
    device: str = option(
        "auto", help="auto, cpu, cuda, cuda:1, mps.", metavar="DEVICE", env="PASCTL_DEVICE", record="nowhere"
    )
    attn: str = option(
        "auto",
        help="Attention function of transformers: auto (sdpa), eager, flash_attention_2, flex_attention, ...",
        metavar="NAME",
        env="PASCTL_ATTN",
        record="numerics",
    )
    quantize: str = option(
        "auto",
        help="Weights of the linear layers as int8 or int4, by torchao; none, or auto (as the input was made).",
        metavar="BITS",
        env="PASCTL_QUANTIZE",
        record="numerics",
    )
    device_map: str | None = option(
        None,
        help="Spread the model over devices: auto, balanced, ... (needs accelerate).",
        metavar="MAP",
        record="nowhere",
    )
    tp: bool = option(
        False,
        help="Share the model out among the processes that torchrun has started (tensor parallel).",
        record="nowhere",
    )
    trust_remote_code: bool = option(
        False, help="Run code that comes with the model. Off unless you say so.", record="nowhere", from_file=False
    )

    def require_one_process(self, command: str) -> None:
        """Refuse to share a model out among processes for a command of which only one can do the work.

        Raises:
            InputError: --tp.
        """
        if self.tp:
            raise InputError(
                f"{command} works in one process, and --tp shares the model out among several",
                hint="leave out --tp; --device-map auto spreads a model over the devices of one process",
            )
