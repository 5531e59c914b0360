"""The tensors of a model folder or a .gguf file, read one at a time by name; no model is built and no code is run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pasctl.errors import InputError, MissingError
from pasctl.export.gguf_file import gguf_package
from pasctl.json_file import read_json
from pasctl.models.gguf_header import read_gguf_header, read_gguf_tensor_names
from pasctl.models.layout import INDEX, PICKLES, WEIGHTS, matching
from pasctl.models.shards import read_shards, read_weight_names

_HF = re.compile(r"(?:.*\.)?layers\.(\d{1,9})\.self_attn\.([qkvo])_proj\.(weight|bias)")
_GGUF = re.compile(r"blk\.(\d{1,9})\.attn_(q|k|v|output)\.(weight|bias)")
_VECTOR = re.compile(r"direction\.(\d{1,9})")

Slot = tuple[int, str]
"""A layer and what of it: "q_proj.bias", "o_proj.weight", or "vector"."""


@dataclass(frozen=True, eq=False)
class TensorFiles:
    """Where each tensor of a file or a folder is.

    Attributes:
        path: the file or folder.
        kind: "folder", "gguf", or "vector" for a .gguf file of control vectors.
        family: transformers' model_type, if it says one.
        files: name -> the file that has it.
        held: those that were read already.
    """

    path: Path
    kind: str
    family: str | None
    files: Mapping[str, Path]
    held: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    _open: dict[Path, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, path: Path) -> TensorFiles:
        """Look at a model folder or a .gguf file; no tensor is read.

        Raises:
            InputError: neither of them, a damaged one, or weights that are pickled.
            MissingError: it is not there.
        """
        if path.is_dir():
            return cls(path, "folder", _family(path), _weights(path))
        if not path.exists():
            raise MissingError(f"no such file or folder: {path}", hint="give a model folder or a .gguf file")
        header = read_gguf_header(path)
        kind = "vector" if header.family == "controlvector" else "gguf"
        return cls(path, kind, header.family, dict.fromkeys(read_gguf_tensor_names(path), path))

    @cached_property
    def slots(self) -> Mapping[Slot, str]:
        """Tensors of attention projections and control vectors: where they are in the model -> their names."""
        found: dict[Slot, str] = {}
        for name in self.files:
            if (match := (_HF if self.kind == "folder" else _GGUF).fullmatch(name)) is not None:
                found[int(match[1]), f"{match[2][0]}_proj.{match[3]}"] = name
            elif (match := _VECTOR.fullmatch(name)) is not None and self.kind == "vector":
                found[int(match[1]), "vector"] = name
        return found

    def read(self, name: str) -> Tensor:
        """A tensor, in its dtype; quantized blocks of a .gguf file as float32.

        Raises:
            InputError: the file is cut short or damaged.
        """
        if name in self.held:
            return self.held[name]
        path = self.files[name]
        try:
            if self.kind != "folder":
                return self._of_gguf(name)
            if path not in self._open:
                self._open[path] = safe_open(path, framework="pt")
            tensor: Tensor = self._open[path].get_tensor(name)
            return tensor
        except (SafetensorError, ValueError, IndexError, KeyError, OverflowError, TypeError, OSError) as error:
            raise InputError(f"{path}: {name} cannot be read: {error}", hint="download or export it again") from error

    def slot(self, layer: int, what: str) -> Tensor | None:
        """The float32 tensor of a projection or a vector; None if there is none."""
        name = self.slots.get((layer, what))
        return None if name is None else self.read(name).float()

    def layers(self, what: str) -> list[int]:
        """The layers that have such a tensor."""
        return sorted(layer for layer, each in self.slots if each == what)

    def _of_gguf(self, name: str) -> Tensor:
        gguf = gguf_package()
        if self.path not in self._open:
            self._open[self.path] = {tensor.name: tensor for tensor in gguf.GGUFReader(self.path).tensors}
        tensor = self._open[self.path][name]
        return torch.from_numpy(gguf.quants.dequantize(tensor.data, tensor.tensor_type).copy())


def _weights(folder: Path) -> dict[str, Path]:
    """The names of a folder's weights, and the file of each."""
    paths = [folder / WEIGHTS] if (folder / WEIGHTS).is_file() else []
    if not paths and (folder / INDEX).is_file():
        paths = read_shards(folder)
    if not paths and matching(folder, PICKLES):
        raise InputError(
            f"{folder} holds only pickled weights, which can run code when loaded; pasctl loads none",
            hint="convert them: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) writes safetensors",
        )
    files = sorted(folder.glob("*.gguf"))
    if not paths and files:
        raise InputError(f"{folder} has its weights in a .gguf file", hint=f"give the file: {files[0]}")
    if not paths:
        raise InputError(f"{folder} has no {WEIGHTS}", hint="give a model folder or a .gguf file")
    return {name: path for path in paths for name in read_weight_names(path)}


def _family(folder: Path) -> str | None:
    try:
        config = read_json(folder / "config.json", constants=True)
    except (OSError, ValueError):
        return None
    family = config.get("model_type") if isinstance(config, dict) else None
    return family if isinstance(family, str) else None
