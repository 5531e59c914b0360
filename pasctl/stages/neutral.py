"""The text on which steering is watched for what it should not change."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pasctl.evaluation.side_effects import Unsteered
    from pasctl.models.load import LoadedModel

TOKENS = 256


@dataclass(frozen=True)
class Neutral:
    """The beginning of a text that is about nobody.

    Attributes:
        text: all of it.
        name: "builtin", or the name of the file.
        tokens: how many are read.
    """

    text: str
    name: str
    tokens: int = TOKENS

    @classmethod
    def read(cls, spec: str) -> Neutral:
        """Ours for "builtin", else a file's.

        Raises:
            MissingError: no such file.
            InputError: it is empty or no text.
        """
        from pasctl.evaluation.neutral import read_neutral

        return cls(*read_neutral(spec))

    @property
    def digest(self) -> str:
        """sha256 of what is read, as far as that is known without a tokenizer."""
        return hashlib.sha256(f"{self.tokens}\n{self.text}".encode()).hexdigest()

    def unsteered(self, model: LoadedModel) -> Unsteered:
        """What is read of it, without steering.

        Raises:
            InputError: fewer than two tokens, so that nothing follows anything.
        """
        from pasctl.evaluation.side_effects import read_unsteered, text_tokens

        return read_unsteered(model, text_tokens(model, self.text, self.tokens))
