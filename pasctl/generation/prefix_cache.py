"""What an engine keeps of the texts that it reads and writes, so that a text that begins alike is not read again.

Keys and values of a token depend on the tokens before it and on how the model is steered at it and before it. So they
are stored by the steering itself, and reused only where both are the same. With positions "answer" the prompt before
its last token is not steered, whoever answers: that part is everybody's, and the rest is stored for nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pasctl.generation.prefix_tree import LEAST_TOKENS, PrefixTree, common_length
from pasctl.generation.request import Request
from pasctl.generation.text_state import PlainTextState
from pasctl.models.layer_states import has_states
from pasctl.models.load import LoadedModel

PREFIX_BYTES = 1 << 30
"""What an engine keeps unless it is given another bound: about 9,300 tokens of Qwen3-0.6B, or 7,200 of Qwen3-8B."""
_WRITTEN_TOKENS = 16  # of an answer that are stored at a time
_UNSTEERED = b""


@dataclass(frozen=True)
class PrefixCounts:
    """What a prefix cache holds and has saved.

    Attributes:
        tokens_read: tokens of prompts that the model read.
        tokens_reused: tokens of prompts that were there.
        entries: runs of tokens that are stored, each of at most 128.
        bytes: what they take.
        limit: what they may take; 0 stores nothing.
    """

    tokens_read: int = 0
    tokens_reused: int = 0
    entries: int = 0
    bytes: int = 0
    limit: int = 0


class PrefixCache:
    """Beginnings of texts in an engine, whose thread alone uses it.

    Attributes:
        tree: the beginnings.
        read: tokens of prompts that the model read.
        reused: tokens of prompts that were there.
    """

    def __init__(self, model: LoadedModel, limit: int) -> None:
        """Begin with nothing; `limit` in bytes, of which 0 stores nothing."""
        self.tree = PrefixTree(limit, exact=has_states(model))
        self.read = self.reused = 0

    def text(self, request: Request) -> CachedText | None:
        """What is reused and stored of one text; None of one that follows a memory, which has its own."""
        return CachedText(self, request) if request.memory is None else None

    def counts(self) -> PrefixCounts:
        """What it holds and has saved."""
        return PrefixCounts(self.read, self.reused, len(self.tree), self.tree.bytes, self.tree.limit)


class CachedText:
    """What is reused for one text, and stored of it.

    Attributes:
        begun: whether it was looked up.
        reused: tokens that were there.
    """

    def __init__(self, cache: PrefixCache, request: Request) -> None:
        self.begun, self.reused, self._waiting = False, 0, False
        self._cache, self._prompt, self._ids = cache, tuple(request.prompt), list[int]()
        self._stored, self._stores = 0, cache.tree.limit > 0
        steered = request.steered_from
        whole = request.steering is None or steered == 0
        self._most = None if whole else steered
        """Tokens from the first on that are read as their key says; None is all, those that are written as well."""
        self._key = _UNSTEERED if request.steering is None or steered else request.steering.digest
        # not the prompt's last token, since what follows is chosen from its state; and who asks how likely the prompt's
        # tokens are needs the states of all of them
        told = request.prompt_logprobs is not None
        self._reusable = () if told else self._prompt[: len(self._prompt) - 1][: self._most]

    def waits(self, others: Iterable[CachedText]) -> bool:
        """Whether one of the texts that are read already will soon have stored more of this one's beginning."""
        own, tree = self._reusable, self._cache.tree
        if self.begun or not self._stores or len(own) < LEAST_TOKENS:
            return False
        coming = max((other._coming(self._key, own) for other in others), default=0)
        # who waits does so to the end, though the last part may be short
        gain = coming - tree.known(self._key, own) if coming >= LEAST_TOKENS else 0
        self._waiting = gain >= (1 if self._waiting else LEAST_TOKENS)
        return self._waiting

    def _coming(self, key: bytes, ids: tuple[int, ...]) -> int:
        """How many of some tokens this text will have stored when its prompt is read."""
        if not self._stores or key != self._key or ids[:LEAST_TOKENS] != self._prompt[:LEAST_TOKENS]:
            return 0
        stored = self._prompt[: self._most]
        if not self._cache.tree.exact:
            return common_length(stored, ids)
        stored = stored[: len(self._prompt) - 1]  # where `ran` stores the states
        return len(stored) if ids[: len(stored)] == stored else 0

    def begin(self) -> PlainTextState:
        """The text where it goes on: after what is stored of it."""
        self.begun = True
        found = self._cache.tree.longest(self._key, self._reusable)
        if found is None:
            return PlainTextState()
        self._stored = self.reused = found.length
        self._ids += self._prompt[: found.length]
        self._cache.reused += found.length
        states = None if found.states is None else found.states.fork()
        return PlainTextState.following(found.parts, states, room=len(self._prompt) + 1)

    def cut(self, left: int) -> int:
        """Tokens to read of the `left` ones of the prompt: a state is stored before the last token, so it waits."""
        return left - 1 if self._cache.tree.exact and self._stores and left > 1 else left

    def ran(self, ids: list[int], state: PlainTextState) -> None:
        """The model has read these tokens, of the prompt or written; `state` has them."""
        reading = len(self._ids) < len(self._prompt)
        self._ids += ids
        if reading:
            self._cache.read += len(ids)
        if self._cache.tree.exact:
            if len(self._ids) == len(self._prompt) - 1:
                self.store(state)
        elif reading or len(self._ids) - self._stored >= _WRITTEN_TOKENS:
            self.store(state)

    def store(self, state: PlainTextState) -> None:
        """Store what is not stored yet, if there is room for it."""
        exact = self._cache.tree.exact
        stop = len(self._ids) if self._most is None else min(self._most, len(self._ids))
        if not self._stores or stop <= self._stored or (exact and not LEAST_TOKENS <= stop == len(self._ids)):
            return
        layers = state.span(self._stored, stop)
        states = state.layer_states.fork() if exact and state.layer_states is not None else None
        # what layers with a window have forgotten, or what was dropped meanwhile, leaves a hole that nothing can follow
        self._stores = layers is not None and self._cache.tree.add(
            self._key, tuple(self._ids[:stop]), self._stored, layers, states
        )
        self._stored = stop


def prefix_bytes(model: LoadedModel, wanted: int, step_tokens: int) -> int:
    """Bytes for prefixes: those that are wanted, and of what a memory limit leaves half.

    Args:
        model: its `max_memory` is the limit, if there is one.
        wanted: bytes.
        step_tokens: tokens of a pass.
    """
    if model.max_memory is None:
        return wanted
    footprint = model.footprint
    left = model.max_memory - footprint.resting - footprint.forward(1, step_tokens, 0) - footprint.logits(1)
    return max(0, min(wanted, left // 2))
