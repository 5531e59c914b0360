"""Who texts are written as: from the names that a user gives to steering deltas, and to words for both sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pasctl.evaluation.alphas import AUTO, alpha_text
from pasctl.stages.job import Outcome
from pasctl.stages.persona_catalog import PersonaCatalog
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.text_words import Words

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry
    from pasctl.steering.intervention import Intervention

_OTHER = {"+": "-", "-": "+"}


@dataclass(frozen=True, eq=False)
class TextTarget:
    """A persona, or a weighted combination, that texts are written as.

    Attributes:
        name: as the user says it.
        settings: the persona at each strength.
        words: for its two sides; None where there are none.
    """

    name: str
    settings: tuple[ResolvedTarget, ...]
    words: Words | None

    @property
    def opposite(self) -> str:
        """What texts steered away from it are called."""
        if self.name[-1] in _OTHER and not set(self.name) & set("&*"):
            return self.name[:-1] + _OTHER[self.name[-1]]
        return f"opposite of {self.name}"

    @property
    def alphas(self) -> tuple[float, ...]:
        """The strength of each setting."""
        return tuple(target.alpha for target in self.settings)

    @property
    def positions(self) -> str:
        """Where a text is steered."""
        return self.settings[0].positions

    @property
    def params(self) -> list[Any]:
        """What enters the key: strengths and directions of each setting."""
        return [target.params for target in self.settings]

    def intervention(self, geometry: Geometry, setting: int, sign: float) -> Intervention:
        """The steering delta to the target at a setting; with a sign of -1 away from it, for a pole to its opposite."""
        target = self.settings[setting]
        return replace(target, alpha=sign * target.alpha).intervention(geometry)


def resolve_texts(
    catalog: PersonaCatalog,
    names: Sequence[str],
    alphas: Sequence[float | str],
    words_of: Callable[[str], Words | None],
) -> tuple[TextTarget, ...] | Outcome:
    """Find who is meant; where "auto" is asked for and no strength was chosen, one is chosen first.

    Args:
        catalog: whose personas may be named.
        names: of personas, or combinations.
        alphas: strengths; "auto" is each persona's own.
        words_of: gives the words for a persona's two sides.

    Returns:
        The targets; or, of a dry run, the outcome of what must be done first.

    Raises:
        InputError: no such persona.
    """
    targets = []
    for name in names:
        made = catalog.choose(name, AUTO) if AUTO in alphas else None
        if made is not None and made.artifact is None:
            return made
        chosen = [catalog.find(name, alpha) for alpha in alphas]
        # "auto" may have chosen a strength that is given as well
        settings = {target.alpha: target for target in chosen}
        targets.append(TextTarget(name, tuple(settings.values()), words_of(name)))
    return tuple(targets)


def strengths_of(targets: Sequence[TextTarget]) -> str:
    """The strengths in words, for notes."""
    return ", ".join(f"{each.name} at alpha {','.join(map(alpha_text, each.alphas))}" for each in targets)
