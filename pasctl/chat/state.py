"""Who answers, and what the answers follow: the persona, its strength, and the memory of a chat."""

from __future__ import annotations

from collections.abc import Callable

from pasctl.chat.history import History, TextMemory, Turns, require_steering
from pasctl.chat.persistent import PersistentConversation
from pasctl.chat.session import NOBODY
from pasctl.commands.target import Alpha, parse_alpha
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.generation.sampling_params import SamplingParams
from pasctl.stages.memory import open_memory
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.runner import Artifact, Store
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.stored_memory import read_steering

_LISTED = 60
NONE = "none"
"""The word that switches a persona, a memory or a system text off."""


class ChatState:
    """What an answer depends on, besides what was said.

    Attributes:
        model: the model, as artifacts' names have it.
        past: what the next answer follows.
        text: the memory of a text that answers retrieve from, if there is one.
        conversation: the conversation, if it is kept.
    """

    def __init__(
        self,
        handle: ModelHandle,
        store: Store,
        catalog: PersonaCatalog,
        how: SamplingParams,
        note: Callable[[str], None],
        *,
        alpha: Alpha = AUTO,
        conversation: PersistentConversation | None = None,
        before_choice: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with nobody.

        Args:
            handle: the model, loaded.
            store: where memories are.
            catalog: who can answer.
            how: how answers are written.
            note: tells the user something.
            alpha: the strength that the user wants.
            conversation: the conversation, if it is kept.
            before_choice: called before the model is run to choose a strength, or to prove that it can have a memory,
                which it must be free for.
        """
        self._handle, self._store, self._catalog, self._note = handle, store, catalog, note
        self._alpha, self._thinking, self._before_choice = alpha, how.think, before_choice
        self._turns = Turns(handle.chat(), thinking=how.think, context=handle.context(), answer=how.max_new_tokens)
        self.model = handle.slug
        self.conversation = conversation
        self.past: History = conversation or self._turns
        self.text: Artifact | None = None
        self._chosen: ResolvedTarget | None = None
        self._warned: set[str | None] = set()

    @property
    def target(self) -> ResolvedTarget | None:
        """Who the model is steered to; None where it is as it is, at a strength of 0 among others."""
        return self._chosen if self._chosen is not None and self._chosen.alpha else None

    @property
    def who(self) -> str:
        """Who answers, in words."""
        return str(self.target) if self.target else NOBODY

    def persona(self, name: str) -> None:
        """Steer to somebody, to nobody, or say who there is."""
        if not name:
            sources = " and ".join(each.name for each in self._catalog.sources)
            self._note(f"{self.who}; {sources} has {self._catalog.listed(_LISTED)}")
        elif name == NONE:
            self._steer(None)
        else:
            self._steer(self._resolved(name, self._alpha))

    def alpha(self, text: str) -> None:
        """Steer so strongly, or say how strongly."""
        if not text:
            self._note(self.who)
            return
        alpha = parse_alpha(text)
        if self._chosen is not None:
            self._steer(self._resolved(self._chosen.name, alpha))
        else:
            self._note("there is no persona: this is for the next one")
        self._alpha = alpha

    def memory(self, ref: str) -> None:
        """Answer from a text, from none, or say from which."""
        if not ref:
            self._note(self.memory_told)
        elif self.conversation is not None:
            raise InputError(
                f"this conversation is a memory itself ({self.conversation.name}) and recalls from no other",
                hint="chat without --memory to answer from a text",
            )
        elif ref == NONE:
            self.past, self.text = self._turns, None
        else:
            text = self._store.resolve(ref, "memory")
            self._require_same_steering(text, self.target)
            self._before_choice()
            opened = open_memory(text, self._handle, store=self._store)
            self.past = TextMemory(text, opened, self._handle.chat(), thinking=self._thinking)
            self.text = text
            self._tell_mixed()

    @property
    def memory_told(self) -> str:
        """What answers retrieve from."""
        if self.conversation is not None:
            turns, tokens = len(self.conversation.turns), len(self.conversation.memory.reader.ids)
            return f"conversation {self.conversation.name} (turns: {turns}, tokens in memory: {tokens:,})"
        return "no memory" if self.text is None else self.text.name

    def _resolved(self, persona: str, alpha: Alpha) -> ResolvedTarget:
        """A persona, with a strength that is chosen first where "auto" asks for one that was not."""
        if alpha == AUTO:
            self._before_choice()
            self._catalog.choose(persona, alpha)
        target = self._catalog.find(persona, alpha)
        if target.why:
            self._note(f"alpha {target.alpha:g} ({target.why})")
        return target

    def _steer(self, target: ResolvedTarget | None) -> None:
        """Let somebody else answer from now on."""
        if self.text is not None:
            self._require_same_steering(self.text, target)
        self._chosen = target
        self._tell_mixed()

    def _require_same_steering(self, text: Artifact, target: ResolvedTarget | None) -> None:
        steered = target is not None and target.alpha != 0
        require_steering(text, target.intervention(self._handle.geometry()) if target and steered else None)

    def _tell_mixed(self) -> None:
        """Say, once for each memory, that what it holds was not read as it is answered."""
        unsteered = self.conversation is not None or (self.text is not None and read_steering(self.text) is None)
        if unsteered and self.target is not None and self.past.name not in self._warned:
            self._warned.add(self.past.name)
            self._note(f"{self.past.name} is read without steering, whoever answers: only answers are steered")
