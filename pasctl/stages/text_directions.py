"""The directions that texts are steered by: those named, those that the store has, or fitted on descriptions first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.commands.extract import Extract
from pasctl.commands.fit_directions import FitDirections
from pasctl.contrasts import WORDINGS
from pasctl.errors import InputError, MissingError
from pasctl.inventory.combination import parse_combination
from pasctl.inventory.usual import USUAL_TRAITS
from pasctl.stages.extract_contrast import is_contrast, read_contrast
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle, of_model
from pasctl.stages.recipes import default_contrast
from pasctl.stages.run import Run
from pasctl.stages.runner import Artifact
from pasctl.stages.stored_personas import StoredPersonas

if TYPE_CHECKING:
    from pasctl.commands.say import Say
    from pasctl.contrasts import Contrast

_BY_WORD = {
    word: f"{trait.code}{sign}"
    for trait in USUAL_TRAITS
    for sign, words in (("+", trait.high), ("-", trait.low))
    for word in words
}
_POLES = frozenset(f"{trait}{side}" for trait in WORDINGS for side in "+-")


def find_text_directions(declared: Say, run: Run, handle: ModelHandle) -> Artifact | Outcome:
    """The directions to read; they are fitted first on the contrast given, or on the traits where there are none.

    Returns:
        The directions; or, of a dry run, the outcome of what must be done first.

    Raises:
        InputError: directions and a contrast are both given, or a persona that none of the model's directions has.
        MissingError: there are no such directions.
    """
    if declared.contrast is not None:
        if declared.directions is not None:
            raise InputError("a contrast has directions of its own, expected no --directions with it")
        return fit_contrast(declared.contrast, run, handle, declared.seed)
    if declared.directions is not None:
        return run.input("directions", declared.directions)
    wanted = _wanted(declared.persona)
    fits = of_model(handle)
    for artifact in run.store.candidates("directions"):
        if fits(artifact) and _has(StoredPersonas.of(artifact), wanted):
            return artifact
    if wanted <= _POLES:
        return fit_contrast(default_contrast(handle), run, handle, declared.seed)
    named = ", ".join(sorted(wanted - _POLES))
    raise MissingError(
        f"store {run.store.root} holds no directions of {handle.source.spec} that have {named}",
        hint=f"poles such as {', '.join(sorted(_POLES)[:4])} are fitted on their own; for others see fit-directions",
    )


def _has(personas: StoredPersonas, wanted: set[str]) -> bool:
    """Whether directions have the personas that are wanted; where none is named, the two poles of something."""
    ids = set(personas.ids())
    return wanted <= ids if wanted else any(f"{name[:-1]}-" in ids for name in ids if name.endswith("+"))


def fit_contrast(contrast: str, run: Run, handle: ModelHandle, seed: int) -> Artifact | Outcome:
    """The directions of all poles of a contrast; its activations are extracted first where they are not there."""
    extracted: Outcome = run.make(Extract(model=handle, contrast=contrast, seed=seed))
    if extracted.artifact is None:
        return extracted
    fitted: Outcome = run.make(FitDirections(activations=extracted.artifact, model=handle, seed=seed))
    return fitted if fitted.artifact is None else fitted.artifact


def contrast_of(directions: Artifact, run: Run) -> Contrast | None:
    """The contrast that directions were fitted on; None for those of answers, or where the store has lost it."""
    source = directions.inputs.get("activations")
    activations = None if source is None else run.store.lookup(source.key)
    return read_contrast(activations) if activations is not None and is_contrast(activations) else None


def persona_names(personas: str) -> list[str]:
    """The personas and combinations in a list, poles by their ids: "extraverted, kind" gives E+ and A+.

    Raises:
        InputError: a combination that cannot be read.
    """
    return list(dict.fromkeys(_canonical(name.strip()) for name in personas.split(",")))


def _canonical(name: str) -> str:
    """A name with words for poles replaced by ids; without such words it stays as it is."""
    parts = parse_combination(name)
    if not any(persona.lower() in _BY_WORD for _, persona in parts):
        return name
    ids = [(weight, _BY_WORD.get(persona.lower(), persona)) for weight, persona in parts]
    return " & ".join(persona if weight == 1 else f"{weight:g}*{persona}" for weight, persona in ids)


def _wanted(personas: str | None) -> set[str]:
    """The ids that a list of personas and combinations names."""
    names = [] if personas is None else persona_names(personas)
    return {part for name in names for _, part in parse_combination(name)}
