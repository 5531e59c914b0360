"""Where the modules of a model that accelerate has spread over devices compute.

A module whose weights wait in memory or on the disk has parameters on torch's meta device until it is called: a hook of
accelerate's brings them in for the call, to the device that the hook names.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from typing import Any

import torch
from torch import Tensor, nn


def device_of(module: nn.Module) -> torch.device:
    """The device that a module computes on; of one without weights or a hook, the CPU."""
    hook: Any = getattr(module, "_hf_hook", None)
    for part in (*getattr(hook, "hooks", ()), hook):
        if (named := getattr(part, "execution_device", None)) is not None:
            return torch.device(named)
    tensor = next(itertools.chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if tensor is None else tensor.device


def is_spread(model: Any) -> bool:
    """Whether a transformers model has its layers on several devices, or some on the disk."""
    places = getattr(model, "hf_device_map", None) or {}
    return len(set(map(str, places.values()))) > 1 or "disk" in places.values()


def weight_of(module: nn.Module | None) -> Tensor | None:
    """The weight of a module, a copy if it waits elsewhere until the module is called; None if there is none."""
    weight: Tensor | None = getattr(module, "weight", None)
    if module is None or weight is None or not weight.is_meta:
        return weight
    from accelerate.utils import align_module_device  # type: ignore[import-untyped]

    with align_module_device(module):
        return module.weight.clone()  # type: ignore[operator]


def offload_folder() -> str:
    """An empty folder, until this process ends, for weights on the disk that transformers converts as it reads them."""
    folder = tempfile.mkdtemp(prefix="pasctl-offload-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
