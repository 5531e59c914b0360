"""Whether a model fits the machine that it shall run on, known before anything of it is loaded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pasctl.errors import InputError
from pasctl.models.footprint import Footprint

TIGHT = 0.9  # share of the memory from which on a run is close to its end
_FEW_TOKENS = 128
_NO_LIMIT = 1 << 60  # control groups of version 1 write a number near 2^63 for none
# Numbers in the weights of one family's models, tied ones counted once.
_QWEN3 = {"0.6B": 596e6, "1.7B": 1_721e6, "4B": 4_022e6, "8B": 8_191e6, "14B": 14_768e6, "32B": 32_762e6}


def require_fit(spec: str, footprint: Footprint, *, weights: int, dtype: str, device: str) -> str | None:
    """Refuse a model that cannot fit; None, or a sentence about one that barely does.

    What counts is what can be had, not what is free: the system gives up its page cache. Weights that are mapped from
    their files could be given up as well, but a model that is read from the disk with every pass is of no use.

    Args:
        spec: the model's name for the user.
        footprint: its sizes, in the dtype that it runs in.
        weights: bytes of its weights, on the device.
        dtype: that it runs in.
        device: where it runs.

    Raises:
        InputError: weights and work on one short question take more memory than there is.
    """
    work = _work(footprint)
    for where, there, needs in _places(footprint, weights, work, device):
        if needs > there:
            raise InputError(
                f"{spec} in {dtype} does not fit: it needs {_gb(needs)} {where} (weights {_gb(weights)}, "
                f"work {_gb(needs - weights)}), and {_gb(there)} can be had",
                hint=_hint(there - work, footprint, weights, device),
            )
        if needs > TIGHT * there:
            return f"memory is tight: the model needs {_gb(needs)} of the {_gb(there)} {where} that can be had"
    return None


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a process can still get, page cache and swap included; None where the system does not tell.

    Args:
        root: where /proc and /sys are.
    """
    known = _numbers(root / "proc/meminfo")
    swap = 1024 * known.get("SwapFree:", 0)
    bounds = [allowed + swap for allowed in _group_memory(root)]
    if "MemAvailable:" in known:
        bounds.append(1024 * known["MemAvailable:"] + swap)
    return min(bounds) if bounds else _physical_memory()


def free_on_device(device: str) -> int | None:
    """Bytes that can still be had on a CUDA device, those included that torch keeps for later; None for others."""
    if not device.startswith("cuda"):
        return None
    import torch

    free, _ = torch.cuda.mem_get_info(device)
    return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))


def _places(footprint: Footprint, weights: int, work: int, device: str) -> Iterator[tuple[str, int, int]]:
    """Where memory is needed: words for it, bytes that can be had, and bytes needed."""
    on_device = free_on_device(device)
    if on_device is not None:
        yield f"on {device}", on_device, weights + work
    host = available_memory()
    if host is None:
        return
    if device in ("cpu", "mps"):
        yield "of memory", host, weights + work
    elif footprint.sizes.stored != footprint.itemsize:  # converted where the process lives, then moved
        yield "of memory, to be loaded", host, weights


def _work(footprint: Footprint) -> int:
    """Bytes that one short question takes."""
    return footprint.forward(1, _FEW_TOKENS, 0) + footprint.keys_and_values(_FEW_TOKENS) + footprint.logits(1)


def _hint(room: int, footprint: Footprint, weights: int, device: str) -> str:
    ways = []
    if footprint.itemsize == 4 and weights // 2 <= room:
        ways.append(f"--dtype bfloat16 makes the weights {_gb(weights // 2)}")
    if footprint.sizes.packed is None and footprint.sizes.stored:  # no .gguf file
        ways.append("--quantize int8 or int4 packs its linear layers")
    if device != "cpu":
        ways.append("--device-map auto spreads it over devices and memory")
    numbers = max(room, 0) / 2
    fitting = [name for name, size in _QWEN3.items() if size <= numbers]
    largest = f", such as Qwen3-{fitting[-1]}" if fitting else ""
    if numbers >= 1e8:
        ways.append(f"a model of up to about {numbers / 1e9:.1f} billion parameters fits in bfloat16{largest}")
    else:
        ways.append("take a smaller model, or check the sizes in its config.json")
    return "; ".join(ways)


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None


def _group_memory(root: Path) -> Iterator[int]:
    """What each control group around this process still allows, swap apart."""
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            yield from _allowed(groups, path, _unified)
        elif "memory" in controllers.split(","):
            yield from _allowed(groups / "memory", path, _legacy)


def _allowed(top: Path, path: str, read: Callable[[Path], int | None]) -> Iterator[int]:
    """Of a group and all that it is in. In a container the path may be the host's: then the top is the container's."""
    inner = top / path.strip("/")
    folders = [top, *(top / part for part in reversed(inner.relative_to(top).parents)), inner]
    for folder in dict.fromkeys(folders):
        allowed = read(folder)
        if allowed is not None:
            yield allowed


def _unified(folder: Path) -> int | None:
    """Of a group of version 2: its limit, less what is used and cannot be given up."""
    stat = _numbers(folder / "memory.stat")
    cache = stat.get("inactive_file", 0) + stat.get("active_file", 0) + stat.get("slab_reclaimable", 0)
    return _left(_number(folder / "memory.max"), _number(folder / "memory.current"), cache)


def _legacy(folder: Path) -> int | None:
    """Of a group of version 1."""
    stat = _numbers(folder / "memory.stat")
    cache = stat.get("total_inactive_file", 0) + stat.get("total_active_file", 0)
    return _left(_number(folder / "memory.limit_in_bytes"), _number(folder / "memory.usage_in_bytes"), cache)


def _left(limit: int | None, used: int | None, cache: int) -> int | None:
    if limit is None or used is None or limit >= _NO_LIMIT:
        return None
    return max(0, limit - max(0, used - cache))


def _number(path: Path) -> int | None:
    text = _read(path).strip()
    return int(text) if text.isdecimal() else None


def _numbers(path: Path) -> dict[str, int]:
    """Lines of a name and a number."""
    words = (line.split() for line in _read(path).splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdecimal()}


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
