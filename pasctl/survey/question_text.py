"""One item with its options, as a person sees it. Nothing is told by color alone: there is none.

Around an item in another language than English there are no English words but those about keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pasctl.inventory.item import Item
from pasctl.inventory.items import Inventory
from pasctl.inventory.wording import ENGLISH
from pasctl.printable import clean, clean_lines
from pasctl.survey.keys import Choice, choices, keys_told, label_alone
from pasctl.survey.session import Session

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_ASKED = {False: "Which answer fits you best?", True: "What would you do?"}  # by whether the item is a situation
_PROGRESS = 20  # characters


def question(session: Session, inventory: Inventory, told: str = "", *, lines: bool = False) -> RenderableType:
    """The item that is asked, with the answer it has; when all are settled, what can be done now.

    Args:
        session: where somebody is.
        inventory: what is asked.
        told: a message below.
        lines: whether a key is a line, as for `choices`.
    """
    from rich.console import Group
    from rich.text import Text

    english, total = inventory.wording.english, len(session.order)
    parts: list[RenderableType] = [Text(_progress(session, words=english)), Text()]
    if session.done:
        parts += [Text(f"That was the last of {total} items.", style="bold"), Text()]
        keys = "Enter profile   b back"
    else:
        item = inventory.items[inventory.position[session.item]]
        options, skipped = options_of(session, inventory, lines=lines), session.settled and not _answered(session)
        asked = asked_of(item, inventory)
        parts += [Text(clean(asked)), Text()] if asked else []
        parts += [Text(clean_lines(item.text), style="bold"), Text()]
        parts += [_table(options, session, english=english), Text()]
        parts += [Text("You skipped this one."), Text()] if skipped and english else []
        keys = f"{keys_told(options)} answer   b back   s skip   q leave (answers are kept)"
        if session.settled:
            keys += "   Enter leave it " + ("skipped" if skipped and not english else "so")
    parts.append(Text(keys))
    if told:
        parts.append(Text(clean(told), style="bold"))
    return Group(*parts)


def asked_of(item: Item, inventory: Inventory) -> str:
    """What stands before an item: the inventory's own words ("I am someone who"), else a question, in English alone."""
    before = [wording.scenario if item.scenario else wording.statement for wording in (inventory.wording, ENGLISH)]
    own, usual = map(str.strip, before)
    if own != usual:
        return own
    return _ASKED[item.scenario] if inventory.wording.english else ""


def options_of(session: Session, inventory: Inventory, *, lines: bool) -> tuple[Choice, ...]:
    """The options of the item that is asked, none when all are settled."""
    return () if session.done else choices(inventory.scales[inventory.position[session.item]], lines=lines)


def wrong_key(key: str, session: Session, options: Sequence[Choice]) -> str:
    """A key that means nothing here, and those that do."""
    valid = "Keys: Enter for the profile, b for back."
    if not session.done:
        valid = f"Keys: {keys_told(options)}, b for back, s for skip, q for leave."
    return f"This item is open. {valid}" if key == "forward" else f"{key!r} is no key here. {valid}"


def _table(options: Sequence[Choice], session: Session, *, english: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    given = session.entries.get(session.item)
    alike = sum(option.score == given for option in options)
    mark = " (your answer)" if alike == 1 else " (your score)"  # of two that score the same, which one is not kept
    table = Table.grid(padding=(0, 1))
    for option in options:
        chosen, label = option.score == given, clean(label_alone(option))
        table.add_row(">" if chosen else " ", option.key, Text((label + mark).strip() if chosen and english else label))
    return table


def _answered(session: Session) -> bool:
    return session.entries.get(session.item) is not None


def _progress(session: Session, *, words: bool) -> str:
    total = len(session.order)
    settled = total - session.open
    done = _PROGRESS * settled // total
    bar = f"{min(session.at + 1, total)}/{total} [{'#' * done}{'.' * (_PROGRESS - done)}]"
    skipped = f", {session.skipped} skipped" if session.skipped else ""
    return f"{bar} {settled} settled{skipped}" if words else bar
