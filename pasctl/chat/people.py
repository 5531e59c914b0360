"""Who a model can be steered to: the personas of a directions artifact, looked up when one is asked for."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING

from pasctl.chat.session import Voice
from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError, PasctlError
from pasctl.stages.choose_alpha import default_positions, latest_alphas
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact, Store, find_input
from pasctl.stages.steering import require_positions
from pasctl.stages.stored_personas import StoredPersonas
from pasctl.stages.target import PersonaCatalog

if TYPE_CHECKING:
    from pasctl.steering.intervention import Intervention

_USUAL_ALPHA = 1.0
_COMPARED = 10_000  # names that a wrong one is compared with: more would take seconds


class People:
    """The personas that one model can be steered to.

    Nothing is read before a persona is asked for: a chat needs no directions.
    """

    def __init__(
        self, store: Store, handle: ModelHandle, directions: str | None = None, positions: str | None = None
    ) -> None:
        """Remember where to look.

        Args:
            store: where directions are.
            handle: the model.
            directions: which to read; None takes the latest of the model.
            positions: "all" or "answer"; None as the directions were selected, else all.

        Raises:
            InputError: unknown positions.
        """
        if positions is not None:
            require_positions(positions)
        self._store, self._handle, self._ref, self._positions = store, handle, directions, positions

    @cached_property
    def source(self) -> Artifact:
        """The directions.

        Raises:
            MissingError: there are none of this model.
            InputError: those named are another model's.
        """
        model = self._handle
        found = find_input(
            self._store,
            "directions",
            self._ref,
            fits=lambda artifact: bool(artifact.document["model"] == model.identity),
            wanted=f"of {model.source.spec}",
        )
        model.require(found.document["model"], found.name)
        return found

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all personas."""
        return tuple(StoredPersonas.of(self.source).ids())

    @property
    def known(self) -> tuple[str, ...]:
        """Ids of the personas, none where there are no directions that can be used."""
        try:
            return self.names
        except PasctlError:
            return ()

    @property
    def positions(self) -> str:
        """Where a text is steered: at "all" positions, or from the "answer" on."""
        return self._positions or default_positions(self.source)

    def find(self, name: str) -> str:
        """The persona of this name.

        Raises:
            InputError: there is none.
        """
        if name not in self.names:
            near = get_close_matches(name, self.names[:_COMPARED], 3)
            raise InputError(
                f"{self.source.name} has no persona {name!r}",
                hint=f"did you mean {' or '.join(near)}?" if near else f"it has {listed(self.names)}",
            )
        return name

    def only(self) -> str:
        """The persona of directions that have a single one.

        Raises:
            InputError: they have several.
        """
        if len(self.names) > 1:
            raise InputError(
                f"{self.source.name} has {len(self.names)} personas, expected one to be named",
                hint=f"it has {listed(self.names)}",
            )
        return self.names[0]

    def alpha(self, persona: str) -> tuple[float, str]:
        """The strength to steer with where none is given, and why: what choose-alpha chose for the persona, else 1."""
        found = latest_alphas(self._store, self.source, self.positions)
        if found is None:
            return _USUAL_ALPHA, "choose-alpha was not run"
        strengths, alphas = found
        alpha = float(alphas[self.names.index(persona)])
        return alpha, f"chosen in {strengths.name}" + ("" if alpha else ": none was better than no steering")

    def intervention(self, voice: Voice) -> Intervention | None:
        """The displacement that makes the model speak so; None leaves it as it is."""
        if not voice.steered:
            return None
        target = SteeringTarget(directions=self.source, alpha=voice.alpha)
        chosen = PersonaCatalog(Run(self._store), self._handle, target).find(voice.persona)
        return chosen.intervention(self._handle.geometry())


def listed(names: tuple[str, ...], most: int = 12) -> str:
    """Names in a line, the first ones if they are many."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest:,} more" if rest > 0 else "")
