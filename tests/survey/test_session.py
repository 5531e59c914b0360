"""The state machine, without a terminal."""

from __future__ import annotations

import numpy as np
import pytest

from pasctl.errors import InputError
from pasctl.inventory import builtin_inventory
from pasctl.survey.session import MOVES, Session, question_order

ORDER = ("i1", "i2", "i3", "i4")
INVENTORY = builtin_inventory()
ANSWERS = {str(score): score for score in range(1, 6)}


def walk(session: Session, keys: str) -> Session:
    """One key a letter: 1..5, b back, f forward, s skip."""
    words = {"b": "back", "f": "forward", "s": "skip"}
    for key in keys:
        after = session.after(words.get(key, key), ANSWERS)
        assert after is not None, key
        session = after
    return session


def test_answers_and_skips_go_to_the_next_item_until_all_are_settled() -> None:
    session = walk(Session.begin(ORDER, {}), "5s1")
    assert (session.item, session.done, session.open, session.skipped) == ("i4", False, 1, 1)
    session = walk(session, "3")
    assert session.done
    assert session.entries == {"i1": 5, "i2": None, "i3": 1, "i4": 3}


def test_whoever_goes_back_to_correct_an_answer_is_brought_to_where_they_were() -> None:
    session = walk(Session.begin(ORDER, {}), "55bb")
    assert session.item == "i1"
    assert session.settled
    session = walk(session, "1")
    assert session.item == "i3"
    assert session.entries == {"i1": 1, "i2": 5}


def test_forward_leaves_a_settled_item_as_it_is_and_does_not_pass_an_open_one() -> None:
    session = walk(Session.begin(ORDER, {}), "5sbb")
    assert walk(session, "ff").item == "i3"
    assert walk(session, "ff").entries == {"i1": 5, "i2": None}
    assert walk(session, "ff").after("forward", ANSWERS) is None


def test_back_stops_at_the_first_and_works_from_the_end() -> None:
    assert walk(Session.begin(ORDER, {}), "bb").item == "i1"
    done = walk(Session.begin(ORDER, {}), "1234")
    assert done.after("4", ANSWERS) is None
    assert done.after("skip", ANSWERS) is None
    assert walk(done, "b").item == "i4"
    assert walk(done, "b2").entries["i4"] == 2
    assert walk(done, "bf").done


def test_resuming_asks_only_what_is_open_and_skipped_items_are_not_asked_again() -> None:
    session = Session.begin(ORDER, {"i1": 4, "i2": None, "i4": 2, "elsewhere": 1})
    assert session.item == "i3"
    assert walk(session, "b").item == "i2"
    assert walk(session, "5").done
    assert walk(session, "5").entries["elsewhere"] == 1
    assert Session.begin(ORDER, dict.fromkeys(ORDER)).done


def test_an_open_item_further_up_is_asked_before_the_end() -> None:
    session = walk(Session.begin(ORDER, {"i1": 1, "i3": 1, "i4": 1}), "b")
    assert session.item == "i1"
    last = Session(ORDER, {"i1": 1, "i3": 1, "i4": 1}, at=3)
    assert walk(last, "f").item == "i2"
    assert walk(last, "5").item == "i2"


@pytest.mark.parametrize("key", ["0", "6", "a", "", "12", "quit"])
def test_another_key_means_nothing(key: str) -> None:
    assert Session.begin(ORDER, {}).after(key, ANSWERS) is None


def test_no_walk_forgets_an_answer_or_leaves_the_order() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        session = Session.begin(ORDER, {})
        for key in rng.choice([*ANSWERS, *MOVES, "x"], size=12):
            after = session.after(str(key), ANSWERS)
            if after is None:
                continue
            assert set(session.entries) <= set(after.entries)
            changed = {item for item in after.entries if after.entries[item] != session.entries.get(item)}
            assert changed <= ({session.item} if not session.done else set())
            assert 0 <= after.at <= len(ORDER)
            assert not (after.done and after.open)
            session = after


def test_the_order_is_the_inventorys_or_a_permutation_that_the_seed_decides() -> None:
    ids = tuple(item.id for item in INVENTORY.items)
    assert question_order(INVENTORY) == ids
    shuffled = [question_order(INVENTORY, shuffle=True, seed=seed) for seed in (1, 1, 2)]
    assert shuffled[0] == shuffled[1]
    assert len({*shuffled, ids}) == 3
    assert sorted(shuffled[0]) == sorted(ids)


def test_a_split_is_asked_alone() -> None:
    fit = question_order(INVENTORY, split="fit", shuffle=True)
    assert set(fit) == {item.id for item in INVENTORY.items if item.split == "fit"}
    with pytest.raises(InputError, match="'half'"):
        question_order(INVENTORY, split="half")
