"""Which tokens the structure of an answer allows next."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pasctl.errors import PasctlError
from pasctl.generation.grammars import Grammars, told
from pasctl.generation.structure import Structure


class StructuredText:
    """One answer's structure while it is written: tells which tokens may come next.

    Attributes:
        free: whether what comes next is free text.
        complete: whether nothing may follow what was written, so that the answer has ended.
        masks: sets of allowed tokens that were computed.
    """

    def __init__(self, grammars: Grammars, structure: Structure, usual: Collection[int], ends: Set[int]) -> None:
        """Begin an answer.

        Args:
            grammars: of the model.
            structure: of the answer.
            usual: tokens that end the model's texts.
            ends: tokens that end this answer.
        """
        self._grammars, self._structure, self._trigger = grammars, structure, structure.after.encode()
        self._ends, self._kept = sorted(ends), structure.required
        self._special = grammars.special.copy()
        self._special[[token for token in usual if token < grammars.vocabulary]] = True
        self._matcher: Any = None
        self._tail = b""
        self.free, self.complete, self.masks = bool(self._trigger), False, 0
        if not self.free:
            self._begin()

    def __call__(self, logits: Tensor) -> Tensor | None:
        """Logits [1, vocabulary] where what may not come next has none; None if nothing may, and the text is complete.

        Raises:
            PasctlError: no token may come next, or none has a probability.
        """
        allowed = None if self.free or self.complete else self._allowed()
        if self.complete:
            return None
        if allowed is not None:
            logits = logits.masked_fill(~torch.from_numpy(allowed).to(logits.device), -torch.inf)
        elif refused := self._refused():
            logits = logits.index_fill(-1, torch.tensor(refused, device=logits.device), -torch.inf)
        else:
            return logits
        if not bool((logits > -torch.inf).any()):
            raise PasctlError("no token that the structure allows has a probability")
        return logits

    def wrote(self, token: int) -> None:
        """The answer has got another token, which did not end it.

        Raises:
            PasctlError: the structure does not allow it.
        """
        if self.free:
            # no token goes on after the trigger, so it is at the end or nowhere
            self._tail = (self._tail + self._grammars.bytes_of[token])[-len(self._trigger) :]
            if self._tail == self._trigger:
                self._begin()
            return
        if not self._matcher.consume_token(token):
            raise PasctlError(f"the structure cannot be followed: {told(self._matcher.get_error())}")
        self._end_if_stopped()

    def _begin(self) -> None:
        self.free, self._matcher = False, self._grammars.matcher(self._structure)
        self._end_if_stopped()

    def _end_if_stopped(self) -> None:
        if self._matcher.is_stopped() and not self._matcher.is_error():
            self._end()

    def _end(self) -> None:
        """Nothing more may follow within the structure: go on as free text, or end."""
        if self._structure.again:
            self.free, self._matcher, self._kept, self._tail = True, None, False, b""
        else:
            self.complete = True

    def _refused(self) -> list[int]:
        """Tokens that may not come next in free text."""
        trigger = self._trigger
        begun = [n for n in range(len(trigger)) if self._tail.endswith(trigger[:n])]
        beyond = [token for n in begun for token in self._grammars.beyond(trigger)[n]]
        return [*beyond, *self._ends] if self._kept else beyond

    def _allowed(self) -> NDArray[np.bool_] | None:
        """Bool [vocabulary]: what may come next; None if nothing may, and the structure has ended."""
        self.masks += 1
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        if self._matcher.is_error():
            raise PasctlError(f"the structure cannot be followed: {told(self._matcher.get_error())}")
        allowed = np.unpackbits(bits, count=self._grammars.vocabulary, bitorder="little").astype(bool)
        allowed[self._special] = False
        accepting = self._matcher.is_accepting()
        if allowed.any():
            allowed[self._ends] = accepting
            return allowed
        if not accepting:
            raise PasctlError("no token of the model goes on as the structure demands")
        self._end()
        return None
