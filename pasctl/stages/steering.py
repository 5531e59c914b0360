"""From a directions artifact to interventions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import InputError
from pasctl.inventory import PersonaSet
from pasctl.stages.granularity import site_of, unit_of
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_personas import StoredPersonas, read_rows

if TYPE_CHECKING:
    from pasctl.models.geometry import Geometry
    from pasctl.steering.intervention import Intervention

# Of the random streams that a seed has, those that the controls' draws come from.
_RANDOM_DIRECTIONS = 1
SHUFFLED_ANSWERS = 2

DIRECTIONS_FILE = "directions"
SHUFFLED = "shuffled"
"""Names of the files, or of the folders of shards, that a directions artifact has; see `stored_personas`."""
CASE = "case="
"""What may stand before a persona's id in its name."""
_NOISE_ROWS = 1024  # personas whose random directions are drawn at once


def require_positions(positions: str) -> None:
    """Refuse words for positions that nothing is steered at.

    Raises:
        InputError: neither "all" nor "answer".
    """
    if positions not in ("all", "answer"):
        raise InputError(f"positions {positions!r} is unknown, expected all or answer")


@dataclass(frozen=True, eq=False)
class DirectionSet:
    """Personas of a directions artifact and where each is steered to.

    Attributes:
        personas: P personas.
        heads: int64 [P, K, 2], rows of (layer, head).
        theta: float32 [P, K, D], unit vectors.
        sigma: float32 [P, K].
        rows: the personas' rows in the artifact [P]; None where they are all of it, in its order.
        size: how many heads, side by side, are shifted as one: those of a key-value group, or 1.
        site: kind of the sites that are shifted, as `pasctl.models.sites` names it.
    """

    personas: PersonaSet
    heads: NDArray[np.int64]
    theta: NDArray[np.float32]
    sigma: NDArray[np.float32]
    rows: NDArray[np.int64] | None = None
    size: int = 1
    site: str = "heads"

    @classmethod
    def read(cls, directions: Artifact, rows: NDArray[np.int64] | None = None) -> DirectionSet:
        """Read an artifact, or only the personas at some rows of it.

        Raises:
            IntegrityError: a file is not what its digest says.
        """
        arrays = read_rows(directions, DIRECTIONS_FILE, rows)
        personas = StoredPersonas.of(directions).rows(rows)
        stored = (arrays["heads"], arrays["theta"], arrays["sigma"])
        return cls(personas, *stored, rows, unit_of(directions), site_of(directions))

    @classmethod
    def shuffled(cls, directions: Artifact, rows: NDArray[np.int64] | None = None) -> DirectionSet:
        """The control: the same personas and heads, in directions fitted on each persona's answers in another order.

        The personas' answers are the real ones.

        Raises:
            InputError: the artifact is of an earlier version.
            IntegrityError: a file is not what its digest says.
        """
        if not directions.files(SHUFFLED):
            raise InputError(
                f"{directions.name} has no directions of shuffled answers, an earlier version of pasctl fitted it",
                hint="fit the directions again with `pasctl fit-directions`",
            )
        arrays = read_rows(directions, SHUFFLED, rows)
        return replace(cls.read(directions, rows), theta=arrays["theta"], sigma=arrays["sigma"])

    @classmethod
    def combined(cls, name: str, parts: Sequence[tuple[float, DirectionSet]]) -> DirectionSet:
        """The weighted sum of personas' steering deltas as one persona: sigma * theta is the sum of theirs.

        Args:
            name: of the combination.
            parts: weight and directions of each, one persona each.

        Raises:
            InputError: they shift different kinds of sites.
        """
        sites = {part.site for _, part in parts}
        if len(sites) > 1:
            raise InputError(
                f"{name} combines directions of {' and '.join(sorted(sites))}, expected one kind of sites",
                hint="extract and fit them with one --site",
            )
        total: dict[tuple[int, int], NDArray[np.float64]] = {}
        for weight, part in parts:
            deltas = weight * part.sigma[0].astype(np.float64)[:, None] * part.theta[0]
            for (layer, head), delta in zip(part.heads[0].tolist(), deltas, strict=True):
                total[layer, head] = total.get((layer, head), 0.0) + delta
        heads = sorted(total)
        delta = np.stack([total[head] for head in heads])
        length = np.linalg.norm(delta, axis=1)
        theta = np.divide(delta, length[:, None], out=np.zeros_like(delta), where=length[:, None] > 0)
        first = parts[0][1].personas
        personas = PersonaSet(first.label, (name,), np.full((1, first.n_items), np.nan), first.coding)
        vectors = theta[None].astype(np.float32), length[None].astype(np.float32)
        return cls(personas, np.array(heads)[None], *vectors, site=sites.pop())

    def of_heads(self, heads: Sequence[tuple[int, int]]) -> DirectionSet:
        """These (layer, head) of it, in this order; every persona must have the same heads."""
        places = {(int(layer), int(head)): place for place, (layer, head) in enumerate(self.heads[0])}
        kept = [places[head] for head in heads]
        return replace(self, heads=self.heads[:, kept], theta=self.theta[:, kept], sigma=self.sigma[:, kept])

    def randomized(self, seed: int, draw: int = 0) -> DirectionSet:
        """The same heads and lengths in random directions: for each persona and head, uniform on the sphere.

        Heads that are shifted as one stay so. Draws are independent of each other.
        """
        # draw 0 is as it was when there was only one, so that answers in stores are found again
        stream = [seed, _RANDOM_DIRECTIONS] if draw == 0 else [seed, _RANDOM_DIRECTIONS, draw]
        rng, rows = np.random.default_rng(stream), np.arange(len(self.theta)) if self.rows is None else self.rows
        theta, end = np.empty_like(self.theta[:, :: self.size]), int(rows.max()) + 1
        # a persona's numbers are those at its row of the artifact, whether the rows before are asked for or not
        for start in range(0, end, _NOISE_ROWS):
            noise = rng.standard_normal((min(_NOISE_ROWS, end - start), *theta.shape[1:]))
            noise /= np.linalg.norm(noise, axis=-1, keepdims=True)
            here = (rows >= start) & (rows < start + _NOISE_ROWS)
            theta[here] = noise[rows[here] - start]
        return replace(self, theta=np.repeat(theta, self.size, axis=1))

    def intervention(self, geometry: Geometry, persona: int, alpha: float) -> Intervention:
        """The displacement alpha * sigma * theta of the persona at place `persona`."""
        import torch

        from pasctl.steering.intervention import Intervention

        heads, theta, sigma = (torch.from_numpy(each[persona]) for each in (self.heads, self.theta, self.sigma))
        return Intervention.from_heads(geometry.at(self.site), heads, theta, sigma, alpha)

    def digest(self, persona: int) -> str:
        """sha256 of one persona's directions, whatever the others' are."""
        digest = hashlib.sha256()
        for array, kind in ((self.heads, "<i8"), (self.theta, "<f4"), (self.sigma, "<f4")):
            digest.update(str(array[persona].shape).encode())
            digest.update(np.ascontiguousarray(array[persona], dtype=kind).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class ResolvedTarget:
    """A persona, how strongly a model is steered to it, and where in a text.

    Attributes:
        alpha: strength; 0 leaves the model as it is.
        positions: steered at "all" positions, or from the "answer" on.
        directions: the artifact.
        known: the directions of this persona alone.
        why: where the strength comes from, if no user gave it.
    """

    alpha: float
    positions: str
    directions: Artifact
    known: DirectionSet
    why: str = ""

    @property
    def persona(self) -> str:
        """Its id."""
        return self.known.personas.ids[0]

    @property
    def name(self) -> str:
        """The directions' name and the persona's id, as a request may write it."""
        return f"{self.directions.name}:{CASE}{self.persona}"

    @property
    def params(self) -> dict[str, Any]:
        """What enters a key."""
        return {"persona": self.persona, "alpha": self.alpha, "directions": self.known.digest(0)}

    @property
    def layers(self) -> list[int]:
        """Layers that are steered."""
        return sorted(set(self.known.heads[0, :, 0].tolist()))

    def intervention(self, geometry: Geometry) -> Intervention:
        """The steering delta alpha * sigma * theta."""
        return self.known.intervention(geometry, 0, self.alpha)

    def __str__(self) -> str:
        return f"{self.persona} at alpha {self.alpha:g}"
