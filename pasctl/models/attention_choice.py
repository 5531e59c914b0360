"""Which attention implementations of transformers can run here: what cannot is refused before a model is loaded."""

from __future__ import annotations

import importlib.util
import os
import shutil

from pasctl.errors import InputError, MissingError

_PACKAGES = {
    "flash_attention_2": "flash-attn",
    "flash_attention_3": "flash-attn-3",
    "flash_attention_4": "flash-attn-4",
}
_COMPILERS = ("c++", "g++", "clang++", "cl")


def require_attention(name: str, device: str, dtype: str) -> None:
    """Refuse an attention implementation that transformers does not know, or that cannot run here.

    Args:
        name: as transformers has it, or the id of a kernel on the hub.
        device: that the model runs on.
        dtype: that it runs in.

    Raises:
        InputError: it is neither built in, nor registered, nor the id of a kernel; or not for this device or dtype.
        MissingError: a package that it needs, or a compiler, is not installed.
    """
    if "/" in name:
        if importlib.util.find_spec("kernels") is None:
            raise MissingError(
                f"attention {name} needs the package kernels", hint="pip install kernels, or --attn sdpa"
            )
        return
    known = _known()
    if name not in known:
        raise InputError(f"attention {name!r} is unknown, expected auto or one of {', '.join(known)}")
    if name in _PACKAGES:
        _require_flash(name, device, dtype)
    if name == "flex_attention" and device == "cpu" and not _has_compiler():
        raise MissingError(
            "attention flex_attention is compiled for the CPU, and no C++ compiler is here",
            hint="install g++ or name a compiler in CXX, or --attn sdpa",
        )


def attention_remark(name: str, device: str) -> str | None:
    """A sentence about an implementation that runs here, but slowly; None about others."""
    if name != "flex_attention" or device != "cpu":
        return None
    return "flex_attention is compiled anew for inputs of other shapes, which takes about a minute each on a CPU"


def _known() -> list[str]:
    """Names that a model can be loaded with: no attention over pages of a cache, and not pasctl's own for memory."""
    from transformers import AttentionInterface

    names = {"eager", *AttentionInterface().valid_keys()}
    return sorted(name for name in names if "|" not in name and not name.startswith("pasctl"))


def _require_flash(name: str, device: str, dtype: str) -> None:
    import transformers.utils

    if device.partition(":")[0] not in ("cuda", "xpu"):
        raise InputError(f"attention {name} runs on a GPU, found device {device}", hint="--attn sdpa")
    if dtype not in ("bfloat16", "float16"):
        raise InputError(
            f"attention {name} computes in bfloat16 or float16, found {dtype}", hint="--dtype bfloat16, or --attn sdpa"
        )
    available = getattr(transformers.utils, f"is_{name.replace('attention', 'attn')}_available", lambda: True)
    if not available() and importlib.util.find_spec("kernels") is None:  # with kernels, transformers fetches one
        package = _PACKAGES[name]
        raise MissingError(
            f"attention {name} needs the package {package}", hint=f"pip install {package}, or --attn sdpa"
        )


def _has_compiler() -> bool:
    named = os.environ.get("CXX")
    return any(shutil.which(word) for word in ([named.split()[0]] if named and named.split() else _COMPILERS))
