"""An inventory file's document, whatever format it came from, made into an inventory."""

from __future__ import annotations

import re
from typing import cast

from pasctl.errors import InputError
from pasctl.inventory.files.items import items_of
from pasctl.inventory.files.language import language_of, wording_of
from pasctl.inventory.files.node import Node
from pasctl.inventory.files.scales import scale_of
from pasctl.inventory.files.traits import known_traits, norms_of, traits_of
from pasctl.inventory.item import Item
from pasctl.inventory.items import OPTION_LABELS, Inventory, OptionLabels, listed
from pasctl.inventory.scale import Scale

FIELDS = (
    *("name", "language", "traits", "scale", "scales", "option_labels", "wording"),
    *("norms", "correlations", "seed", "items"),
)
MOST_ITEMS = 5000


def inventory_of_document(document: Node, stem: str) -> Inventory:
    """The inventory of a document.

    Args:
        document: a mapping with FIELDS.
        stem: of the file's name, which names an inventory without a name.

    Raises:
        InputError: a field that is unknown, missing or wrong; the message names its place.
    """
    fields = document.fields(FIELDS, "an inventory file")
    if "items" not in fields:
        raise InputError(
            f"{document.where}: expected a field items, found {', '.join(fields) or 'nothing'}",
            hint="pasctl data new FILE.yaml writes an example",
        )
    nodes = fields["items"].nodes("a list of items")
    if len(nodes) > MOST_ITEMS:
        raise InputError(f"{fields['items'].where}: expected at most {MOST_ITEMS} items, found {len(nodes)}")
    named = _scales(fields.get("scales"))
    codes = traits_of(fields.get("traits"))
    seed = fields["seed"].whole("a whole number") if "seed" in fields else 0
    items = items_of(nodes, codes, named, seed)
    scale = _scale(fields.get("scale"), named, items, document)
    language = language_of(fields.get("language"), [item.text for item in items], document.where)
    try:
        return Inventory(
            name=_name(fields.get("name"), stem),
            items=items,
            labels=scale.labels,
            scores=scale.scores,
            known_traits=known_traits(codes, [item.trait for item in items]),
            wording=wording_of(fields.get("wording"), language, scale.labels),
            option_labels=_option_labels(fields.get("option_labels")),
            norms=norms_of(fields.get("norms"), fields.get("correlations"), codes, scale),
        )
    except InputError as error:
        file = document.where.partition(",")[0]
        if error.message.startswith(file):
            raise
        raise InputError(f"{file}: {error.message}", hint=error.hint) from error


def _scales(node: Node | None) -> dict[str, Scale]:
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        raise node.refusal("scales by name: {often: [Never, Sometimes, Always]}")
    return {name: scale_of(value, {}) for name, value in node.value.items()}


def _scale(node: Node | None, named: dict[str, Scale], items: tuple[Item, ...], document: Node) -> Scale:
    """The inventory's scale; without one that of the item with most options, where all have their own."""
    if node is not None:
        return scale_of(node, named)
    own = [item.scale for item in items if item.scale is not None]
    if len(own) < len(items):
        raise InputError(
            f"{document.where}: expected a field scale, found none",
            hint="a list of labels from the lowest answer up, or {points: 7, low: ..., high: ...}",
        )
    return max(own, key=len)


def _option_labels(node: Node | None) -> OptionLabels:
    if node is None:
        return "letters"
    expected = listed(OPTION_LABELS)
    said = node.text(expected).lower()
    if said not in OPTION_LABELS:
        raise node.refusal(expected)
    return cast("OptionLabels", said)


def _name(node: Node | None, stem: str) -> str:
    """A name that artifacts can have: lower case, with hyphens for other characters than letters, digits and ._+-."""
    said = node.text("a name") if node is not None else stem
    return re.sub(r"[^a-z0-9._+-]+", "-", said.lower()).strip("-._+") or "inventory"
