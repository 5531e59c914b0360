"""What a model folder holds, as transformers writes and reads it, and what is missing from an incomplete one."""

from __future__ import annotations

from pathlib import Path

from pasctl.json_file import read_json

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
INDEX = "model.safetensors.index.json"
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json")
VOCABULARIES = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
TOKENIZER_FILES = (
    *VOCABULARIES,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "chat_templates/*",
    "additional_chat_templates/*",
)


def matching(folder: Path, patterns: tuple[str, ...]) -> set[Path]:
    """The files of a folder that match any of the patterns."""
    return {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}


def first_gap(folder: Path) -> str | None:
    """Name of a file that a loadable model folder needs and this one lacks; None if it has all."""
    if not (folder / "config.json").is_file():
        return "config.json"
    weights = _weights_gap(folder)
    if weights is not None:
        return weights
    # transformers makes up an empty tokenizer where there is none
    return None if matching(folder, VOCABULARIES) else VOCABULARIES[0]


def _weights_gap(folder: Path) -> str | None:
    if (folder / "model.safetensors").is_file():
        return None
    index = folder / INDEX
    if not index.is_file():
        return None if any(folder.glob("*.safetensors")) else "model.safetensors"
    try:
        shards = sorted(set(read_json(index)["weight_map"].values()))
        return next((shard for shard in shards if not (folder / shard).is_file()), None)
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"a readable {INDEX}"
