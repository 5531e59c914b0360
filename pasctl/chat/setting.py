"""Who answers, and behind what: the persona, its strength, and the memory of a chat."""

from __future__ import annotations

from collections.abc import Callable

from pasctl.chat.answering import Speaker
from pasctl.chat.history import History, TextMemory, Turns, require_steering
from pasctl.chat.people import People, listed
from pasctl.chat.remembered import Remembered
from pasctl.chat.session import NOBODY, Voice, parse_alpha
from pasctl.errors import InputError
from pasctl.generation.sampling_params import SamplingParams
from pasctl.stages.kept_memory import read_steering
from pasctl.stages.memory import open_memory
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store

_LISTED = 60
NONE = "none"
"""The word that switches a persona, a memory or a system text off."""


class Setting:
    """What an answer depends on beside what was said.

    Attributes:
        model: the model, as artifacts' names have it.
        speaker: who answers.
        past: what the next answer follows.
        text: the memory of a text that answers recall from, if there is one.
        remembered: the conversation, if it is kept.
    """

    def __init__(
        self,
        handle: ModelHandle,
        store: Store,
        people: People,
        how: SamplingParams,
        note: Callable[[str], None],
        *,
        alpha: float | None = None,
        remembered: Remembered | None = None,
    ) -> None:
        """Begin with nobody.

        Args:
            handle: the model, loaded.
            store: where memories are.
            people: who can answer.
            how: how answers are written.
            note: tells the user something.
            alpha: the strength that the user wants; None leaves it to the persona.
            remembered: the conversation, if it is kept.
        """
        self._handle, self._store, self._people, self._note = handle, store, people, note
        self._alpha, self._thinking = alpha, how.think
        self._turns = Turns(handle.chat(), thinking=how.think, context=handle.context(), answer=how.max_new_tokens)
        self.model = handle.slug
        self.remembered = remembered
        self.past: History = remembered or self._turns
        self.text: Artifact | None = None
        self.speaker = Speaker()
        self._told: set[str | None] = set()

    @property
    def voice(self) -> Voice:
        """Who answers, as the user names it."""
        return self.speaker.voice

    def persona(self, name: str) -> None:
        """Steer to somebody, to nobody, or say who there is."""
        if not name:
            names = self._people.names
            self._note(f"{self.voice}; {self._people.source.name} has {listed(names, _LISTED)}")
        elif name == NONE:
            self._speak(NOBODY)
        else:
            found, alpha = self._people.find(name), self._alpha
            if alpha is None:
                alpha, why = self._people.alpha(found)
                self._note(f"alpha {alpha:g} ({why})")
            self._speak(Voice(found, alpha))

    def alpha(self, text: str) -> None:
        """Steer so strongly, or say how strongly."""
        if not text:
            self._note(str(self.voice))
            return
        alpha = parse_alpha(text)
        if self.voice.persona is not None:
            self._speak(Voice(self.voice.persona, alpha))
        else:
            self._note("there is no persona: this is for the next one")
        self._alpha = alpha

    def memory(self, ref: str) -> None:
        """Answer from a text, from none, or say from which."""
        if not ref:
            self._note(self.memory_told)
        elif self.remembered is not None:
            raise InputError(
                f"this conversation is a memory itself ({self.remembered.name}) and recalls from no other",
                hint="chat without --memory to answer from a text",
            )
        elif ref == NONE:
            self.past, self.text = self._turns, None
        else:
            found = self._store.resolve(ref, "memory")
            require_steering(found, self.speaker.intervention)
            opened = open_memory(found, self._handle, store=self._store)
            self.past = TextMemory(found, opened, self._handle.chat(), thinking=self._thinking)
            self.text = found
            self._tell_mixed()

    @property
    def memory_told(self) -> str:
        """What answers recall from."""
        if self.remembered is not None:
            turns, tokens = len(self.remembered.turns), len(self.remembered.memory.reader.ids)
            return f"conversation {self.remembered.name} (turns: {turns}, tokens in memory: {tokens:,})"
        return "no memory" if self.text is None else self.text.name

    def _speak(self, voice: Voice) -> None:
        """Let somebody else answer from now on."""
        found = self._people.intervention(voice)
        if self.text is not None:
            require_steering(self.text, found)
        self.speaker = (
            Speaker(voice) if found is None else Speaker(voice, found, self._people.positions, self._people.source.name)
        )
        self._tell_mixed()

    def _tell_mixed(self) -> None:
        """Say, once for each memory, that what it holds was not read as it is answered."""
        unsteered = self.remembered is not None or (self.text is not None and read_steering(self.text) is None)
        if unsteered and self.speaker.intervention is not None and self.past.name not in self._told:
            self._told.add(self.past.name)
            self._note(f"{self.past.name} is read without steering, whoever answers: only answers are steered")
