"""What a caller asks the engine for, and why the engine may refuse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pasctl.errors import BusyError, InputError, PasctlError
from pasctl.generation.grammars import grammars_of
from pasctl.generation.sampling_params import SamplingParams
from pasctl.generation.structure import Structure
from pasctl.generation.text_state import Askable
from pasctl.generation.token_rules import TokenRules
from pasctl.models.load import LoadedModel
from pasctl.steering.hooks import POSITIONS
from pasctl.steering.intervention import Intervention


class QueueFullError(BusyError):
    """As many requests run and wait as the engine holds."""


class OutOfTimeError(BusyError):
    """A request was not finished in the time that it had."""


class PromptTooLongError(InputError):
    """A prompt does not fit into the model's context."""


class EngineClosedError(PasctlError):
    """The engine has been closed."""


@dataclass(frozen=True, eq=False)
class Request:
    """A text to be written on.

    Attributes:
        prompt: token ids; with a memory, those of a question after its text (`memory.prompt.question`).
        how: how tokens are chosen and how many; `think` is the prompt's business and has no effect here.
        intervention: of one row; None leaves the model as it is, or steers as the memory was read.
        positions: "all", or "answer": the prompt's last token and what is written after it.
        answer_from: place in the prompt where the answer begins, if its first words stand there; None is the end.
        memory: an opened memory, which is read from only: every request has its own window and retrieval.
        stop: strings that end the text, which has them no more.
        strip: leave out white space at the text's two ends.
        keep_recalled: keep what was retrieved at each step for `Stream.recalled`.
        rules: what alters the probabilities of tokens.
        logprobs: tell in `Stream.likelihoods` how likely each token is that was written, and N most likely ones.
        prompt_logprobs: the same of the prompt's tokens.
        prompt_only: read the prompt and write nothing.
    """

    prompt: Sequence[int]
    how: SamplingParams = field(default_factory=SamplingParams)
    intervention: Intervention | None = None
    positions: str = "all"
    memory: Askable | None = None
    stop: tuple[str, ...] = ()
    strip: bool = False
    keep_recalled: bool = False
    answer_from: int | None = None
    rules: TokenRules = field(default_factory=TokenRules)
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    prompt_only: bool = False

    @property
    def steered_from(self) -> int:
        """The first token of the prompt that is displaced, if anything is."""
        if self.positions == "all":
            return 0
        return max(0, (len(self.prompt) if self.answer_from is None else self.answer_from) - 1)

    def steered(self, start: int, count: int) -> tuple[bool, ...] | None:
        """Which of `count` tokens of the prompt from `start` on are displaced; None is all."""
        if self.positions == "all":
            return None
        return tuple(start + place >= self.steered_from for place in range(count))

    @property
    def steering(self) -> Intervention | None:
        """The displacement in force."""
        if self.intervention is None and self.memory is not None:
            return self.memory.intervention
        return self.intervention

    def check(self, model: LoadedModel, context: int | None) -> None:
        """Refuse what cannot be written by `model`, whose positions are made for `context` tokens.

        Raises:
            InputError: the prompt is empty, too long, or has a token that the model does not know, as a bias may; a
                stop string is empty, or could cut a structure; the structure cannot be compiled; positions are unknown;
                the intervention has several rows; or the memory is of another model, or was read with a steering of
                its own.
            MissingError: structures need a package that is not installed.
        """
        if not self.prompt:
            raise InputError("the prompt is empty, expected at least one token")
        if not 0 <= min(self.prompt) <= max(self.prompt) < model.vocabulary:
            raise InputError(
                f"the prompt has a token outside 0 to {model.vocabulary - 1}, which the model does not know"
            )
        self.rules.check(model.vocabulary)
        if self.rules.structure is not None:
            self._check_structure(self.rules.structure, model)
        if not all(self.stop):
            raise InputError("a stop string is empty, expected at least one character")
        if self.positions not in POSITIONS:
            raise InputError(f"positions {self.positions!r} is unknown, expected one of {', '.join(POSITIONS)}")
        rows = {len(deltas) for deltas in self.intervention.displacements.values()} if self.intervention else set()
        if rows - {1}:
            raise InputError(f"an intervention of {max(rows)} rows cannot steer one text, expected one row")
        if self.memory is not None:
            self._check_memory(self.memory, model)
        elif context is not None and len(self.prompt) + (not self.prompt_only) > context:
            raise PromptTooLongError(
                f"the prompt has {len(self.prompt)} tokens, the model's context is {context}",
                hint="shorten it, or read it into a memory and ask about it",
            )

    def _check_structure(self, structure: Structure, model: LoadedModel) -> None:
        if self.stop and not structure.after:
            raise InputError(
                "a stop string could cut a structured answer",
                hint="leave the stop strings out: the answer ends where its structure is complete",
            )
        grammars = grammars_of(model)
        grammars.matcher(structure)
        if structure.after:
            grammars.beyond(structure.after.encode())

    def _check_memory(self, memory: Askable, model: LoadedModel) -> None:
        if memory.model is not model:
            raise InputError("the memory was opened with another model object than the engine's")
        if memory.intervention is not None and self.intervention is not None:
            raise InputError(
                "the memory was read steered, it cannot be asked with a steering of another kind",
                hint="leave the persona out: the memory's own is in force",
            )
