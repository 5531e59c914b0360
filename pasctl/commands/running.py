"""Options of a run: how a command works, which changes no result and enters no key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.option import option

if TYPE_CHECKING:
    from pathlib import Path

    from pasctl.stages.runner import Store

    StoreLike = Store | Path | str
    Size = str | int
else:
    StoreLike = Size = str

DEFAULT_BATCH_TOKENS = 16_384


@dataclass(frozen=True)
class RunOptions:
    """What travels through every stage of a command."""

    store: StoreLike = option(
        "artifacts",
        help="Folder of the store.",
        metavar="DIR",
        env="PASCTL_STORE",
        record="nowhere",
        from_file="inside",
    )
    batch_tokens: int = option(
        DEFAULT_BATCH_TOKENS,
        help="Peak number of tokens in one forward pass; results keep their key.",
        minimum=1,
        metavar="N",
        record="nowhere",
    )
    max_memory: Size | None = option(
        None,
        help="Peak memory of the run, process and weights included, such as 6GB: batches are made to fit.",
        metavar="SIZE",
        env="PASCTL_MAX_MEMORY",
        record="nowhere",
    )
    wait: float | None = option(
        None,
        help="Wait at most so many seconds for another process that computes the same, then exit with 5. Default: as "
        "long as it works.",
        minimum=0,
        metavar="SECONDS",
        record="nowhere",
    )
    dry_run: bool = option(False, help="Print what would be done, and do nothing.", record="nowhere")
    json: bool = option(False, help="Print JSON instead of text.", record="nowhere")
