"""A chat as it goes on: lines come in, answers and notes go out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pasctl.chat.answering import PendingAnswer, submit
from pasctl.chat.commands import help_text, parse
from pasctl.chat.history import Asked, Prompted
from pasctl.chat.session import Session, Turn
from pasctl.chat.state import NONE, ChatState
from pasctl.chat.terminal import Lines, whole_line
from pasctl.chat.transcript import Transcripts
from pasctl.chat.view import View
from pasctl.errors import InputError, PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.sampling_params import SamplingParams
from pasctl.stages.steering import ResolvedTarget


class Dialogue:
    """One chat of a user with a model.

    Attributes:
        session: what was said.
        state: who answers, and behind what.
    """

    def __init__(
        self,
        engine: Engine,
        state: ChatState,
        view: View,
        *,
        how: SamplingParams,
        system: str | None = None,
        interactive: bool = False,
        recalled: bool = False,
    ) -> None:
        """Begin, or go on with the conversation of the state, if it is kept.

        Args:
            engine: writes answers.
            state: who answers first.
            view: shows all.
            how: how answers are written.
            system: the system text of a new conversation.
            interactive: somebody is there: errors are shown and the chat goes on, and Ctrl-C stops an answer.
            recalled: tell which events were recalled.
        """
        self._engine, self.state, self._view, self._how = engine, state, view, how
        self._interactive, self._recalled, self._kept = interactive, recalled, state.conversation
        self._transcripts = Transcripts(state.model)
        self._told_left_out = False
        turns = self._kept.turns if self._kept else ()
        self.session = Session(turns, self._kept.system if self._kept else system)
        self._commands: dict[str, Callable[[str], None]] = {
            "persona": state.persona,
            "alpha": state.alpha,
            "memory": state.memory,
            "compare": self.compare,
            "system": self.system,
            "again": self.again,
            "undo": self.undo,
            "reset": self.reset,
            "save": self.save,
            "help": self.help,
        }

    @property
    def prompt(self) -> str:
        """What stands before a user's line."""
        target = self.state.target
        return f"{target.persona} {target.alpha:g} > " if target else "> "

    @property
    def heading(self) -> str:
        """Model, persona, alpha and memory in one line."""
        return " · ".join([self.state.model, self.state.who, self.state.memory_told, "/help"])

    def run(self, lines: Lines) -> None:
        """Take lines until there are no more, or the user leaves.

        Raises:
            KeyboardInterrupt: the user interrupted twice at the prompt, or once where nobody types.
            PasctlError: something went wrong where nobody types.
        """
        interrupted = False
        while True:
            try:
                line = whole_line(lines, self.prompt)
                if line is None or not self.take(line):
                    return
                interrupted = False
            except KeyboardInterrupt:
                if interrupted or not self._interactive:
                    raise
                interrupted = True
                self._view.note("Ctrl-C once more leaves, and so does Ctrl-D")
            except PasctlError as error:
                if not self._interactive:
                    raise
                self._view.fail(error)

    def take(self, line: str) -> bool:
        """Do what a line asks for; False when the user leaves.

        Raises:
            PasctlError: it cannot be done.
        """
        meant = parse(line)
        if meant is None:
            return True
        if meant.command == "quit":
            return False
        if meant.command is None:
            self._answer(meant.text, self.session, "next")
        else:
            self._commands[meant.command](meant.text)
        return True

    def compare(self, text: str) -> None:
        """Answer as the persona and as nobody, at the same time; nothing of it stays."""
        asked: Asked = "aside" if text else "again"
        session = self.session if text else self.session.undone()
        user = text or self.session.last("compare").user
        if self.state.target is None:
            raise InputError("there is no steering to compare with none", hint="/persona and /alpha first")
        prompted = self.state.past.prompt(session, user, asked)
        if prompted.memory is not None and prompted.memory.intervention is not None:
            raise InputError(f"{self.state.past.name} was read steered, so there is no answer without steering")
        began, answers = time.monotonic(), list[PendingAnswer]()

        def write() -> None:
            for target in (self.state.target, None):
                answers.append(self._submit(prompted, target, self.session.answers))
            self._view.compare([(each.who, each) for each in answers])

        stopped = self._shown(answers, write)
        for each in answers:
            self._tell(self._turn(each, user, began, stopped), each, compared=True)

    def system(self, text: str) -> None:
        """Set the system text, take it away, or say it."""
        if not text:
            self._view.note(self.session.system or "no system text")
        elif self._kept is not None:
            raise InputError(
                f"the system text of {self._kept.name!r} stands at its beginning and stays",
                hint="begin another conversation with --memory NAME --system TEXT",
            )
        else:
            self.session = replace(self.session, system=None if text == NONE else text)

    def again(self, _: str = "") -> None:
        """Answer the last message once more, in place of the answer that there is."""
        user = self.session.last("answer again").user
        self._answer(user, self.session.undone(), "again")

    def undo(self, _: str = "") -> None:
        """Take the last turn back."""
        before = self.session.undone()
        if self._kept is not None:
            self._kept.undo()
        self.session = before
        self._view.note(f"taken back, turns left: {len(before.turns)}")

    def reset(self, _: str = "") -> None:
        """Forget all turns."""
        if self._kept is not None:
            raise InputError(
                f"what was said is remembered as {self._kept.name!r}", hint="begin another with --memory NAME"
            )
        self.session = replace(self.session, turns=())
        self._view.note("all turns are forgotten")

    def save(self, name: str) -> None:
        """Write all turns to a file."""
        self._transcripts.save(self.session.system, self.session.turns, Path(name))
        self._view.note(f"{name} is written, turns: {len(self.session.turns)}")

    def help(self, _: str = "") -> None:
        """Say which commands there are."""
        self._view.note(help_text())

    def _answer(self, user: str, session: Session, asked: Asked) -> None:
        """Answer a message behind the turns of a session, which then has one more."""
        began, answers = time.monotonic(), list[PendingAnswer]()

        def write() -> None:
            prompted = self.state.past.prompt(session, user, asked)
            self._tell_left_out(prompted.left_out)
            answers.append(self._submit(prompted, self.state.target, session.answers))
            self._view.answer(answers[0])

        try:
            stopped = self._shown(answers, write)
        except BaseException:
            self._close(user)
            raise
        if not answers:
            self._close(user)
            self._view.note("stopped")
            return
        turn = self._turn(answers[0], user, began, stopped)
        self._keep(session.said(turn), again=asked == "again")
        self._tell(turn, answers[0])

    def _submit(self, prompted: Prompted, target: ResolvedTarget | None, number: int) -> PendingAnswer:
        """Begin an answer, which is number `number` of the session."""
        seed = self._how.seed + number
        return submit(self._engine, prompted, target, self._how, seed=seed, recalled=self._recalled)

    def _shown(self, answers: list[PendingAnswer], show: Callable[[], None]) -> bool:
        """Show answers; tells whether the user stopped them."""
        try:
            show()
        except BaseException as error:
            for each in answers:
                each.stream.cancel()
            if not (isinstance(error, KeyboardInterrupt) and self._interactive):
                raise
            return True
        return False

    def _close(self, user: str) -> None:
        """A message was read in part and not answered: it is a turn without an answer, since it cannot be unread."""
        if self._kept is not None and self._kept.begun:
            self._keep(self.session.said(Turn(user, "", self.state.model, stop="stopped")), again=False)

    def _keep(self, session: Session, *, again: bool) -> None:
        self.session = session
        if self._kept is not None:
            self._kept.add(session.turns[-1], again=again)

    def _turn(self, answer: PendingAnswer, user: str, began: float, stopped: bool) -> Turn:
        return answer.turn(
            user,
            model=self.state.model,
            memory=self.state.past.name,
            seconds=time.monotonic() - began,
            stopped=stopped,
        )

    def _tell(self, turn: Turn, answer: PendingAnswer, *, compared: bool = False) -> None:
        told: dict[str, Any] = {"recalled": answer.recalled()} if answer.prompted.memory is not None else {}
        self._view.turn(turn, told | ({"compared": True} if compared else {}))
        who = f"{turn.who}: " if compared else ""
        if turn.stop == "length":
            self._view.note(f"{who}cut off after {turn.tokens} tokens (--max-new-tokens)")
        elif turn.stop == "stopped":
            self._view.note(f"{who}stopped")

    def _tell_left_out(self, count: int) -> None:
        if count and not self._told_left_out:
            whose = "the memory's window" if self.state.text is not None else "the model's context"
            self._view.note(f"from here on the oldest turns are left out: {whose} does not hold them")
        self._told_left_out = count > 0
