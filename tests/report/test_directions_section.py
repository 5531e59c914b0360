"""Directions chosen by steering: layers are drawn as they were, and the heads' trials beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pasctl.inventory import PersonaSet, builtin_inventory
from pasctl.report.blocks import NARROW, WIDE, Content, Table
from pasctl.report.sections.directions import Fitted, directions
from tests.report import drawings
from tests.report.drawings import figures

LAYERS, HEADS = 3, 4
ALONE = {(1, 0): 1.15, (1, 1): 0.97, (1, 2): 1.05, (1, 3): 1.2, (2, 0): 1.1, (2, 1): 1.25, (2, 2): 1.0, (2, 3): 1.02}
RANKED = [[1, 1], [2, 2], [2, 3], [1, 2]]
SETS = {(1, 2.0): 1.01, (2, 2.0): 0.99, (2, 4.0): 0.84, (4, 2.0): 0.95, (4, 4.0): 0.88}


def tried(layers: list[int], heads: list[list[int]] | None, alpha: float, mae: float | None) -> dict[str, Any]:
    return {"layers": layers, "heads": heads, "alpha": alpha, "mae": mae, "item_correlation": None}


def selection(chosen: list[list[int]], alpha: float = 4.0) -> dict[str, Any]:
    """Layers 1 and 2 are best at strength 4; then each of their heads alone, and sets of the best of these."""
    of_layers = [tried([1], None, 2.0, 1.1), tried([1, 2], None, 2.0, 1.05), tried([1, 2], None, 4.0, 0.9)]
    alone = [tried([layer], [[layer, head]], 4.0, mae) for (layer, head), mae in ALONE.items()]
    together = [
        tried(sorted({layer for layer, _ in RANKED[:size]}), RANKED[:size], strength, mae)
        for (size, strength), mae in SETS.items()
    ]
    return {
        "layers": sorted({layer for layer, _ in chosen}),
        "heads": chosen,
        "alpha": alpha,
        "positions": "all",
        "validation": ["E03", "E04"],
        "no_change": {"mae": 1.3, "item_correlation": None},
        "tried": [*of_layers, *alone, *together],
    }


SOME = selection(RANKED[:2])


def section(chosen: dict[str, Any] | None) -> Content:
    inventory = builtin_inventory()
    heads = np.array((chosen or {}).get("heads") or [[0, 0]])
    theta = np.random.default_rng(0).standard_normal((2, len(heads), 5))
    theta /= np.linalg.norm(theta, axis=2, keepdims=True)
    personas = PersonaSet("made", ("a", "b"), np.full((2, len(inventory.items)), 4.0))
    shape = np.ones((2, len(heads)))
    return directions(Fitted(np.stack([heads, heads]), theta, shape, LAYERS, HEADS, personas, inventory), {}, chosen)


def the_table(content: Content) -> Table:
    [table] = [block for block in content.blocks if isinstance(block, Table)]
    return table


def test_the_layers_are_drawn_without_the_trials_of_heads() -> None:
    drawn = figures(section(SOME))["selection"]
    for width in (WIDE, NARROW):
        figure = drawn.draw(width)
        tips = sorted(tip for _, tip in drawings.cells(figure))
        assert tips == ["layers 1, α 2: 1.10", "layers 1–2, α 2: 1.05", "layers 1–2, α 4: 0.90"]
        assert drawings.frames(figure) == [(1, 1)]
    assert "is the best; heads of its layers were tried next" in drawn.caption


def test_each_head_alone_is_drawn_and_the_chosen_ones_are_framed() -> None:
    drawn = figures(section(SOME))["selection-heads"]
    for width in (WIDE, NARROW):
        figure = drawn.draw(width)
        cells = {tip.split(": ")[0]: (shade, float(tip.split(": ")[1])) for shade, tip in drawings.cells(figure)}
        assert {name: mae for name, (_, mae) in cells.items()} == {
            f"layer {layer}, head {head}": mae for (layer, head), mae in ALONE.items()
        }
        assert drawings.frames(figure) == [(0, 1), (1, 2)]
        # the lowest error has the strongest colour and the highest the weakest
        assert cells["layer 1, head 1"][0] == 10
        assert cells["layer 2, head 1"][0] == 0
    assert "α 4" in drawn.caption


def test_the_table_has_every_set_and_marks_the_choice() -> None:
    table = the_table(section(SOME))
    assert table.head == ("heads", "α 2", "α 4")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert rows == {
        "1 head": ["1.010", "0.970"],
        "2 heads": ["0.990", "0.840"],
        "4 heads": ["0.950", "0.880"],
        "all 8": ["1.050", "0.900"],
    }
    assert [row[0].note for row in table.rows] == ["1.1", "1.1, 2.2", "1.1, 2.2, 2.3, 1.2", "layers 1–2"]
    assert [(row[0].text, cell.text) for row in table.rows for cell in row if cell.mark] == [("2 heads", "0.840")]


@pytest.mark.parametrize(
    ("heads", "alpha", "lead", "share"),
    [
        (RANKED[:2], 4.0, "2 heads of layers 1–2, α 4, positions all.", "2 of 8 in layers 1–2"),
        (RANKED[:1], 4.0, "1 head of layer 1, α 4, positions all.", "1 of 8 in layers 1–2"),
        ([list(head) for head in ALONE], 4.0, "items: layers 1–2, α 4, positions all.", "all 8 in layers 1–2"),
    ],
)
def test_how_many_heads_of_how_many_is_told(heads: list[list[int]], alpha: float, lead: str, share: str) -> None:
    content = section(selection(heads, alpha))
    assert content.lead[0].endswith(lead)
    assert ("heads chosen", share) in content.facts
    marks = [row[0].text for row in the_table(content).rows for cell in row if cell.mark]
    assert marks == [{1: "1 head", 2: "2 heads", 8: "all 8"}[len(heads)]]
    drawn = figures(content)["selection-heads"]
    assert len(drawings.frames(drawn.draw(WIDE))) == (0 if len(heads) == 8 else len(heads))


def test_a_selection_of_layers_alone_is_told_as_before() -> None:
    """An earlier version tried no heads; neither is there anything to try in a layer of one."""
    layers_only = [{name: value for name, value in each.items() if name != "heads"} for each in SOME["tried"][:3]]
    earlier = {name: value for name, value in SOME.items() if name != "heads"} | {"tried": layers_only}
    content = section(earlier)
    assert content.lead[0].startswith("Chosen by steering held-out items: layers 1–2, α 4")
    assert list(figures(content)) == ["selection", "heads", "similarity"]
    assert "The framed cell was chosen." in figures(content)["selection"].caption
    assert not [block for block in content.blocks if isinstance(block, Table)]
    assert "heads chosen" not in dict(content.facts)


def test_a_trial_without_an_error_is_a_dash() -> None:
    without = {**SOME, "tried": [*SOME["tried"][:-1], tried([1, 2], RANKED[:4], 4.0, None)]}
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in the_table(section(without)).rows}
    assert rows["4 heads"] == ["0.950", "–"]
