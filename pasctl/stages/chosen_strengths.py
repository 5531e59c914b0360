"""The strengths that choose-alpha has chosen for personas, looked up in the store."""

from __future__ import annotations

from collections.abc import Sequence

from pasctl.errors import InputError
from pasctl.stages.choose_alpha import default_positions, latest_alphas
from pasctl.stages.granularity import is_imported
from pasctl.stages.runner import Artifact, Store


class ChosenStrengths:
    """Strengths by directions and positions; those that were found are held."""

    def __init__(self, store: Store, budget_kl: float | None) -> None:
        """Look in `store` for strengths that were chosen with this KL budget, in nats/token."""
        self._store, self._budget_kl = store, budget_kl
        self._found: dict[str, tuple[Artifact, Sequence[float]]] = {}

    def latest(self, directions: Artifact, positions: str) -> tuple[Artifact, Sequence[float]] | None:
        """The strengths that were chosen last with these directions and positions, and all of them."""
        key = directions.key
        if key not in self._found:
            latest = latest_alphas(self._store, directions, positions, self._budget_kl)
            if latest is None:
                return None  # and looked for again, as one may be chosen later
            self._found[key] = latest[0], latest[1].tolist()
        return self._found[key]

    def of(self, directions: Artifact, positions: str, row: int) -> tuple[float, str]:
        """The strength of the persona at a row, and what is said about it.

        Raises:
            InputError: none was chosen.
        """
        if is_imported(directions):
            return 1.0, "as strong as in the file"
        latest = self.latest(directions, positions)
        if latest is None:
            name = directions.name
            places = "" if positions == default_positions(directions) else f" --positions {positions}"
            raise InputError(
                f"no alpha was chosen for {name} with positions {positions}",
                hint=f"choose it with `pasctl choose-alpha --directions {name}{places}`, or give --alpha",
            )
        strengths, alphas = latest
        alpha = float(alphas[row])
        return alpha, f"chosen in {strengths.name}" + ("" if alpha else ": none was better than no steering")
