"""What a contrast is: it holds together, and its digest follows what is computed from it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from pasctl.contrasts import Axis, Contrast, Example, Pair, load_contrast
from pasctl.errors import InputError

PLUS, MINUS = Example("You are loud.", "Hello?"), Example("You are quiet.", "Hello?")
SMALL = Contrast("small", (Axis("E", "E+", "E-"),), (Pair("E", "Hello?", PLUS, MINUS),))


@pytest.mark.parametrize("spec", ["big5", "loud|quiet"])
def test_a_contrast_is_the_same_after_json(spec: str) -> None:
    contrast = load_contrast(spec)
    again = Contrast.from_json(json.loads(json.dumps(contrast.to_json())))
    assert again == contrast
    assert again.digest == contrast.digest


def test_digest_follows_everything_but_the_name() -> None:
    others = [
        replace(SMALL, axes=(Axis("E", "loud", "quiet"),)),
        replace(SMALL, pairs=(replace(SMALL.pairs[0], group="1"),)),
        replace(SMALL, pairs=(replace(SMALL.pairs[0], plus=MINUS, minus=PLUS),)),
        replace(SMALL, pairs=(replace(SMALL.pairs[0], plus=replace(PLUS, system="You are louder.")),)),
        replace(SMALL, pairs=SMALL.pairs * 2),
        replace(
            SMALL,
            pairs=(
                replace(
                    SMALL.pairs[0],
                    plus=replace(PLUS, text="Yes.", read="mean"),
                    minus=replace(MINUS, text="Yes.", read="mean"),
                ),
            ),
        ),
    ]
    assert len({contrast.digest for contrast in [SMALL, *others]}) == 1 + len(others)
    assert replace(SMALL, name="other").digest == SMALL.digest


def test_digest_is_that_of_the_written_document() -> None:
    """By hand: a field that is added to a contrast later must not change the keys of what is stored."""
    document = (
        '{"axes":[{"minus":"E-","name":"E","plus":"E+"}],"pairs":[{"axis":"E","group":"Hello?",'
        '"minus":{"read":"prompt","system":"You are quiet.","text":"","user":"Hello?"},'
        '"plus":{"read":"prompt","system":"You are loud.","text":"","user":"Hello?"}}]}'
    )
    assert SMALL.digest == hashlib.sha256(document.encode()).hexdigest()


def test_poles_and_pairs_go_by_axis() -> None:
    contrast = load_contrast("big5")
    assert contrast.poles[:4] == ("O+", "O-", "C+", "C-")
    assert sum((contrast.of_axis(axis.name) for axis in contrast.axes), ()) == contrast.pairs
    assert contrast.of_axis("X") == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Example(system="You are loud."), "needs a user's turn"),
        (lambda: Example(text="alone"), "read at its prompt needs a user's turn"),
        (lambda: Example(user="Hello?", read="mean"), "needs a text"),
        (lambda: Example(text=" ", read="last"), "needs a text"),
        (lambda: Example(user="Hello?", read="first"), "prompt, last, mean, found 'first'"),  # type: ignore[arg-type]
        (lambda: Pair("E", "g", PLUS, PLUS), "must differ"),
        (lambda: Pair("E", "g", PLUS, replace(MINUS, text="x", read="last")), "'prompt' and 'last'"),
        (lambda: replace(SMALL, pairs=()), "no pairs"),
        (lambda: replace(SMALL, axes=SMALL.axes * 2), "axis has a name of its own, found 'E' twice"),
        (lambda: replace(SMALL, axes=(Axis("E", "E", "E"),)), "pole has a name of its own"),
        (lambda: replace(SMALL, axes=(*SMALL.axes, Axis("N", "N+", "N-"))), "axis 'N' has no pairs"),
        (lambda: replace(SMALL, pairs=(Pair("N", "g", PLUS, MINUS),)), "axis 'E' has no pairs"),
        (lambda: replace(SMALL, axes=()), "axis 'E' has no entry among the axes"),
        (lambda: Contrast.from_json({"name": "x"}), "KeyError"),
        (lambda: Contrast.from_json({"name": "x", "axes": [{"no": 1}], "pairs": []}), "TypeError"),
    ],
)
def test_what_does_not_hold_together_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


def test_importing_and_reading_loads_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from pasctl.contrasts import load_contrast; load_contrast('big5'); load_contrast('a|b'); "
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'numpy', 'pandas')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
