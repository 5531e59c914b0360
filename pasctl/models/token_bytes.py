"""The bytes of single tokens: a character may be spread over several."""

from __future__ import annotations

import re
from typing import Any

from pasctl.models.transformers_compat import tokenize

_HALF = "\ufffd"  # what a tokenizer puts where bytes are no whole character
_BYTE_PIECE = re.compile("<0x([0-9A-F]{2})>")  # as SentencePiece writes a byte that is no token otherwise


def _byte_signs() -> dict[str, int]:
    """What byte-level tokenizers write a byte with -> the byte: itself if it is visible, else one from 256 on."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + n): byte for n, byte in enumerate(others)}


_BYTE_SIGNS = _byte_signs()


class TokenBytes:
    """Gives the bytes of tokens as they stand within a text; a special token's are its name's.

    Attributes:
        special: ids of tokens that are no part of an answer's text.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Take a tokenizer."""
        self._tokenizer = tokenizer
        self.special = frozenset(int(token) for token in tokenizer.all_special_ids)
        self._before = tokenize(tokenizer, "a", add_special_tokens=False)
        self._known: dict[int, bytes] = {}

    def __call__(self, token: int) -> bytes:
        """Those of one token."""
        if token not in self._known:
            self._known[token] = self._find(token)
        return self._known[token]

    def first(self, token: int) -> bytes:
        """Those of a text's first token: some tokenizers leave out its space."""
        own = self(token)
        return own[1:] if own.startswith(b" ") and not self._decode([token]).startswith(" ") else own

    def _find(self, token: int) -> bytes:
        # behind another token, since some tokenizers write a text's first without its space
        text = self._decode([*self._before, token])[len(self._decode(self._before)) :]
        if _HALF not in text:
            return text.encode()
        piece = str(self._tokenizer.convert_ids_to_tokens(token))
        if found := _BYTE_PIECE.fullmatch(piece):
            return bytes([int(found[1], 16)])
        if all(sign in _BYTE_SIGNS for sign in piece):
            return bytes(_BYTE_SIGNS[sign] for sign in piece)
        return text.encode()

    def _decode(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
