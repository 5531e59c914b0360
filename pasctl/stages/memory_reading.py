"""What memory-run reads: texts, how, with whom, and after which memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pasctl.memory.params import MemoryParams
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.text import Text, join_texts, joined_spans

if TYPE_CHECKING:
    from pasctl.memory.text_bounds import TextBounds
    from pasctl.steering.intervention import Intervention


@dataclass(frozen=True, eq=False)
class Reading:
    """Everything that a run needs.

    Attributes:
        parent: the memory that is read on, if it is one.
        persona: who the model is steered to, if to anybody; a parent's steering goes on by itself.
    """

    handle: ModelHandle
    texts: tuple[Text, ...]
    params: MemoryParams
    parent: Artifact | None
    persona: ResolvedTarget | None

    def ids(self) -> list[int]:
        """Token ids of the texts; behind a parent's text as more of the same turn."""
        return self.encode()[0]

    def encode(self, before: int = 0) -> tuple[list[int], TextBounds]:
        """Token ids of the texts, and the files and characters that they are from.

        Args:
            before: tokens of the parent.
        """
        from pasctl.memory.prompt import Prompt
        from pasctl.memory.text_bounds import TextBounds

        prompt, text = Prompt(self.handle.chat()), join_texts(self.texts)
        opening = prompt.opening if self.parent is None else []
        between = "" if self.parent is None else "\n\n"
        ids, starts = prompt.encode_with_starts(between + text)
        spans = joined_spans(self.texts, len(between))
        return [*opening, *ids], TextBounds.of(between + text, starts, before + len(opening), spans)

    def intervention(self) -> Intervention | None:
        """The displacement that is in force while reading."""
        from pasctl.stages.stored_memory import read_steering

        if self.persona is not None:
            return self.persona.intervention(self.handle.geometry())
        return None if self.parent is None else read_steering(self.parent)
