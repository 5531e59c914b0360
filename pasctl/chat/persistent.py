"""A conversation that is an episodic memory: its turns become events, and it goes on in later sessions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pasctl.chat.conversations import TURNS, find_conversation
from pasctl.chat.history import Asked, Prompted
from pasctl.chat.journal import Entry, Journal
from pasctl.chat.session import Session, Turn
from pasctl.chat.turn_bounds import bounds_of_turns
from pasctl.errors import InputError
from pasctl.memory.checkpoint import Written, checkpoint
from pasctl.memory.params import MemoryParams
from pasctl.models.conversation import Conversation
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.memory import params_of
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.runner import Artifact, Store, run_job
from pasctl.stages.segment_files import SEGMENTS, segment_files
from pasctl.stages.stored_memory import STATES, EpisodicMemory, end_arrays, segment_name, segment_writer, states_path

STAGE = Stage("chat", "memory", 2)
KEEP_TOKENS = 8192  # read since the last version, after which there is a new one: what a kill would have read again
_SLICE_CHUNKS = 4  # read between two looks at whether the user wants to stop

Run = Callable[[Callable[[], None]], None]
"""Runs a function where the model is: in the engine's thread."""


class PersistentConversation:
    """A conversation under a name. One process at a time holds it.

    A turn is read when the next one is asked for, so that the last can still be taken back; until then, and until a
    version of the memory is made, it stands in the journal. Turns are read unsteered, whoever answered: what was said
    is the same for everybody, and the memory can be asked with any steering.

    Attributes:
        name: what the user calls it.
        memory: the turns read so far.
        turns: of all sessions.
    """

    def __init__(
        self,
        store: Store,
        handle: ModelHandle,
        label: str,
        *,
        params: MemoryParams,
        system: str | None,
        thinking: bool,
        run: Run,
        reporter: Reporter,
    ) -> None:
        """Open the conversation, or begin it.

        Args:
            store: the store.
            handle: the model.
            label: last part of the memory's name.
            params: of a new memory.
            system: the system text of a new conversation.
            thinking: leave the model to think before it answers.
            run: where the memory is read.
            reporter: takes notes and progress.

        Raises:
            InputError: the template cannot be read on turn by turn.
            IntegrityError: the memory or the journal is damaged.
        """
        self.name, self._store, self._handle, self._reporter, self._run = label, store, handle, reporter, run
        self._journal = Journal(store.root, handle.slug, label)
        self._parent = find_conversation(store, handle.slug, label)
        kept, left = _kept(self._parent), self._journal.read()
        if left is not None:
            handle.require(left.model, str(self._journal.path))
            if left.dtype != handle.dtype:
                raise InputError(f"conversation {label!r} was held in {left.dtype}, the model is run in {handle.dtype}")
        if self._parent is not None:
            params, system = params_of(self._parent), self._parent.params["system"]
        elif left is not None:
            params, system = MemoryParams(**left.params), left.system
        self.system = system
        self.memory = EpisodicMemory(handle.load(reporter), params=params)
        self._talk = Conversation(handle.chat(), system, thinking=thinking)
        if thinking and self._talk.opening() != Conversation(handle.chat(), system).opening():
            raise InputError(
                "the chat template begins otherwise when the model thinks, so a conversation cannot be read on so",
                hint="chat without --think",
            )
        self.turns: tuple[Turn, ...] = kept
        self._read = self._committed = len(kept)  # turns
        self._begun = 0  # tokens that were read of the turn behind these
        self._closing = False  # whether its answer may be among them
        if self._parent is not None:
            self.memory.restore(segment_files(self._parent), states_path(self._parent))
        self._mark()
        if left is not None:
            self._take_up(left.behind(kept, self._journal.path))

    def prompt(self, session: Session, user: str, asked: Asked) -> Prompted:
        """What the model is given for a message.

        For the next message the turns before it are read first, and its own beginning if the local window does not
        hold it. An aside reads nothing that the window has room for, so that the last turn can still be taken back.

        Raises:
            InputError: the last message is a part of the memory already.
        """
        room, chunk = self.memory.params.n_local, self.memory.params.chunk
        if asked == "next":
            self._settle(len(self.turns))
        if asked == "again":
            self._require_open()
        unread = self.turns[self._read :] if asked == "aside" else ()
        before = [token for turn in unread for token in self._talk.turn(turn.user, turn.answer)]
        ids = [*self._opening(), *before, *self._talk.question(user)][self._begun :]
        if len(ids) > room and unread:
            self._settle(len(self.turns))
            return self.prompt(session, user, asked)
        if len(ids) > room and asked == "next":
            # a multiple of the chunk, so that a journal that is read again comes to the same bits
            head = -(-(len(ids) - room) // chunk) * chunk
            self._take(ids[:head])
            ids = ids[head:]
        return Prompted(ids, self.memory if self.memory.reader.ids else None)

    @property
    def begun(self) -> bool:
        """Whether a part of a message was read that is in no turn yet."""
        return self._begun > 0 and self._read == len(self.turns)

    def add(self, turn: Turn, *, again: bool = False) -> None:
        """A turn is over, or the last one is another now; it is on disk when this returns."""
        self.turns = (*(self.turns[:-1] if again else self.turns), turn)
        self._note()

    def undo(self) -> None:
        """Take the last turn back.

        Raises:
            InputError: it was read already.
        """
        self._require_open()
        if self._begun:
            raise InputError(f"the last message is too long to be taken back: it is part of {self.name!r} already")
        self.turns = self.turns[:-1]
        self._note()

    def keep(self) -> Artifact | None:
        """Make a version of the memory that holds all turns; None if nothing was ever said."""
        self._settle(len(self.turns))
        return self._commit()

    def _require_open(self) -> None:
        if self._read == len(self.turns) or self._closing:
            raise InputError(
                f"the last turn is part of the memory {self.name!r} already",
                hint="only what was said last, and in this session, can be taken back or answered again",
            )

    def _take_up(self, turns: Sequence[Turn]) -> None:
        """Go on where a session that was killed had come to."""
        if turns:
            self._reporter.note(f"reading turns of an earlier session that did not end: {len(turns)}")
            self.turns = (*self.turns, *turns)
            self._settle(len(self.turns) - 1)

    def _settle(self, stop: int) -> None:
        """Read the turns before number `stop` that were not read."""
        for turn in self.turns[self._read : stop]:
            self._closing = True
            self._take([*self._opening(), *self._talk.turn(turn.user, turn.answer)][self._begun :])
            self._read, self._begun, self._closing = self._read + 1, 0, False
        if len(self.memory.reader.ids) - self._kept_tokens >= KEEP_TOKENS:
            self._commit()

    def _opening(self) -> list[int]:
        """What stands before the turn that is read next."""
        return self._talk.opening() if len(self.memory.reader.ids) == self._begun else []

    def _take(self, ids: list[int]) -> None:
        """Read token ids; when the user interrupts, what was read is counted."""
        size = self.memory.params.chunk * _SLICE_CHUNKS
        with self._reporter.progress("read", len(ids), "tokens") as advance:
            for start in range(0, len(ids), size):
                piece = ids[start : start + size]
                self._run(partial(self._read_piece, piece))
                advance(len(piece))

    def _read_piece(self, piece: list[int]) -> None:
        self.memory.read_ids(piece)
        self._begun += len(piece)

    def _mark(self) -> None:
        """All that was read is in the store now."""
        reader = self.memory.reader
        self._kept_tokens, self._kept_events = len(reader.ids), Written.by(reader)
        self._kept_segments = len(reader.past.segments.spans)

    def _note(self) -> None:
        unkept = self.turns[self._committed :]
        params = self.memory.params.recorded()
        handle = self._handle
        self._journal.write(Entry(handle.identity, handle.dtype, params, self.system, self._committed, unkept))

    def _commit(self) -> Artifact | None:
        """Make a version of what was read."""
        if self._read == self._committed:
            return self._parent
        self._run(self.memory.finish)
        handle, params = self._handle, self.memory.params
        job = Job(
            stage=STAGE,
            model=handle.slug,
            label=self.name,
            params={
                "memory": params.recorded(),
                "system": self.system,
                "turns": [_digest(turn) for turn in self.turns[self._committed : self._read]],
            },
            inputs={} if self._parent is None else {"memory": self._parent},
            identity=handle.identity,
            numerics=handle.numerics(params.seed) | {"attn": "memory"},
            compute=self._payload,
            provenance={"model": handle.provenance()},
            keeps_label=True,
        )
        made = run_job(self._store, job).artifact
        if made is None:
            raise RuntimeError("a job without dry run gives an artifact")
        self._run(partial(self._free, made))
        self._parent, self._committed = made, self._read
        self._mark()
        self._note()
        return made

    def _payload(self, work: StageContext) -> Payload:
        """The segments of the version before, and the new ones behind them.

        The first of these has what stands for all events that have left the window since.
        """
        if self._parent is not None:
            for name in self._parent.files(SEGMENTS):
                work.adopt(name, self._parent)
        reader, write = self.memory.reader, segment_writer(work)
        for number, (start, stop) in enumerate(reader.past.segments.spans):
            if number >= self._kept_segments:
                before = self._kept_events if number == self._kept_segments else Written.by(reader)
                write(number, checkpoint(reader, start, stop, before))
        said = self.turns[: self._read]
        bounds = bounds_of_turns(work, self._talk, self.memory.model.tokenizer, said)
        memory = {"memory.json": self.memory.describe(), STATES: end_arrays(reader)}
        return {**memory, TURNS: [turn.to_json() for turn in said], **bounds}

    def _free(self, made: Artifact) -> None:
        """Read the new segments from their files from now on, which frees their memory."""
        segments = self.memory.reader.past.segments
        for number in range(self._kept_segments, len(segments.spans)):
            segments.replace_with_file(number, made.path / segment_name(number))


def require_same(conversation: PersistentConversation, given: dict[str, Any], system: str | None) -> None:
    """Refuse to go on with a conversation in another way than it was begun.

    Args:
        conversation: the conversation.
        given: parameters of a memory that the user gave.
        system: the system text that the user gave, if any.

    Raises:
        InputError: one of them is another.
    """
    for name, value in given.items():
        known = getattr(conversation.memory.params, name)
        if value != known:
            raise InputError(
                f"conversation {conversation.name!r} was begun with {name} {known}, it cannot go on with {value}",
                hint="leave the option out, or begin another conversation",
            )
    if system is not None and system != (conversation.system or ""):
        raise InputError(
            f"conversation {conversation.name!r} was begun with another system text",
            hint="leave --system out, or begin another conversation",
        )


def _kept(artifact: Artifact | None) -> tuple[Turn, ...]:
    return () if artifact is None else tuple(Turn.from_json(turn) for turn in artifact.read_json(TURNS))


def _digest(turn: Turn) -> str:
    return hashlib.sha256(json.dumps(turn.to_json(), sort_keys=True).encode()).hexdigest()
