from __future__ import annotations

import dataclasses
import json
import math
from collections import Counter
from typing import Any

import pytest

from pasctl.errors import InputError
from pasctl.inventory import Inventory, Item, builtin_inventory
from pasctl.inventory.items import canonical_digest

ITEM = Item(id="a", text="I am a test.", trait="O", facet="f", key=1, split="fit")


def test_builtin_is_balanced() -> None:
    inventory = builtin_inventory()
    assert len(inventory) == 60
    assert Counter(inventory.traits) == dict.fromkeys("OCEAN", 12)
    cells = Counter((i.trait, i.facet, i.split, i.key) for i in inventory.items)
    assert len(cells) == 5 * 3 * 2 * 2
    assert set(cells.values()) == {1}
    assert len({i.text for i in inventory.items}) == 60


def test_builtin_statements_are_whole_sentences_in_the_first_person() -> None:
    for item in builtin_inventory().items:
        assert item.text.startswith("I "), item
        assert item.text.endswith("."), item


def test_builtin_repeats_no_ipip_item(papi_folder: Any) -> None:
    from pasctl.inventory import papi_inventory

    def bare(text: str) -> str:
        return text.lower().removeprefix("i ").strip(" .")

    published = {bare(item.text) for item in papi_inventory(papi_folder).items}
    assert not published & {bare(item.text) for item in builtin_inventory().items}


def test_splits_partition_the_items() -> None:
    inventory = builtin_inventory()
    fit, report = inventory.indices("fit").tolist(), inventory.indices("report").tolist()
    assert sorted(fit + report) == inventory.indices("all").tolist() == list(range(60))
    assert {inventory.items[c].split for c in fit} == {"fit"}
    with pytest.raises(InputError, match="train"):
        inventory.indices("train")  # type: ignore[arg-type]


def test_json_round_trip_is_exact() -> None:
    inventory = builtin_inventory()
    again = Inventory.from_json(json.loads(json.dumps(inventory.to_json())))
    assert again == inventory
    assert again.digest == inventory.digest


@pytest.mark.parametrize(
    "change",
    [{"text": "I am a best."}, {"key": -1}, {"trait": "C"}, {"facet": "g"}, {"split": "report"}, {"id": "b"}],
)
def test_digest_depends_on_every_field_of_an_item(change: dict[str, Any]) -> None:
    labels = tuple("vwxyz")
    before = Inventory("test", (ITEM,), labels)
    after = Inventory("test", (dataclasses.replace(ITEM, **change),), labels)
    assert before.digest != after.digest
    assert before.digest != Inventory("test", (ITEM,), tuple("vwxyZ")).digest


@pytest.mark.parametrize(
    "change", [{"trait": ""}, {"weight": 0.0}, {"weight": float("inf")}, {"key": 0}, {"split": "test"}, {"text": " "}]
)
def test_item_refuses_what_does_not_exist(change: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        dataclasses.replace(ITEM, **change)


def test_inventory_refuses_an_id_used_twice_and_names_it() -> None:
    with pytest.raises(InputError, match="more than once: a"):
        Inventory("test", (ITEM, ITEM), tuple("vwxyz"))
    with pytest.raises(InputError, match="expected different labels"):
        Inventory("test", (ITEM,), tuple("vwxyy"))
    with pytest.raises(InputError, match="at least one item"):
        Inventory("test", (), tuple("vwxyz"))


def test_from_json_names_what_is_missing() -> None:
    with pytest.raises(InputError, match="items"):
        Inventory.from_json({"name": "x", "labels": []})


def test_canonical_digest_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_digest({"x": math.nan})
