"""Loading a model: weights, tokenizer, chat template and geometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pasctl.errors import InputError
from pasctl.models.adapters import adapter_for, resolve_attention
from pasctl.models.chat import ChatRenderer
from pasctl.models.device import resolve_device, resolve_dtype, torch_dtype
from pasctl.models.families import require_known
from pasctl.models.footprint import Footprint, Sizes, read_sizes
from pasctl.models.geometry import Geometry, read_geometry
from pasctl.models.gguf_weights import read_gguf_footprint
from pasctl.models.hub import fetch_snapshot
from pasctl.models.identity import ModelSource, resolve_model
from pasctl.models.loaded import LoadedModel
from pasctl.models.machine import require_fit
from pasctl.models.model_files import FileStamp, list_model_files, require_own_code, require_unchanged, stamps
from pasctl.models.selfcheck import self_check
from pasctl.models.sites import text_config
from pasctl.models.transformers_compat import one_line_errors, quiet_transformers
from pasctl.models.weights import (
    empty_model,
    read_tokenizer,
    read_weights,
    require_attention,
    require_packages,
    takes_masks,
)

__all__ = ["LoadedModel", "MetaModel", "load_chat", "load_meta_model", "load_model"]


def load_model(
    source: ModelSource | str,
    *,
    dtype: str = "auto",
    device: str = "auto",
    attn: str = "auto",
    device_map: str | dict[str, Any] | None = None,
    trust_remote_code: bool = False,
    check: bool = True,
    note: Callable[[str], None] | None = None,
) -> LoadedModel:
    """Load a model and prove on one question that it can be read and steered.

    Args:
        source: a resolved model, or the words for one.
        dtype: auto, float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, mps, xpu.
        attn: attention implementation by transformers' name; auto = sdpa where the family has it.
        device_map: how accelerate spreads the model over devices; `device` then only decides dtype.
        trust_remote_code: run code that comes with the model.
        check: run the self-check.
        note: is given a sentence about a model that barely fits the machine.

    Raises:
        MissingError: files, or packages to read them, are not there.
        InputError: an unsupported family, an unknown option, files that loading must not read, or a model that cannot
            fit into this machine's memory.
        PasctlError: transformers could not load it, its files changed meanwhile, or the self-check failed.
    """
    if isinstance(source, str):
        source = resolve_model(source)
    require_known(source, trust_remote_code=trust_remote_code)
    device = resolve_device(device)
    dtype = resolve_dtype(dtype, device)
    attn = resolve_attention(attn, source.family)
    require_packages(source, device_map)
    require_attention(attn)
    path = _local_path(source, weights=True)
    before = source.files or _stamps(path)
    if trust_remote_code and path.is_dir():
        require_own_code(path, list_model_files(path))
    if device_map is None:
        tight = _require_fit(source, dtype, device, trust_remote_code=trust_remote_code)
        if tight and note:
            note(tight)
    common = {"trust_remote_code": trust_remote_code}
    place = {"device_map": device_map} if device_map is not None else {}
    with one_line_errors(source.spec), quiet_transformers():
        model = read_weights(path, dtype=torch_dtype(dtype), attn_implementation=attn, **common, **place)
        if device_map is None:
            model = model.to(device)
        tokenizer = read_tokenizer(path, **common)
    require_unchanged(source.spec, before, _stamps(path))
    loaded = LoadedModel.wrap(model, tokenizer, source)
    if check:
        with one_line_errors(source.spec):  # a family may do anything in its own code, and fail by it in any way
            loaded.report = self_check(loaded)
    return loaded


def load_chat(source: ModelSource | str, *, trust_remote_code: bool = False) -> ChatRenderer:
    """A model's chat renderer without its weights: enough to count a run's tokens.

    Raises:
        MissingError: the tokenizer's files, or packages to read them, are not there.
        PasctlError: transformers could not load it.
    """
    if isinstance(source, str):
        source = resolve_model(source)
    require_packages(source, None)
    path = _local_path(source, weights=False)
    with one_line_errors(source.spec), quiet_transformers():
        return ChatRenderer(read_tokenizer(path, trust_remote_code=trust_remote_code))


@dataclass(frozen=True)
class MetaModel:
    """What is known of a model without its weights.

    Attributes:
        geometry: layers, heads and widths.
        takes_masks: whether it takes a mask of our own.
        sizes: of its weights.
        quantized: bytes of the weights' files, where they are loaded as they are; None where they take the run's dtype.
    """

    geometry: Geometry
    takes_masks: bool
    sizes: Sizes
    quantized: int | None = None


def load_meta_model(source: ModelSource | str, *, attn: str = "auto", trust_remote_code: bool = False) -> MetaModel:
    """A model without its weights: its modules are laid out on torch's meta device and read as ever.

    Raises:
        MissingError: the tokenizer's files, or packages to read them, are not there.
        PasctlError: transformers could not read its config.
    """
    if isinstance(source, str):
        source = resolve_model(source)
    require_known(source, trust_remote_code=trust_remote_code)
    require_packages(source, None)
    path = _local_path(source, weights=False)
    with one_line_errors(source.spec), quiet_transformers():
        model = empty_model(path, trust_remote_code=trust_remote_code)
        geometry = read_geometry(model, adapter_for(str(model.config.model_type)))
        stored = (model.config.dtype or torch.float32).itemsize if path.is_dir() else 0
        quantized = None
        if path.is_dir() and getattr(model.config, "quantization_config", None):
            quantized = sum(file.stat().st_size for file in path.glob("*.safetensors"))
        return MetaModel(
            geometry,
            takes_masks(text_config(model), resolve_attention(attn, source.family)),
            read_sizes(model, stored=stored),
            quantized,
        )


def _require_fit(source: ModelSource, dtype: str, device: str, *, trust_remote_code: bool) -> str | None:
    """Refuse what cannot fit, from sizes alone; a checkpoint that is quantized stays as large as its files."""
    itemsize, on_host = torch_dtype(dtype).itemsize, device == "cpu"
    if source.kind == "gguf" and source.path is not None:
        footprint, quantized = read_gguf_footprint(source.path, itemsize, on_host=on_host), None
    else:
        meta = load_meta_model(source, trust_remote_code=trust_remote_code)
        footprint, quantized = Footprint(meta.geometry, meta.sizes, itemsize, on_host), meta.quantized
    if footprint is None:
        return None
    weights = itemsize * footprint.sizes.parameters if quantized is None else quantized
    return require_fit(source.spec, footprint, weights=weights, dtype=dtype, device=device)


def _stamps(path: Path) -> tuple[FileStamp, ...]:
    """Of what loading reads, as it is now; of a hub model this is where its files are looked through."""
    return stamps(list_model_files(path) if path.is_dir() else [path])


def _local_path(source: ModelSource, *, weights: bool) -> Path:
    if source.repo and source.sha:
        return fetch_snapshot(source.repo, source.sha, weights=weights)
    if source.path is None:
        raise InputError(f"{source.spec} cannot be loaded: it has no files")
    return source.path
