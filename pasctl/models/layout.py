"""What a model folder holds, as transformers writes and reads it, and what is missing from an incomplete one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_DEMO = Path(__file__).parents[1] / "demo"
BUNDLED: Mapping[str, Path] = MappingProxyType({"demo": _DEMO / "model", "demo-reader": _DEMO / "reader"})
"""The models in the package, by the words that they are asked for with."""
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
GENERATION = "generation_config.json"
ADAPTER = "adapter_config.json"
CUSTOM_GENERATE = "custom_generate/generate.py"
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
# What else some class of transformers' tokenizers reads; a config.json or tokenizer_config.json may name any class.
OTHER_VOCABULARIES = (
    *("vocab.txt", "vocab-src.json", "vocab-tgt.json", "target_vocab.json", "entity_vocab.json", "dict.txt"),
    *("sentencepiece.model", "sentencepiece.bpe.model", "spiece.model", "spm.model", "spm_char.model", "*.spm"),
    *("tokenizer.model.*", "tiktoken.model", "*.tiktoken", "bpe.codes", "byte_maps.json", "emoji.json"),
    *("normalizer.json", "prophetnet.tokenizer", "word_shape.json", "word_pronunciation.json"),
)


def bundled_name(folder: Path) -> str | None:
    """The word that a folder of `BUNDLED` is asked for with; None for any other folder."""
    return next((name for name, own in BUNDLED.items() if folder.resolve() == own.resolve()), None)


def matching(folder: Path, patterns: tuple[str, ...]) -> set[Path]:
    """The files of a folder that match any of the patterns."""
    return {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
