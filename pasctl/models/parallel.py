"""Tensor parallelism: one model whose heads are shared out among processes that torchrun has started.

Each process, a rank, runs the same command in step with the others (`pasctl.models.ranks`). transformers gives it a
share of every weight and sums what the ranks' output projections make; so a projection's input, its heads' outputs, is
whole only when it is gathered from all ranks, and its output is whole on each.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from pasctl.errors import InputError
from pasctl.models.ranks import Ranks, joined
from pasctl.models.sites import RESIDUAL

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel

_SHARED: WeakSet[nn.Module] = WeakSet()
"""Output projections whose input is a rank's own heads, their attention modules, and the models that they are in."""


def require_shareable(path: Path, spec: str, ranks: Ranks, *, trust_remote_code: bool) -> None:
    """Refuse a model that cannot be shared out evenly.

    Raises:
        InputError: it is no folder, its family has no plan in transformers, or its heads do not divide.
    """
    from transformers import AutoConfig

    if not path.is_dir():
        raise InputError(f"--tp shares out a model folder, {spec} is a file", hint="use --device-map, or no --tp")
    config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=trust_remote_code)
    text = config.get_text_config(decoder=True)
    if not getattr(text, "base_model_tp_plan", None):
        raise InputError(
            f"--tp: transformers has no plan to share out a {config.model_type} model", hint="use --device-map auto"
        )
    sizes = {"heads": text.num_attention_heads, "key-value heads": getattr(text, "num_key_value_heads", None)}
    for what, size in sizes.items():
        if isinstance(size, int) and size % ranks.count:
            raise InputError(
                f"--tp: {size} {what} cannot be shared out evenly among {ranks.count} processes",
                hint="take a number of processes that divides them, or --device-map auto",
            )


def loading_options(ranks: Ranks) -> dict[str, Any]:
    """What `from_pretrained` is to be given."""
    try:
        from transformers.distributed.configuration_utils import DistributedConfig

        return {"distributed_config": DistributedConfig(tp_size=ranks.count, tp_plan="auto")}
    except (ImportError, TypeError):  # an older transformers
        return {"tp_plan": "auto"}


def note_shares(loaded: LoadedModel) -> None:
    """Note which projections of a model that was loaded for several ranks see the rank's own heads only."""
    plan = getattr(loaded.model, "_tp_plan", None) or {}
    _SHARED.add(loaded.model)
    for site in loaded.sites:
        if site.kind == RESIDUAL or plan.get(re.sub(r"\.\d+(?=\.|$)", ".*", site.name)) != "rowwise":
            continue  # other styles take whole inputs
        _SHARED.add(loaded.model.get_submodule(site.name))
        _SHARED.add(loaded.model.get_submodule(site.name.rpartition(".")[0]))


def is_shared(module: nn.Module) -> bool:
    """Whether a model, an attention module or an output projection has a part of its heads on each rank."""
    return module in _SHARED


def gathered(module: nn.Module, share: Tensor, dim: int = -1) -> Tensor:
    """All heads, where a module has a rank's own; all ranks have to call it.

    Args:
        module: the attention or output projection.
        share: its heads, or what else is shared out as they are.
        dim: of the heads.
    """
    ranks = joined()
    if ranks is None or module not in _SHARED:
        return share
    own = share.contiguous()
    parts = [torch.empty_like(own) for _ in range(ranks.count)]
    torch.distributed.all_gather(parts, own)
    return torch.cat(parts, dim=dim)


def own_share(module: nn.Module, whole: Tensor, dim: int = -1) -> Tensor:
    """This rank's heads of all, where a module takes only those."""
    ranks = joined()
    return whole if ranks is None or module not in _SHARED else whole.chunk(ranks.count, dim=dim)[ranks.number]
