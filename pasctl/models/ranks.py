"""Processes that torchrun has started to share one model: each runs the same command, and number 0 speaks for all."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta

from pasctl.errors import InputError

_LONGEST_STEP = timedelta(hours=2)  # a rank may wait so long for another, which loads or reads a file
_START = "start it with `torchrun --nproc-per-node 2 -m pasctl ...`, one process per device"


@dataclass(frozen=True)
class Ranks:
    """This process among those that share a model.

    Attributes:
        number: of this one, from 0; number 0 writes and prints for all.
        count: of all.
    """

    number: int
    count: int


_joined: list[Ranks] = []


def joined() -> Ranks | None:
    """This process among those that share the model; None if it has a model of its own."""
    return _joined[0] if _joined else None


def join(device: str) -> Ranks:
    """Take this process's place among those that torchrun has started.

    Raises:
        InputError: torchrun has not started several, or they shall not run where transformers would put them.
    """
    if _joined:
        return _joined[0]
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if "RANK" not in os.environ or count < 2:
        raise InputError("--tp shares a model out among processes, and this is the only one", hint=_START)
    import torch

    kind = _device()
    if device != kind:
        raise InputError(f"--tp runs on this machine's {kind} devices, one per process, found --device {device}")
    if kind != "cpu":
        torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("gloo" if kind == "cpu" else None, timeout=_LONGEST_STEP)
    _joined.append(Ranks(torch.distributed.get_rank(), count))
    return _joined[0]


def agreed(value: bool) -> bool:
    """What rank 0 says, on all ranks; a process that shares no model has its own way."""
    if not _joined:
        return value
    import torch

    given = torch.tensor([int(value)], device=_device())
    torch.distributed.broadcast(given, 0)
    return bool(given.item())


def meet() -> None:
    """Wait for all ranks to come here."""
    if _joined:
        import torch

        torch.distributed.barrier()


def _device() -> str:
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return "cpu" if accelerator is None else accelerator.type
