"""What `pasctl survey` shows: the items of an inventory, and the profile of who answered them."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pasctl.cli.output import print_json, write
from pasctl.errors import InputError
from pasctl.printable import shell_words

if TYPE_CHECKING:
    from rich.console import Console

    from pasctl.commands.survey import Survey
    from pasctl.inventory import Inventory
    from pasctl.stages.progress import Reporter
    from pasctl.stages.run import Run
    from pasctl.survey.answer_file import AnswerFile
    from pasctl.survey.population import Population
    from pasctl.survey.session import Session
    from pasctl.survey.terminal import SingleKeys

LOOK_SECONDS = 0.5  # how often a terminal is asked whether its size has changed
LEAST_WIDTH, MOST_WIDTH = 30, 100  # characters


def present(options: Survey, run: Run, *, json: bool) -> None:
    """Ask what is open, and print the profile once all is answered."""
    from pasctl.inventory import absolute_spec, load_inventory
    from pasctl.survey import answer_file as files
    from pasctl.survey.population import population_of
    from pasctl.survey.session import Session, question_order

    path, show, split = Path(options.output), options.show, options.split
    files.check_place(path)
    files.check_name(options.name)
    note = files.read_note(path)
    spec = options.inventory or (note.inventory if note else "builtin")
    asked = load_inventory(spec, run.reporter.note)
    files.require_same(path, note, asked)
    order = question_order(asked, split=split, shuffle=options.shuffle, seed=options.seed)
    kept = files.read_file(path, asked, options.name) if show or path.exists() else files.new_file(path, options.name)
    if show and kept.persona not in kept.personas:
        raise InputError(f"{path} has no persona {kept.persona!r}", hint=f"it has {', '.join(kept.personas)}")
    population = population_of(spec, asked, options.coding, options.group)

    old = {item: value for item, value in kept.entries.items() if not options.restart or item not in order}
    session = Session.begin(order, old)
    if not show and not session.done:
        files.write_note(path, files.Note(absolute_spec(spec), asked.name, asked.digest))
        session = _asked(session, asked, kept, run.reporter)
        if session.open:
            settled = len(order) - session.open
            run.reporter.note(f"{settled} of {len(order)} items settled in {path}: run the same command to resume")
            return
    elif not show:
        run.reporter.note(f"{path} is complete, its profile follows; --restart asks all again")
    _print_profile(session, asked, kept, population, split, as_json=json)
    if not session.open:
        run.reporter.note(_next(path, spec, asked))


def _next(path: Path, spec: str, inventory: Inventory) -> str:
    """The command that steers a model by a file of answers, or why there is none yet."""
    from pasctl.inventory import read_answers, require_usable

    try:
        require_usable(read_answers(path, inventory), inventory.indices("fit"), inventory)
    except InputError as error:
        return f"not enough to steer a model by: {error.message}; {error.hint}"
    # a word with a colon would be taken for another source of personas
    file = str(path) if ":" not in str(path) or path.is_absolute() else f"./{path}"
    words = ["pasctl", "run", "--model", "MODEL", "--personas", file]
    if spec != "builtin" or os.environ.get("PASCTL_INVENTORY", spec) != spec:
        words += ["--inventory", spec]
    return f"next: {shell_words(words)}"


class Dialogue(Protocol):
    """What shows items and gives keys.

    Attributes:
        confirms: Whether it stays after the last item.
        lines: Whether a key is a line.
    """

    confirms: bool
    lines: bool

    def show(self, session: Session, message: str) -> None:
        """Show the item that is asked, and below it a message."""

    def read(self) -> str | None:
        """The next key; None when the item has to be shown again."""


class Screen:
    """One item a screen; stays after the last one, so that it can be corrected."""

    confirms = True
    lines = False

    def __init__(self, console: Console, inventory: Inventory, keys: SingleKeys) -> None:
        self._console = console
        self._inventory = inventory
        self._keys = keys

    def show(self, session: Session, message: str) -> None:
        """Draw it anew."""
        from pasctl.survey.question_text import question

        self._size = self._console.size
        self._console.clear()
        self._console.print(question(session, self._inventory, message, lines=self.lines))

    def read(self) -> str | None:
        """Wait for a key, or for another size of the terminal."""
        while (key := self._keys.read(LOOK_SECONDS)) is None:
            if self._console.size != self._size:
                return None
        return key


class Lines:
    """One item after the other, and one answer a line; ends after the last one."""

    confirms = False
    lines = True

    def __init__(self, console: Console, inventory: Inventory) -> None:
        from pasctl.survey.terminal import LineKeys

        self._console = console
        self._inventory = inventory
        self._keys = LineKeys(sys.stdin.buffer)
        self._shown: Session | None = None

    def show(self, session: Session, message: str) -> None:
        """Print the item, or only the message when it stands there already."""
        from rich.text import Text

        from pasctl.survey.question_text import question

        if session is self._shown:
            self._console.print(Text(message))
        else:
            self._console.print(question(session, self._inventory, message, lines=self.lines))
            self._console.print()
        self._shown = session

    def read(self) -> str | None:
        """Wait for a line."""
        return self._keys.read()


def _asked(session: Session, inventory: Inventory, kept: AnswerFile, reporter: Reporter) -> Session:
    """The session when it is over: with single keys where there is a terminal, else with lines."""
    from rich.console import Console

    from pasctl.survey.terminal import NoSingleKeys, single_keys

    console = Console(stderr=True, highlight=False)
    if sys.stdin.isatty() and sys.stderr.isatty():
        try:
            with single_keys(sys.stdin.fileno()) as keys, console.screen(hide_cursor=True):
                return _dialogue(session, inventory, kept, Screen(console, inventory, keys))
        except NoSingleKeys as error:
            reporter.note(f"no single keys in this terminal ({error}): type a key, then Enter")
    return _dialogue(session, inventory, kept, Lines(console, inventory))


def _dialogue(session: Session, inventory: Inventory, kept: AnswerFile, dialogue: Dialogue) -> Session:
    """Ask until all is settled or the user leaves; each answer is on disk before the next question."""
    from pasctl.survey.keys import answers
    from pasctl.survey.question_text import options_of, wrong_key

    message = ""
    while not session.done or dialogue.confirms:
        dialogue.show(session, message)
        key = dialogue.read()
        if key is None:
            continue
        if key == "quit" or (session.done and key == "forward"):
            break
        options = options_of(session, inventory, lines=dialogue.lines)
        after = session.after(key, answers(options))
        if after is None:
            message = wrong_key(key, session, options)
            continue
        if after.entries != session.entries:
            kept.keep(after.entries)
        session, message = after, ""
    return session


def _print_profile(
    session: Session, inventory: Inventory, kept: AnswerFile, population: Population, split: str, *, as_json: bool
) -> None:
    from pasctl.survey.profile import agreements_of, profile, profile_json
    from pasctl.survey.profile_text import profile_text

    own = agreements_of(inventory, session.entries)
    scores = profile(inventory, own, population, inventory.indices(split))
    total, skipped, unsettled = len(session.order), session.skipped, session.open
    answered = total - skipped - unsettled
    if as_json:
        print_json(
            {
                "file": str(kept.path),
                "persona": kept.persona,
                "inventory": {"name": inventory.name, "digest": inventory.digest},
                "split": split,
                "items": {"asked": total, "answered": answered, "skipped": skipped, "open": unsettled},
                "population": {
                    "told": population.told,
                    "respondents": population.count,
                    "simulated": population.simulated,
                    "norms": bool(population.norms),
                    "group": population.group,
                },
                "scores": profile_json(scores),
            }
        )
        return
    counts = f"{answered} of {total} items answered"
    counts += f", {skipped} skipped" if skipped else ""
    counts += f", {unsettled} open" if unsettled else ""
    width = min(MOST_WIDTH, max(LEAST_WIDTH, shutil.get_terminal_size().columns))
    heading = f"{kept.persona}: {counts} (inventory {inventory.name})"
    write(profile_text(scores, population, inventory, heading=heading, width=width))
