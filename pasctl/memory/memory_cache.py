"""The memories of a batch of texts as a cache of transformers'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from transformers import Cache

from pasctl.errors import InputError
from pasctl.memory.reader import Reader


class MemoryCache(Cache):
    """The memories of a batch of texts, where transformers expects keys and values.

    `copy.deepcopy` gives a cache that goes on by itself after the same texts; what they share is not copied.

    Attributes:
        rows: one text each.
        columns: tokens that were given so far, padding included.
    """

    is_compileable = False

    def __init__(self, rows: Sequence[Reader] = (), columns: int = 0) -> None:
        super().__init__(layers=[])
        self.rows, self.columns = list(rows), columns

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that were given so far, padding included."""
        return self.columns

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Beams are refused.

        Raises:
            InputError: always.
        """
        raise InputError("beam search changes what was read, and memory keeps it", hint="use num_beams=1")

    def crop(self, *args: Any, **kwargs: Any) -> None:
        """Taking tokens back is refused.

        Raises:
            InputError: always.
        """
        raise InputError("memory cannot take back tokens it has read", hint="decode without an assistant model")

    def reset(self) -> None:
        """Forget all texts."""
        self.rows, self.columns = [], 0

    def __deepcopy__(self, memo: dict[int, Any]) -> MemoryCache:
        """Forks of the texts."""
        return MemoryCache([reader.fork() for reader in self.rows], self.columns)
