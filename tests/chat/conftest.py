"""The demo model, an engine for it, a store with personas of it, and a view that keeps what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pasctl.chat.dialogue import Dialogue
from pasctl.chat.persistent import PersistentConversation
from pasctl.chat.session import Turn
from pasctl.chat.state import ChatState
from pasctl.chat.view import Texts
from pasctl.commands.target import Alpha, SteeringTarget
from pasctl.errors import PasctlError
from pasctl.generation.engine import Engine
from pasctl.generation.sampling_params import SamplingParams
from pasctl.memory.params import MemoryParams
from pasctl.models.load import LoadedModel, load_model
from pasctl.models.options import ModelOptions
from pasctl.stages.extract import extract
from pasctl.stages.fit_directions import fit_directions
from pasctl.stages.model import ModelHandle
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.progress import Silent
from pasctl.stages.run import Run
from pasctl.stages.train_probes import train_probes
from pasctl.store import Store

SHORT = SamplingParams(max_new_tokens=24)


class Shown:
    """A view that keeps all, and can raise something after some pieces."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.errors: list[PasctlError] = []
        self.answers: list[str] = []
        self.compared: list[tuple[str, str]] = []
        self.turns: list[tuple[Turn, dict[str, Any]]] = []
        self.raise_after: tuple[int, type[BaseException]] | None = None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def fail(self, error: PasctlError) -> None:
        self.errors.append(error)

    def answer(self, pieces: Iterable[str]) -> None:
        self.answers.append("")
        for count, piece in enumerate(pieces, start=1):
            self.answers[-1] += piece
            if self.raise_after is not None and count == self.raise_after[0]:
                raise self.raise_after[1]

    def compare(self, texts: Texts) -> None:
        self.compared = [(heading, "".join(pieces)) for heading, pieces in texts]

    def turn(self, turn: Turn, told: dict[str, Any]) -> None:
        self.turns.append((turn, told))


class Said:
    """Lines that somebody says, and Ctrl-C where a line is KeyboardInterrupt."""

    def __init__(self, *lines: str | type[KeyboardInterrupt]) -> None:
        self._lines = list(lines)
        self.prompts: list[str] = []

    def read(self, prompt: str) -> str | None:
        self.prompts.append(prompt)
        if not self._lines:
            return None
        line = self._lines.pop(0)
        if isinstance(line, str):
            return line
        raise line


@pytest.fixture(scope="session")
def demo() -> ModelHandle:
    handle = ModelHandle("demo", ModelOptions(dtype="float32"))
    handle.load()
    return handle


@pytest.fixture(scope="session")
def apart() -> LoadedModel:
    """The same model once more, which no engine owns: the oracle."""
    return load_model("demo", dtype="float32")


@pytest.fixture(scope="session")
def engine(demo: ModelHandle) -> Iterator[Engine]:
    with Engine(demo.load(), max_batch=2) as found:
        yield found


@pytest.fixture(scope="session")
def people_store(apart: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with directions to E+ and N- for the demo model; nobody writes to it."""
    root = tmp_path_factory.mktemp("people") / "store"
    extract(apart, store=root)
    train_probes(personas="E+,N-", store=root)
    fit_directions(store=root)
    return root


Talk = Callable[..., tuple[Dialogue, Shown]]


@pytest.fixture
def talk(engine: Engine, demo: ModelHandle, people_store: Path) -> Talk:
    """Begins a chat with the demo model."""

    def begin(
        store: Path = people_store,
        *,
        how: SamplingParams = SHORT,
        conversation: PersistentConversation | None = None,
        alpha: Alpha = 1.0,
        **more: Any,
    ) -> tuple[Dialogue, Shown]:
        shown, opened = Shown(), Store(store)
        catalog = PersonaCatalog(Run(opened), demo, SteeringTarget(budget_kl=None))
        state = ChatState(demo, opened, catalog, how, shown.note, alpha=alpha, conversation=conversation)
        return Dialogue(engine, state, shown, how=how, **more), shown

    return begin


@pytest.fixture
def remember(engine: Engine, demo: ModelHandle) -> Callable[..., PersistentConversation]:
    """Opens a conversation with the demo model."""
    from pasctl.chat.answering import run_in

    def begin(
        store: Path, label: str = "talk", *, params: MemoryParams, system: str | None = None
    ) -> PersistentConversation:
        return PersistentConversation(
            Store(store),
            demo,
            label,
            params=params,
            system=system,
            thinking=False,
            run=run_in(engine),
            reporter=Silent(),
        )

    return begin
