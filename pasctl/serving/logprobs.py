"""Log-probabilities in the forms of OpenAI's completions and chats, and of vLLM's prompts."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pasctl.generation.likelihoods import TokenLikelihood
from pasctl.models.token_bytes import TokenBytes

_LEAST = -9999.0  # JSON has no infinity; vLLM's number


@dataclass(frozen=True)
class TokenNames:
    """What tokens are called in an answer.

    Attributes:
        bytes_of: of the model's tokens.
        as_ids: call them token_id:ID, as text does not tell all of them apart.
    """

    bytes_of: TokenBytes
    as_ids: bool = False

    def __call__(self, token: int) -> str:
        """The text of a token; one that is no whole text is told by its bytes, one without a text by its id."""
        own = b"" if self.as_ids else self.bytes_of(token)
        if not own:
            return f"token_id:{token}"
        try:
            return own.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in own)


class TextPlaces:
    """Where tokens begin in a text, in characters; one within a character begins where that does."""

    def __init__(self, bytes_of: TokenBytes, start: int = 0, *, skip_special: bool = False) -> None:
        """Begin a text at character `start`, of which special tokens are no part with `skip_special`."""
        self._bytes_of, self._skipped = bytes_of, bytes_of.special if skip_special else frozenset[int]()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = False
        self.end = start

    def add(self, token: int) -> tuple[int, str]:
        """Where the next token begins, and the characters that are whole with it."""
        if token in self._skipped:
            return self.end, ""
        own = self._bytes_of(token) if self._begun else self._bytes_of.first(token)
        self._begun = True
        text = self._take(own[:1])
        # the first byte is the end of a character, or has begun one
        start = self.end - bool(text and not self._decoder.getstate()[0])
        return start, text + self._take(own[1:])

    def _take(self, data: bytes, *, final: bool = False) -> str:
        text = self._decoder.decode(data, final)
        self.end += len(text)
        return text

    def rest(self) -> str:
        """What stands for the bytes at the end that are no whole character."""
        return self._take(b"", final=True)


@dataclass(frozen=True)
class CompletionLogprobs:
    """Those of a completion: {tokens, token_logprobs, top_logprobs, text_offset}.

    Attributes:
        names: of tokens.
        top: number of most likely tokens to tell; the token itself is told as well.
    """

    names: TokenNames
    top: int

    def __call__(self, found: Sequence[TokenLikelihood], starts: Sequence[int]) -> dict[str, Any]:
        """Of some tokens, which begin at these characters of the choice's text."""
        return {
            "tokens": [self.names(each.token) for each in found],
            "token_logprobs": [None if each.logprob is None else max(each.logprob, _LEAST) for each in found],
            "top_logprobs": [self._likeliest(each) for each in found],
            "text_offset": list(starts),
        }

    def _likeliest(self, each: TokenLikelihood) -> dict[str, float] | None:
        if each.logprob is None:
            return None
        named: dict[str, float] = {}
        for token, logprob in (*each.top[: self.top], (each.token, each.logprob)):
            named.setdefault(self.names(token), max(logprob, _LEAST))
        return named


@dataclass(frozen=True)
class ChatLogprobs:
    """Those of a chat's answer: {content: [{token, logprob, bytes, top_logprobs}]}; as for `CompletionLogprobs`."""

    names: TokenNames
    top: int

    def __call__(self, found: Sequence[TokenLikelihood], starts: Sequence[int]) -> dict[str, Any]:
        """Of some tokens."""
        content = []
        for each in found:
            likeliest = [self._told(token, logprob) for token, logprob in each.top[: self.top]]
            content.append({**self._told(each.token, each.logprob or 0.0), "top_logprobs": likeliest})
        return {"content": content, "refusal": None}

    def _told(self, token: int, logprob: float) -> dict[str, Any]:
        own = list(self.names.bytes_of(token))
        return {"token": self.names(token), "logprob": max(logprob, _LEAST), "bytes": own}


def prompt_logprobs(found: Sequence[TokenLikelihood], names: TokenNames, top: int) -> list[dict[str, Any] | None]:
    """Of each token of a prompt, by id, itself and the `top` most likely: {logprob, rank, decoded_token}."""
    told: list[dict[str, Any] | None] = []
    for each in found:
        if each.logprob is None:
            told.append(None)
            continue
        ranked = [(token, logprob, rank) for rank, (token, logprob) in enumerate(each.top[:top], start=1)]
        told.append(
            {
                str(token): {"logprob": max(logprob, _LEAST), "rank": rank, "decoded_token": names(token)}
                for token, logprob, rank in (*ranked, (each.token, each.logprob, each.rank))
            }
        )
    return told
