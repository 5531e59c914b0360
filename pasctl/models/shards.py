"""Shards of weights: the index that says which file holds which weight, and whether the files agree with it."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.json_file import parse_json, read_json
from pasctl.models.layout import INDEX, VOCABULARIES, WEIGHTS, matching

_SHARD = re.compile(r"[\w+-][\w .+-]{0,200}\.safetensors", re.ASCII)  # filesystems have names of 255 bytes
_MOST_HEADER = 100_000_000  # bytes; what safetensors itself accepts


def first_gap(folder: Path) -> str | None:
    """Name of a file that a loadable model folder needs and this one lacks; None if it has all.

    Raises:
        InputError: the folder's index names files that it must not.
    """
    if not (folder / "config.json").is_file():
        return "config.json"
    if not (folder / WEIGHTS).is_file():
        if not (folder / INDEX).is_file():
            return WEIGHTS
        for name in sorted(shard_names(folder)):
            if not (folder / name).is_file():
                return name
    # transformers makes up an empty tokenizer where there is none
    return None if matching(folder, VOCABULARIES) else VOCABULARIES[0]


def shard_names(folder: Path) -> dict[str, set[str]]:
    """The names of the weights in each file that the folder's index names, by the file's name.

    Raises:
        InputError: the index has no weight_map, or names a file that is no .safetensors of this folder.
    """
    path = folder / INDEX
    try:
        weight_map = read_json(path)["weight_map"]
        if not isinstance(weight_map, dict) or not weight_map:
            raise TypeError("weight_map is no object with weights")
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} has no readable weight_map: {error}", hint="download the file again") from error
    shards: dict[str, set[str]] = {}
    for weight, name in weight_map.items():
        if not isinstance(name, str) or _SHARD.fullmatch(name) is None:
            raise InputError(
                f"{path} puts the weight {weight} into {name!r}, expected a .safetensors file of the same folder",
                hint="pasctl loads no pickled weights and nothing from outside a model's folder",
            )
        shards.setdefault(name, set()).add(weight)
    return shards


def read_shards(folder: Path) -> list[Path]:
    """The shards that a folder's index names, in order; each holds the weights that the index says, and no others.

    Raises:
        InputError: the index names files that it must not, or does not agree with what they hold.
        MissingError: a shard is not there.
    """
    shards = shard_names(folder)
    for name, expected in sorted(shards.items()):
        spare = read_weight_names(folder / name) ^ expected
        if spare:
            weight = min(spare)
            where = f"puts the weight {weight} into {name}, which does not hold it"
            if weight not in expected:
                where = f"does not say that {name} holds the weight {weight}"
            raise InputError(
                f"{folder / INDEX} {where}", hint="index and shards are of different models: download again"
            )
    return [folder / name for name in sorted(shards)]


def read_weight_names(path: Path) -> set[str]:
    """The names of the weights that the header of a .safetensors file lists.

    Raises:
        InputError: it is no such file.
        MissingError: it cannot be read.
    """
    return set(_header(path)) - {"__metadata__"}


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that the header of a .safetensors file has beside its weights.

    Raises:
        InputError: it is no such file.
        MissingError: it cannot be read.
    """
    said = _header(path).get("__metadata__", {})
    return {name: text for name, text in said.items() if isinstance(text, str)} if isinstance(said, dict) else {}


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream:
            (size,) = struct.unpack("<Q", stream.read(8))
            if size > _MOST_HEADER:
                raise ValueError(f"its header would be {size:,} bytes long")
            header = parse_json(stream.read(size))
            if not isinstance(header, dict):
                raise ValueError("its header is no object")
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    except (struct.error, ValueError) as error:
        raise InputError(f"{path} is no .safetensors file: {error}", hint="download the file again") from error
    return header
