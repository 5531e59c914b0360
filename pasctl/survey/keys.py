"""The keys that answer an item: one for each option of its scale."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.inventory.scale import Scale

_ROW = "1234567890-"  # as they stand on a keyboard: one for each of up to eleven options
_FROM_ZERO = "0123456789-"


@dataclass(frozen=True)
class Choice:
    """An option as somebody who answers sees it.

    Attributes:
        key: The key that chooses it.
        score: What it scores.
        label: What it is called.
    """

    key: str
    score: int
    label: str


def choices(scale: Scale) -> tuple[Choice, ...]:
    """The options of a scale, the lowest score first.

    The keys count from 1, and 0 and - are the tenth and the eleventh; where the scores count from 0, so do the keys,
    and - is 10.
    """
    row = _FROM_ZERO if _counts_from(scale, 0) else _ROW
    options = zip(reversed(scale.scores), reversed(scale.labels), strict=True)
    return tuple(Choice(key, score, label) for key, (score, label) in zip(row, options, strict=False))


def score_of(scale: Scale, key: str) -> int | None:
    """What a key scores, None for one that is no option's. A line may spell a score of two digits: 10, 11."""
    by_key = {choice.key: choice.score for choice in choices(scale)}
    if key in by_key:
        return by_key[key]
    spelled = key in {"10", "11"} and (_counts_from(scale, 0) or _counts_from(scale, 1))
    return int(key) if spelled and int(key) in scale.scores else None


def keys_of(scale: Scale, to: str) -> str:
    """The keys in words: "1-5", "1-9 and 0", "0-9 and -"; `to` stands between the first and the last of a run."""
    keys = [choice.key for choice in choices(scale)]
    run = [key for place, key in enumerate(keys) if key.isdecimal() and (key != "0" or place == 0)]
    words = [f"{run[0]}{to}{run[-1]}" if len(run) > 2 else " and ".join(run), *keys[len(run) :]]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _counts_from(scale: Scale, first: int) -> bool:
    return tuple(reversed(scale.scores)) == tuple(range(first, first + len(scale)))
