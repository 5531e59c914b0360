"""activations of a contrast -> directions: poles, combinations of poles, and respondents through their traits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.commands.fit_directions import FitDirections
from pasctl.directions import DIRECTIONS
from pasctl.errors import InputError
from pasctl.evaluation.readings import LETTERS, STATEMENTS
from pasctl.inventory import Inventory, PersonaSet, persona_table
from pasctl.inventory.notes import Noted
from pasctl.stages.contrast_personas import ContrastPersonas, contrast_personas
from pasctl.stages.extract_contrast import is_contrast, read_contrast
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import of_model
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.steering import DIRECTIONS_FILE, SHUFFLED
from pasctl.stages.stored_personas import PERSONAS, personas_name, shard_name, spans_of, told_personas

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.directions.weighted import Axes

Floats = NDArray[np.float64]
TRAITS = "traits"
AXES = "axes.json"
"""What a directions artifact says about the contrast it is of."""
READING_POSITIONS = {STATEMENTS: "all", LETTERS: "answer"}
"""Where directions are steered by default, by the reading that suits them."""
_AXIS_METHOD = "mass-mean"
_SHUFFLED_PAIRS = 3  # of the random streams that a seed has
_OF_ANSWERS = ("top_k", "center", "alphas", "positions", "granularity")


def contrast_activations(declared: FitDirections, run: Run) -> Artifact | None:
    """The contrast's activations that directions are fitted on; None where they are fitted on answers.

    Those named, or the latest of the model, unless probes are named.
    """
    if declared.probes is not None or declared.recipe == "paper":
        return None
    if declared.activations is None and next(iter(run.store.candidates("activations")), None) is None:
        return None
    wanted = f"of {declared.model}" if isinstance(declared.model, str) else ""
    fits = of_model(declared.model)
    traits = declared.method == TRAITS or declared.personas is not None
    source = run.input(
        "activations",
        declared.activations,
        fits=lambda artifact: fits(artifact) and (not traits or is_contrast(artifact)),
        wanted=" ".join(filter(None, (wanted, "of a contrast" if traits else ""))),
    )
    return source if is_contrast(source) else None


def plan_contrast(declared: FitDirections, run: Run, source: Artifact) -> Job:
    """Fit one direction per axis and head, and combine them for each persona (design section 5, traits method)."""
    of_answers = {
        "--center": declared.center not in (None, "none"),
        "--granularity": declared.granularity != "head",
        "--select": declared.select != "probe",
        "--top-k": declared.top_k is not None,
    }
    if given := next((flag for flag, is_set in of_answers.items() if is_set), None):
        raise InputError(
            f"{given} is for directions of answers, found activations of the contrast {source.label}",
            hint="leave it out, or fit on answers: --recipe paper",
        )
    method = TRAITS if declared.method in (None, TRAITS) else DIRECTIONS.canonical(str(declared.method))
    contrast = read_contrast(source)
    notes = Noted(run.reporter.note)
    people = contrast_personas(
        declared.personas,
        contrast,
        declared.inventory,
        declared.coding,
        run.reporter,
        notes,
        declared.map_file,
        declared.option_labels,
    )
    shared = None if declared.remove == "none" else desirability(people.traits, people.inventory)
    fit = ContrastFit(source, people, _AXIS_METHOD if method == TRAITS else method, declared.seed, shared)
    label = people.personas.label
    return Job(
        stage=Stage.of(FitDirections),
        model=source.model,
        label=label if people.norms is None else f"{label}-{contrast.name}",
        params=declared.key(
            omit=_OF_ANSWERS,
            method=method,
            personas=people.personas.digest,
            inventory=people.inventory.digest,
            weights=fit.weights_digest,
        ),
        inputs={"activations": source},
        identity=source.document["model"],
        numerics={"seed": declared.seed},
        compute=fit.compute,
        provenance={
            "coding": people.personas.coding,
            "model": source.provenance.get("model"),
            "personas": declared.personas if isinstance(declared.personas, str) else None,
            "inventory": declared.inventory if isinstance(declared.inventory, str) else None,
            **declared.told_labels,
            **notes.provenance(declared.map_file),
        },
        estimate=lambda: {"personas": len(people.personas), "heads": len(fit.heads), "forward_tokens": 0},
    )


@dataclass(frozen=True, eq=False)
class ContrastFit:
    """Everything that the fit needs.

    Attributes:
        activations: of a contrast.
        people: who directions are combined for.
        method: the formula of an axis' direction.
        seed: of the shuffled controls.
        shared: the signs of the axes in the component that is removed; None removes none.
    """

    activations: Artifact
    people: ContrastPersonas
    method: str
    seed: int
    shared: Floats | None = None

    @property
    def heads(self) -> NDArray[np.int64]:
        """All heads of the layers that are steered, (layer, head) [K, 2]."""
        described = self.activations.read_json("items.json")
        geometry = described["geometry"]
        first, stop = steered_layers(geometry["layers"], described["reading"])
        return np.array([(layer, head) for layer in range(first, stop) for head in range(geometry["heads"])], np.int64)

    @property
    def weights_digest(self) -> str:
        """What decides the weights beside the personas: the poles', or the population's norms."""
        norms, digest = self.people.norms, hashlib.sha256()
        arrays = [self.people.poles] if norms is None else [norms.mean, norms.spread, norms.reliability]
        for values in arrays:
            digest.update(np.ascontiguousarray(values, dtype="<f8").tobytes())
        return digest.hexdigest()

    def compute(self, work: StageContext) -> Payload:
        """Fit the axes once, and combine them shard by shard."""
        from pasctl.stages.extract import read_head_outputs

        x, described = read_head_outputs(self.activations)
        heads = self.heads
        axes = self._axes(x)
        flips = np.random.default_rng([self.seed, _SHUFFLED_PAIRS]).permutation(np.arange(len(x)) % 2 == 0)
        x[flips] = x[flips].flip(1)
        shuffled = self._axes(x)
        self._combine(work, axes, shuffled)
        work.provenance["counts"] = {"personas": len(self.people.personas), "heads": len(heads)}
        return {
            PERSONAS: told_personas(self.people.personas),
            AXES: {
                **self._described(axes),
                "rms": _rms(x, heads),
                "reading": described["reading"],
            },
            "items.json": {
                "inventory": self.people.inventory.to_json(),
                **{key: described[key] for key in ("geometry", "template")},
            },
        }

    def _axes(self, x: Tensor) -> Axes:
        """The directions of all axes in the heads that are steered."""
        from pasctl.directions.weighted import Axes, axis_directions, without_shared

        raw = axis_directions(x, self._axis_of_pair(), len(self.people.contrast.axes), DIRECTIONS.build(self.method))
        axes = Axes.of(raw, self.heads)
        return axes if self.shared is None else Axes(axes.heads, without_shared(axes.deltas, self.shared))

    def _axis_of_pair(self) -> NDArray[np.int64]:
        place = {axis.name: row for row, axis in enumerate(self.people.contrast.axes)}
        return np.array([place[pair.axis] for pair in self.people.contrast.pairs], np.int64)

    def _combine(self, work: StageContext, axes: Axes, shuffled: Axes) -> None:
        """Write the directions of every shard that an earlier run has not left, and their shuffled controls."""
        from pasctl.stages.direction_shards import shuffle_answers

        personas = self.people.personas
        spans = spans_of(len(personas))
        cut = len(spans) > 1
        with work.reporter.progress("fit-directions", len(personas), "personas") as advance:
            for span, part in zip(spans, personas.parts(spans), strict=True):
                if cut:
                    work.write(personas_name(span), persona_table(part, list(self.people.inventory.position)))
                weights = self.people.weights(part, range(*span))
                own = axes.combine(weights)
                if self.people.norms is None:  # a pole has no answers to shuffle: the contrast's labels are
                    control = shuffled.combine(weights, own.sigma)
                else:
                    answers = PersonaSet(part.label, part.ids, shuffle_answers(part.agreements, part.ids, self.seed))
                    control = axes.combine(self.people.weights(answers, range(*span)), own.sigma)
                arrays = {"heads": own.heads, "theta": own.theta, "sigma": own.sigma}
                work.write(shard_name(DIRECTIONS_FILE, span, cut=cut), arrays)
                work.write(shard_name(SHUFFLED, span, cut=cut), {"theta": control.theta, "sigma": control.sigma})
                advance(span[1] - span[0])

    def _described(self, axes: Axes) -> dict[str, Any]:
        """The contrast, what its axes have in common, and what respondents were compared with."""
        flat = axes.deltas.reshape(len(axes.deltas), -1)
        unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        norms = self.people.norms
        return {
            "contrast": self.people.contrast.name,
            "axes": [{"name": each.name, "plus": each.plus, "minus": each.minus} for each in self.people.contrast.axes],
            "cosines": np.round(unit @ unit.T, 6).tolist(),
            "norms": norms
            and {
                "persons": norms.persons,
                **{name: np.round(getattr(norms, name), 6).tolist() for name in ("mean", "spread", "reliability")},
            },
        }


def desirability(axes: Sequence[str], inventory: Inventory) -> Floats:
    """Which pole of each trait is the desirable one: 1 the first, -1 the second, 0 neither, [T].

    Raises:
        InputError: an axis that is no trait of the inventory, or fewer than two, which share nothing.
    """
    if len(axes) < 2:
        raise InputError(f"--remove desirability is for two or more traits, found {len(axes)}", hint="leave it out")
    known = {trait.code: float(trait.desirable) for trait in inventory.known_traits}
    if unknown := [name for name in axes if name not in known]:
        raise InputError(
            f"--remove desirability is for traits ({', '.join(known)}), found the axis {unknown[0]}",
            hint="leave it out, or use a contrast of the inventory's traits",
        )
    return np.array([known[name] for name in axes])


def reading_of(directions: Artifact) -> str:
    """The reading that suits directions of a contrast: "letters" where it was read where answer letters follow."""
    return str(directions.read_json(AXES)["reading"])


def _rms(x: Tensor, heads: NDArray[np.int64]) -> float:
    """RMS over the examples of the norm of the head outputs that are steered, all of them together."""
    total = 0.0
    for layer in np.unique(heads[:, 0]).tolist():
        mine = x[:, :, layer, heads[heads[:, 0] == layer, 1]].double()
        total += float(mine.square().sum()) / (mine.shape[0] * mine.shape[1])
    return float(np.sqrt(total))


def steered_layers(layers: int, reading: str) -> tuple[int, int]:
    """The first layer that is steered, and the one after the last.

    All layers where letters are read. Where statements are, the second half: on SmolLM2 each sixth of the layers alone
    moved statements towards 100 respondents by item r of .015, .012, .133, .174, .220 and .193, all of the second half
    by .224, and all from the third sixth on by .214.
    """
    return (0 if reading == LETTERS else layers // 2), layers
