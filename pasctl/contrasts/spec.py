"""The words users type for contrasts: `big5`, two descriptions `A|B`, `pairs:FILE`."""

from __future__ import annotations

import hashlib
import re

from pasctl.contrasts.contrast import Contrast
from pasctl.errors import InputError

BIG5 = "big5"
PAIRS = "pairs:"
FORMS = "contrasts are: big5, two descriptions such as 'very outgoing|very shy', or pairs:FILE"


def load_contrast(spec: str) -> Contrast:
    """The contrast that `spec` names.

    Raises:
        InputError: an unknown form, a description that is missing, or a file that holds no pairs.
        MissingError: no such file.
    """
    from pasctl.contrasts.descriptions import own_contrast, trait_contrast
    from pasctl.contrasts.pairs import read_pairs

    if spec == BIG5:
        return trait_contrast()
    if spec.startswith(PAIRS):
        return read_pairs(spec.removeprefix(PAIRS))
    sides = [side.strip() for side in spec.split("|")]
    if len(sides) != 2 or not all(sides) or sides[0] == sides[1]:
        raise InputError(f"contrast {spec!r}: expected big5, pairs:FILE or two different descriptions", hint=FORMS)
    return own_contrast(_slug(*sides), *sides)


def _slug(plus: str, minus: str) -> str:
    """A short name for artifacts: the last word of each side, and six digits that tell contrasts apart."""
    words = [re.findall(r"[a-z0-9]+", side.lower())[-1:] or ["x"] for side in (plus, minus)]
    digest = hashlib.sha256(f"{plus}|{minus}".encode()).hexdigest()[:6]
    return "-".join([*(word[0][:16] for word in words), digest])
