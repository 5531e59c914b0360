"""What a chat is at a moment: who said what, and how. Values only, no terminal, file or model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from pasctl.errors import InputError

Stop = Literal["end", "length", "stopped"]


NOBODY = "no persona"


def who_answers(persona: str | None, alpha: float) -> str:
    """The persona and the strength in words; a strength of 0 is nobody."""
    return f"{persona} at alpha {alpha:g}" if persona is not None and alpha else NOBODY


@dataclass(frozen=True)
class Turn:
    """What a user said, what was answered, and how the answer came about.

    Attributes:
        user: the user's words.
        answer: the model's, thinking and all.
        model: its name.
        persona: who it was steered to; None for nobody.
        alpha: how strongly; 0 for nobody.
        directions: the artifact that the steering was read from.
        memory: the artifact, or the conversation, that the answer recalled from.
        seed: of the sampling.
        temperature: of the sampling; 0 takes the most likely tokens.
        top_p: of the sampling.
        tokens: of the answer.
        seconds: that it took.
        stop: "end", the model ended it; "length", it was cut off; "stopped", the user stopped it.
        left_out: earlier turns that the model did not see, because its context did not hold them.
        at: when it was said, in seconds since 1970; None of turns from before that was kept.
    """

    user: str
    answer: str
    model: str
    persona: str | None = None
    alpha: float = 0.0
    directions: str | None = None
    memory: str | None = None
    seed: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    tokens: int = 0
    seconds: float = 0.0
    stop: Stop = "end"
    left_out: int = 0
    at: float | None = field(default=None, compare=False)

    @property
    def who(self) -> str:
        """Who answered, in words."""
        return who_answers(self.persona, self.alpha)

    def to_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        document = asdict(self)
        return document if self.at is not None else {name: document[name] for name in document if name != "at"}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Turn:
        """The turn of such a document; keys that are not known are left out.

        Raises:
            KeyError: it lacks what was said.
            TypeError: what was said is no text.
        """
        if not all(isinstance(document[name], str) for name in ("user", "answer", "model")):
            raise TypeError("what was said is no text")
        known = {each.name for each in fields(cls)}
        return cls(
            **{"user": document["user"], "answer": document["answer"], "model": document["model"]}
            | {name: value for name, value in document.items() if name in known}
        )


@dataclass(frozen=True)
class Session:
    """A chat between two messages.

    Attributes:
        turns: so far.
        system: the system text.
        answers: how many were begun, of which some are no longer there: each has a seed of its own.
    """

    turns: tuple[Turn, ...] = ()
    system: str | None = None
    answers: int = 0

    def said(self, turn: Turn) -> Session:
        """After one more answer."""
        return replace(self, turns=(*self.turns, turn), answers=self.answers + 1)

    def undone(self) -> Session:
        """Without the last turn.

        Raises:
            InputError: there is none.
        """
        self.last("take back")
        return replace(self, turns=self.turns[:-1])

    def last(self, wanted: str) -> Turn:
        """The last turn, which somebody wants to do something with.

        Raises:
            InputError: there is none.
        """
        if not self.turns:
            raise InputError(f"nothing has been said yet, so there is nothing to {wanted}")
        return self.turns[-1]
