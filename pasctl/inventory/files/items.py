"""The items of an inventory file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pasctl.errors import InputError
from pasctl.inventory.files.node import Node
from pasctl.inventory.files.scales import options_of, scale_of
from pasctl.inventory.files.split import Placed, settled_split
from pasctl.inventory.files.traits import TraitCodes
from pasctl.inventory.item import Item, Split
from pasctl.inventory.scale import Scale

FIELDS = ("id", "text", "trait", "key", "facet", "split", "weight", "scale", "options")
_KEYS = {
    **dict.fromkeys(("1", "+1", "+", "+k", "f", "forward", "positive", "pos"), 1),
    **dict.fromkeys(("-1", "-", "-k", "r", "(r)", "rev", "reverse", "reversed", "negative", "neg"), -1),
}
_SPLITS: dict[str, Split] = {"fit": "fit", "report": "report"}


@dataclass(frozen=True)
class _Draft:
    """An item whose split is not settled."""

    node: Node
    fields: Mapping[str, Node]
    placed: Placed
    scale: Scale | None
    scenario: bool


def items_of(nodes: Sequence[Node], traits: TraitCodes, named: Mapping[str, Scale], seed: int) -> tuple[Item, ...]:
    """The items, in the file's order.

    Args:
        nodes: of the items.
        traits: that the file names.
        named: scales that have a name.
        seed: that a missing split is made by.
    """
    drafts = [_draft(node, traits, named) for node in nodes]
    places: dict[str, str] = {}
    for draft in drafts:
        item = draft.placed.id
        if item in places:
            raise InputError(f"{draft.node.where}: item {item} occurs twice, the first time at {places[item]}")
        places[item] = draft.node.where
    split = settled_split([draft.placed for draft in drafts], seed)
    return tuple(_item(draft, split[draft.placed.id]) for draft in drafts)


def _draft(node: Node, traits: TraitCodes, named: Mapping[str, Scale]) -> _Draft:
    fields = node.fields(FIELDS, "an item")
    scenario = "options" in fields
    for name in ("id", "text", "trait", "key"):
        if name not in fields and not (scenario and name == "key"):
            hint = "+1 where agreeing means high on the trait, -1 where it means low" if name == "key" else None
            raise InputError(f"{node.where}: expected an item with {name}, found {', '.join(fields)}", hint=hint)
    if scenario and "scale" in fields:
        raise fields["scale"].refusal("options or a scale, not both")
    scale = options_of(fields["options"]) if scenario else None
    if "scale" in fields:
        scale = scale_of(fields["scale"], named)
    identifier = _plain(fields["id"].text("an id"))
    placed = Placed(
        identifier,
        traits.code(fields["trait"]),
        _key(fields["key"]) if "key" in fields else 1,
        _split(fields["split"]) if "split" in fields else None,
    )
    return _Draft(node, fields, placed, scale, scenario)


def _item(draft: _Draft, split: Split) -> Item:
    fields, placed = draft.fields, draft.placed
    try:
        return Item(
            id=placed.id,
            text=fields["text"].text("a text"),
            trait=placed.trait,
            facet=fields["facet"].text("a name") if "facet" in fields else placed.trait,
            key=placed.key,
            split=split,
            scale=draft.scale,
            scenario=draft.scenario,
            weight=fields["weight"].number("a number above 0") if "weight" in fields else 1.0,
        )
    except InputError as error:
        if error.message.startswith(draft.node.where.partition(",")[0]):
            raise
        raise InputError(f"{draft.node.where}: {error.message}") from error


def _key(node: Node) -> int:
    said = node.text("a key").lower().replace("−", "-").replace("–", "-").removesuffix(".0")
    if said not in _KEYS:
        raise node.refusal("a key: +1 where agreeing means high on the trait, -1 or R where it means low")
    return _KEYS[said]


def _split(node: Node) -> Split:
    said = node.text("fit or report").lower()
    if said not in _SPLITS:
        raise node.refusal("fit or report", "leave the split out of all items to have it made by the seed")
    return _SPLITS[said]


def _plain(text: str) -> str:
    """A spreadsheet's 1.0 as the id 1."""
    return text[:-2] if text.endswith(".0") and text[:-2].isdigit() else text
