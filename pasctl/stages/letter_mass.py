"""How much of the probability the option letters have together where a model's answer begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.evaluation.readings import LEAST_MASS
from pasctl.inventory import LETTERS
from pasctl.stages.job import StageContext

if TYPE_CHECKING:
    from pasctl.models.load import LoadedModel

ASKED = 8
"""Questions that are asked: the mass is looked at, nothing is chosen by it."""
_FACT = "letters"


def letter_mass(model: LoadedModel, questions: Sequence[str], batch_tokens: int) -> float:
    """The letters' summed probability in the whole vocabulary, mean over questions, in [0, 1].

    Args:
        model: the loaded model.
        questions: user texts; the first `ASKED` of them are asked.
        batch_tokens: bound on the tokens of a forward pass.

    Raises:
        InputError: the tokenizer has no tokens for the letters.
    """
    from pasctl.evaluation.scoring import score_letters

    prompts = [model.chat.encode(question) for question in questions[:ASKED]]
    scores = score_letters(model, prompts, model.chat.letter_ids(LETTERS), batch_tokens=batch_tokens)
    return float(np.exp(scores.logprobs[0].astype(np.float64)).sum(axis=-1).mean())


def note_letter_mass(work: StageContext, model: LoadedModel, questions: Sequence[str], batch_tokens: int) -> None:
    """Say what the letters have of the probability, and keep it with what the stage makes."""
    mass = letter_mass(model, questions, batch_tokens)
    work.provenance[_FACT] = {"mass": mass, "questions": min(ASKED, len(questions))}
    if mass >= LEAST_MASS:  # else it is a warning of the artifact
        work.reporter.note(f"the option letters have {mass:.2f} of the probability where the answer begins")


def mass_warning(mass: float) -> str | None:
    """What a mass makes doubtful, or None."""
    if mass >= LEAST_MASS:
        return None
    return (
        f"the option letters have {mass:.2f} of the probability where the answer begins, expected at least "
        f"{LEAST_MASS:g}: the model does not answer with a letter there (statements need none: --contrast statements)"
    )


def stored_warning(provenance: Mapping[str, Any]) -> str | None:
    """The same of an artifact's provenance; None too where an earlier version kept no mass."""
    told = provenance.get(_FACT)
    return None if told is None else mass_warning(float(told["mass"]))
