"""What transformers leaves out when it reads a .gguf file: sizes that it takes from defaults, and biases."""

from __future__ import annotations

import copy
import importlib
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, PasctlError
from pasctl.models.adapters import adapter_for
from pasctl.models.digests import settled_stamp
from pasctl.models.footprint import Footprint, Sizes
from pasctl.models.geometry import Geometry
from pasctl.models.gguf_header import read_gguf_shapes, read_gguf_sizes, read_gguf_tensor_names
from pasctl.models.sites import attention_blocks

_SIZES = (("attention.key_length", "head_dim"), ("expert_feed_forward_length", "moe_intermediate_size"))
_BIAS = re.compile(r"blk\.(\d{1,9})\.(attn_q|attn_k|attn_v|attn_output)\.bias")
_PROJECTIONS = {"attn_q": "q_proj", "attn_k": "k_proj", "attn_v": "v_proj", "attn_output": "o_proj"}


def gguf_config(path: Path) -> Any:
    """The config that transformers makes of a .gguf file, with the file's own sizes where it takes defaults."""
    stamp = settled_stamp(path)
    return _read_config(path) if stamp is None else copy.deepcopy(_known_config(path, stamp))


@lru_cache(maxsize=2)
def _known_config(path: Path, stamp: tuple[str | int, ...]) -> Any:
    """Made once by a process for each state of the file: for it transformers reads the whole vocabulary."""
    return _read_config(path)


def _read_config(path: Path) -> Any:
    from transformers import AutoConfig

    with alone(path) as place:
        config: Any = AutoConfig.from_pretrained(str(place), gguf_file=path.name, local_files_only=True)
    sizes = read_gguf_sizes(path)
    for said, name in _SIZES:
        if said in sizes and hasattr(config, name):
            setattr(config, name, sizes[said])
    return config


def read_gguf_footprint(path: Path, itemsize: int, *, on_host: bool) -> Footprint | None:
    """What the model of a .gguf file takes, from its header alone: transformers needs seconds for its config.

    None where the header does not say all sizes.
    """
    known, shapes = read_gguf_sizes(path), read_gguf_shapes(path)
    try:
        hidden, heads, layers = (known[name] for name in ("embedding_length", "attention.head_count", "block_count"))
        kv_heads = known.get("attention.head_count_kv", heads)
        geometry = Geometry(layers, heads, kv_heads, known.get("attention.key_length", hidden // heads), hidden)
        channels, vocabulary = known["feed_forward_length"], max(shapes["token_embd.weight"])
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    counts = [math.prod(shape) for shape in shapes.values()]
    return Footprint(geometry, Sizes(sum(counts), max(counts), channels, vocabulary, 0), itemsize, on_host)


@contextmanager
def alone(path: Path) -> Iterator[Path]:
    """A folder with nothing in it but a .gguf file, under its own name, while the context lasts.

    Of what stands beside such a file, transformers takes tokenizer.json, chat templates, generation_config.json and
    adapters for the file's own: the file's digest would be the key of another model.
    """
    with tempfile.TemporaryDirectory(prefix="pasctl-gguf-") as folder:
        place = Path(folder) / path.name
        try:
            place.symlink_to(path.resolve())
        except OSError:  # Windows lets only some users make links
            _link_or_copy(path, place)
        yield Path(folder)


def _link_or_copy(path: Path, place: Path) -> None:
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


def put_back_biases(model: Any, path: Path) -> None:
    """Give v_proj the biases that a .gguf file has for it and that transformers dropped without a word.

    `pasctl export --engine gguf` steers by them: without them such a file would be its base model.

    Raises:
        PasctlError: biases of other projections were dropped.
    """
    import torch

    dropped: dict[str, Any] = {}
    blocks = attention_blocks(model, adapter_for(str(model.config.model_type)))
    for name in read_gguf_tensor_names(path):
        if (match := _BIAS.fullmatch(name)) is not None:
            if int(match[1]) not in blocks:
                raise InputError(f"{path} has the tensor {name}, but its model has {len(blocks)} layers")
            attention = blocks[int(match[1])].attention
            projection: Any = attention.get_submodule(_PROJECTIONS[match[2]])
            if projection.bias is None:
                dropped[name] = projection
    for name in dropped:
        if ".attn_v." not in name:
            raise PasctlError(f"{path} has the tensor {name}, which transformers drops: it would be another model")
    for name, bias in (_read(path, set(dropped)) if dropped else {}).items():
        values = dropped[name]
        if bias.shape != (len(values.weight),):
            raise InputError(f"{path}: tensor {name}: {len(values.weight)} values are expected, found {bias.size}")
        values.bias = torch.nn.Parameter(torch.from_numpy(bias).to(values.weight), requires_grad=False)


def read_value_biases(path: Path) -> dict[int, NDArray[np.float32]]:
    """The biases of v_proj that a .gguf file has, by layer [G*D]."""
    names = (_BIAS.fullmatch(name) for name in read_gguf_tensor_names(path))
    layers = {match[0]: int(match[1]) for match in names if match and match[2] == "attn_v"}
    return {layers[name]: bias for name, bias in _read(path, set(layers)).items()}


def _read(path: Path, names: set[str]) -> dict[str, NDArray[np.float32]]:
    gguf: Any = importlib.import_module("gguf")
    tensors = gguf.GGUFReader(path).tensors
    return {tensor.name: np.array(tensor.data, np.float32) for tensor in tensors if tensor.name in names}
