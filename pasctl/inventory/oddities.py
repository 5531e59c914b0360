"""What looks odd about a source's answers although each of them is possible: told in a line, never refused."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pasctl.inventory.answer_sums import AnswerSums
from pasctl.inventory.coding import FEWEST_RESPONDENTS
from pasctl.inventory.consistency import desirability
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.scale import USUAL_POINTS

_FEWEST_OF_SCALE = 5  # respondents; of fewer, nobody may have chosen an end of the scale
_RECODED = {4: (1, 2, 4, 5), 3: (1, 3, 5), 2: (1, 5)}
_BELOW, _ERRORS = -0.25, -3.1  # the mean person below the middle, in points and in standard errors (1 in 1,000)


def oddities(sums: AnswerSums, inventory: Inventory, *, keyed: bool) -> Iterator[str]:
    """A line for each oddity: another scale, items without answers or without differences, a scale upside down.

    Args:
        sums: Over the respondents, of the answers as stored.
        inventory: What was answered.
        keyed: Whether the answers are keyed scores; else they are agreements.
    """
    if sums.respondents >= _FEWEST_OF_SCALE:
        yield from _scale(sums, inventory)
    answered = sums.answered
    items = np.array([item.id for item in inventory.items])
    if 0 < np.count_nonzero(answered == 0) < len(inventory):
        nobody = items[answered == 0].tolist()
        yield f"{len(nobody)} of {len(inventory)} items have no answer: {listing(nobody)}"
    if sums.respondents < FEWEST_RESPONDENTS:
        return
    alike = items[(answered >= FEWEST_RESPONDENTS) & (np.diag(sums.covariances()) < 1e-9)].tolist()
    if alike:
        yield f"{len(alike)} of {len(inventory)} items have the same answer from everybody: {listing(alike)}"
    mean, errors = desirability(sums, inventory, keyed=keyed)
    if mean < _BELOW and errors < _ERRORS:
        scale = inventory.scale
        yield (
            f"the mean person is low on all that is desirable ({mean:+.2f} from the middle, {errors:+.0f} standard "
            f"errors): if {scale.low} is full agreement here, store {scale.low + scale.high} minus each answer"
        )


def _scale(sums: AnswerSums, inventory: Inventory) -> Iterator[str]:
    """Ends of the scale that nobody chose."""
    if not inventory.uniform:
        return
    people, highest, lowest, scale = sums.respondents, sums.highest, sums.lowest, inventory.scale
    if scale.low < highest < scale.high:
        unused = " or ".join(str(score) for score in scale.ascending.astype(int) if score > highest)
        points = sum(1 for score in scale.scores if score <= highest)
        yield f"nobody of {people} chose {unused}: if the scale has {points} points, {_way_out(points, inventory)}"
    if scale.low < lowest < scale.high:
        yield (
            f"nobody of {people} chose {scale.low}: agreements go from {scale.low} to {scale.high}, the lowest here is "
            f"{lowest:g}"
        )


def _way_out(points: int, inventory: Inventory) -> str:
    recoded = _RECODED.get(points) if inventory.low.min() == 1 and len(inventory.scale) == USUAL_POINTS else None
    if recoded is None:
        return "name an inventory with that scale"
    stored = ", ".join(map(str, range(1, points + 1)))
    scale = ", ".join(f"{value}: {score}" for value, score in enumerate(recoded, 1))
    return f"store {stored} as {', '.join(map(str, recoded))}, or say so with --map FILE, scale: {{{scale}}}"
