"""Loading a model: weights, tokenizer, chat template and geometry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pasctl.errors import InputError
from pasctl.models.adapters import adapter_for, resolve_attention
from pasctl.models.attention_choice import attention_remark, require_attention
from pasctl.models.chat import ChatRenderer
from pasctl.models.device import release_freed_memory, resolve_device, resolve_dtype, torch_dtype
from pasctl.models.families import require_known
from pasctl.models.footprint import Footprint, Sizes, read_sizes
from pasctl.models.geometry import Geometry, read_geometry
from pasctl.models.gguf_reader import shared_reading
from pasctl.models.gguf_weights import read_gguf_footprint
from pasctl.models.hub import fetch_snapshot
from pasctl.models.identity import ModelSource, resolve_model
from pasctl.models.loaded import LoadedModel
from pasctl.models.machine import require_fit
from pasctl.models.model_files import FileStamp, list_model_files, require_own_code, require_unchanged, stamps
from pasctl.models.parallel import loading_options, note_shares, require_shareable
from pasctl.models.placement import offload_folder
from pasctl.models.proving import given_model, prove
from pasctl.models.quantize import (
    packed_sizes,
    partly_packed,
    quantization_options,
    require_quantization,
    resolve_quantization,
    stored_quantization,
    stored_sizes,
)
from pasctl.models.ranks import Ranks, join
from pasctl.models.sites import text_config
from pasctl.models.transformers_compat import one_line_errors, quiet_transformers
from pasctl.models.weights import (
    empty_model,
    read_tokenizer,
    read_weights,
    require_packages,
    takes_masks,
)

__all__ = ["LoadedModel", "MetaModel", "load_chat", "load_meta_model", "load_model"]


def load_model(
    source: ModelSource | str | LoadedModel | nn.Module,
    tokenizer: Any = None,
    *,
    dtype: str = "auto",
    device: str = "auto",
    attn: str = "auto",
    quantize: str = "auto",
    device_map: str | dict[str, Any] | None = None,
    tp: bool = False,
    trust_remote_code: bool = False,
    check: bool = True,
    note: Callable[[str], None] | None = None,
) -> LoadedModel:
    """Load a model and prove on one question that it can be read and steered.

    Args:
        source: a resolved model, or the words for one; or a CausalLM of transformers, or peft's around one, that is in
            memory: it is left as it is, in training or not, and takes no option but `check` and `note`.
        tokenizer: of a model that is in memory.
        dtype: auto, float32, bfloat16 or float16.
        device: auto, cpu, cuda, cuda:N, mps, xpu.
        attn: attention implementation by transformers' name; auto = sdpa where the family has it.
        quantize: int8 or int4 for weights of so many bits; auto = none = as they are.
        device_map: how accelerate spreads the model over devices; `device` then only decides dtype.
        tp: share the model out among the processes that torchrun has started (see `pasctl.models.parallel`).
        trust_remote_code: run code that comes with the model.
        check: run the self-check.
        note: is given a sentence about a model that barely fits the machine.

    Raises:
        MissingError: files, or packages to read them, are not there.
        InputError: an unsupported family, an unknown option, files that loading must not read, or a model too large.
        PasctlError: transformers could not load it, its files changed meanwhile, or the self-check failed.
    """
    note = note or (lambda _: None)
    if not isinstance(source, ModelSource | str):
        options = (dtype, device, attn, quantize, device_map, tp, trust_remote_code)
        if options != (*("auto",) * 4, None, False, False):
            raise InputError("options of how to load are given with a model that is loaded", hint="leave them out")
        return given_model(source, tokenizer, note, check=check)
    if tokenizer is not None:
        raise InputError("a tokenizer is given with a model that has its own", hint="leave it out")
    source = resolve_model(source) if isinstance(source, str) else source
    require_known(source, trust_remote_code=trust_remote_code)
    how = _settle(source, dtype, device, attn, quantize, device_map, tp=tp, trust_remote_code=trust_remote_code)
    loaded = _load(source, how, note)
    if check:
        prove(loaded, note)
    return loaded


def _load(source: ModelSource, how: _How, note: Callable[[str], None]) -> LoadedModel:
    """The model, unproven."""
    path = _local_path(source, weights=True)
    before = source.files or _stamps(path)
    if how.trust_remote_code and path.is_dir():
        require_own_code(path, list_model_files(path))
    if slow := attention_remark(how.attn, how.device):
        note(slow)
    if how.device_map is None and how.ranks is None and (tight := _require_fit(source, how)):
        note(tight)
    with one_line_errors(source.spec), quiet_transformers(), shared_reading(path):
        model, tokenizer = _read(path, how), read_tokenizer(path, trust_remote_code=how.trust_remote_code)
    require_unchanged(source.spec, before, _stamps(path))
    loaded = replace(LoadedModel.wrap(model, tokenizer, source), quantization=how.quantization)
    if how.ranks is not None:
        note_shares(loaded)
    if how.quantization is not None and (few := partly_packed(loaded.footprint.sizes, how.quantization, how.dtype)):
        note(few)
    return loaded


@dataclass(frozen=True)
class _How:
    """How the weights are loaded, all of it settled; attributes as in `load_model`."""

    dtype: str
    device: str
    attn: str
    quantization: str | None
    device_map: str | dict[str, Any] | None
    ranks: Ranks | None
    trust_remote_code: bool


def _settle(
    source: ModelSource,
    dtype: str,
    device: str,
    attn: str,
    quantize: str,
    device_map: str | dict[str, Any] | None,
    *,
    tp: bool,
    trust_remote_code: bool,
) -> _How:
    """What the options mean here, before a weight is read or fetched; what cannot be is refused."""
    device, quantization = resolve_device(device), resolve_quantization(quantize)
    dtype = resolve_dtype(dtype, device, quantization)
    attn = resolve_attention(attn, source.family)
    require_packages(source, device_map)
    require_attention(attn, device, dtype)
    place, spread = _local_path(source, weights=False), device_map is not None
    require_quantization(source.spec, place, quantization, dtype=dtype, device=device, spread=spread)
    ranks = join(device) if tp else None
    if ranks is not None:
        if quantization is not None or spread:
            raise InputError(f"--tp cannot be combined with {'--device-map' if spread else '--quantize'}")
        require_shareable(place, source.spec, ranks, trust_remote_code=trust_remote_code)
    return _How(dtype, device, attn, quantization, device_map, ranks, trust_remote_code)


def _read(path: Path, how: _How) -> Any:
    """The weights, on their device."""
    options: dict[str, Any] = {"trust_remote_code": how.trust_remote_code}
    if how.quantization is not None:
        options |= quantization_options(how.quantization, how.device)
    stored = stored_quantization(path) if path.is_dir() else None
    if how.ranks is not None:
        options |= loading_options(how.ranks)
    elif how.device_map is not None:
        options |= {"device_map": how.device_map, "offload_folder": offload_folder()}
    elif how.device != "cpu" and (how.quantization or stored) is not None:  # such weights cannot be moved later
        options["device_map"] = {"": how.device}
    model = read_weights(path, dtype=torch_dtype(how.dtype), attn_implementation=how.attn, **options)
    if how.quantization is not None:  # each weight was there twice or more for a moment
        release_freed_memory()
    placed = how.ranks is not None or "device_map" in options or str(model.device) == how.device
    return model if placed else model.to(how.device)


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
    with one_line_errors(source.spec), quiet_transformers(), shared_reading(path):
        return ChatRenderer(read_tokenizer(path, trust_remote_code=trust_remote_code))


@dataclass(frozen=True)
class MetaModel:
    """What is known of a model without its weights.

    Attributes:
        geometry: layers, heads and widths.
        takes_masks: whether it takes a mask of our own.
        sizes: of its weights.
    """

    geometry: Geometry
    takes_masks: bool
    sizes: Sizes


def load_meta_model(
    source: ModelSource | str,
    *,
    attn: str = "auto",
    dtype: str = "float32",
    quantization: str | None = None,
    trust_remote_code: bool = False,
) -> MetaModel:
    """A model without its weights: its modules are laid out on torch's meta device and read as ever.

    Args:
        source: a resolved model, or the words for one.
        attn: attention implementation that it will run with.
        dtype: that it will run in.
        quantization: of its weights, one of QUANTIZATIONS; None for weights as they are stored.
        trust_remote_code: run code that comes with the model.

    Raises:
        MissingError: the tokenizer's files, or packages to read them, are not there.
        PasctlError: transformers could not read its config.
    """
    if isinstance(source, str):
        source = resolve_model(source)
    require_known(source, trust_remote_code=trust_remote_code)
    require_packages(source, None)
    path = _local_path(source, weights=False)
    with one_line_errors(source.spec), quiet_transformers(), shared_reading(path):
        model = empty_model(path, trust_remote_code=trust_remote_code)
        geometry = read_geometry(model, adapter_for(str(model.config.model_type)))
        stored = (model.config.dtype or torch.float32).itemsize if path.is_dir() else 0
        sizes = read_sizes(model, stored=stored)
        if quantization is not None:
            sizes = replace(sizes, packed=packed_sizes(model, quantization, torch_dtype(dtype).itemsize))
        elif path.is_dir():
            sizes = replace(sizes, packed=stored_sizes(path))
        return MetaModel(geometry, takes_masks(text_config(model), resolve_attention(attn, source.family)), sizes)


def _require_fit(source: ModelSource, how: _How) -> str | None:
    """Refuse what cannot fit, from sizes alone; a sentence about what barely does."""
    itemsize, on_host = torch_dtype(how.dtype).itemsize, how.device == "cpu"
    footprint: Footprint | None
    if source.kind == "gguf" and source.path is not None:
        footprint = read_gguf_footprint(source.path, itemsize, on_host=on_host)
    else:
        meta = load_meta_model(
            source, dtype=how.dtype, quantization=how.quantization, trust_remote_code=how.trust_remote_code
        )
        footprint = Footprint(meta.geometry, meta.sizes, itemsize, on_host)
    if footprint is None:
        return None
    return require_fit(source.spec, footprint, weights=footprint.weights, dtype=how.dtype, device=how.device)


def _stamps(path: Path) -> tuple[FileStamp, ...]:
    """Of what loading reads, as it is now; of a hub model this is where its files are looked through."""
    return stamps(list_model_files(path) if path.is_dir() else [path])


def _local_path(source: ModelSource, *, weights: bool) -> Path:
    if source.repo and source.sha:
        return fetch_snapshot(source.repo, source.sha, weights=weights)
    if source.path is None:
        raise InputError(f"{source.spec} cannot be loaded: it has no files")
    return source.path
