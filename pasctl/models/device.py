"""Device and dtype: the one place where `auto` is turned into a choice. Importable, and often usable, without torch."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
_DTYPE_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
_CPU_BF16_FLAGS = frozenset({"amx_bf16", "avx512_bf16"})
_CPU_INFO = Path("/proc/cpuinfo")
_MALLOPT_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h
_LARGE_BLOCK = 1 << 20


def resolve_device(name: str = "auto") -> str:
    """Device that `name` stands for; "auto" is the first accelerator that torch sees, else "cpu".

    Raises:
        InputError: no such kind of device, or torch does not see it here.
    """
    if not _DEVICE.fullmatch(name):
        raise InputError(f"device {name!r} is unknown, expected auto, cpu, cuda, cuda:N, mps or xpu")
    if name == "cpu" or (name == "auto" and not _may_have_accelerator()):
        return "cpu"
    import torch

    present = {
        "cuda": torch.cuda.device_count(),
        "mps": int(torch.backends.mps.is_available()),
        "xpu": torch.xpu.device_count(),
    }
    if name == "auto":
        return next((kind for kind, count in present.items() if count), "cpu")
    kind, _, index = name.partition(":")
    if int(index or 0) >= present[kind]:
        raise InputError(
            f"device {name!r} is not here: torch sees {present[kind]} of kind {kind}", hint="--device auto"
        )
    return name


def resolve_dtype(name: str = "auto", device: str = "cpu", quantization: str | None = None) -> str:
    """One of DTYPES; "auto" is bfloat16 where `device` computes it in hardware, else float32.

    With int4 weights it is bfloat16: torch's kernels for them are made for it, in float32 one takes 70 times as long.

    Raises:
        InputError: `name` is no dtype that a model is run in.
    """
    name = _DTYPE_SHORT.get(name, name)
    if name in DTYPES:
        return name
    if name != "auto":
        raise InputError(f"dtype {name!r} is unknown, expected auto, {', '.join(DTYPES)}")
    return "bfloat16" if quantization == "int4" or _has_fast_bf16(device) else "float32"


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype for one of DTYPES."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[resolve_dtype(name)]


def resident_memory() -> int:
    """Bytes of this process that are in memory; where the system does not tell, the most that ever were."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return peak_memory("cpu")


def peak_memory(device: str) -> int:
    """Bytes at the most, since the process began, of it or of what torch took on its CUDA device."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_reserved(device))
    status = Path("/proc/self/status")
    found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(), re.MULTILINE) if status.exists() else None
    if found:  # what getrusage tells is, on Linux, at least what the process took that started this one
        return int(found[1]) * 1024
    import resource  # not on every system

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024)


def give_memory_back() -> None:
    """From now on a large block goes back to the system when it is freed, where the C library is glibc.

    By itself it keeps blocks of up to 32 MiB for later. That spares page faults, but in the holes that they leave the
    next block may not fit, and how much a process takes then depends on chance: a tenth more, now and then.
    """
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_MALLOPT_MMAP_THRESHOLD, _LARGE_BLOCK)


def release_freed_memory() -> None:
    """Give what was freed back to the system, where the C library is glibc, which keeps blocks of it for later."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


def _may_have_accelerator() -> bool:
    """False only where there is plainly none, which spares the import of torch (seconds)."""
    if not sys.platform.startswith("linux"):
        return True
    dev = Path("/dev")
    if (dev / "kfd").exists() or (dev / "dri").exists() or (dev / "dxg").exists():  # AMD, Intel, WSL
        return True
    return any(dev.glob("nvidia*"))


def _has_fast_bf16(device: str) -> bool:
    if device == "cpu":
        return bool(_CPU_BF16_FLAGS & _cpu_flags())
    if device.startswith("cuda"):
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.startswith("xpu")


def _cpu_flags() -> frozenset[str]:
    try:
        text = _CPU_INFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return frozenset(found.group(1).split()) if found else frozenset()
