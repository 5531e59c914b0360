"""Which name in a table is which item: by the item's id, by its text, or by order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pasctl.errors import InputError
from pasctl.inventory.items import Inventory, listing
from pasctl.inventory.tables.table import plain

_BRACKETS = re.compile(r"[\[(]([^\[\]()]+)[\])]\s*$")
_REVERSED = re.compile(r"(?<=\d)[_. -]?(?:r|rev|reversed)$", re.IGNORECASE)
_ORDER = re.compile(r"(.*?)[_. -]?0*(\d{1,9})", re.DOTALL)
_ORDER_WORDS = ("", "item", "items", "q", "question", "i", "v", "var", "x", "r", "a", "answer", "resp", "response")
_MATRIX = re.compile(r"(?:q|qid|question|item|var)\d+")  # Q1_1, Q1_2, ..: the rows of one question
_PATTERN = re.compile(r"(?<=[_. :-]).*")
_WORD = re.compile(r"[_\W]+")


@dataclass(frozen=True)
class ItemNames:
    """What is known of the names.

    Attributes:
        place: Name -> the item's place in the inventory.
        by: How they were recognised: "name", "text", "order" or "map".
        reversed: Names that end in R or the like where the item's id does not.
        respelled: Names that are spelled otherwise than the item's id.
    """

    place: Mapping[str, int] = field(default_factory=dict)
    by: str = "name"
    reversed: tuple[str, ...] = ()
    respelled: tuple[str, ...] = ()


NO_ITEMS = ItemNames()


def item_names(names: Sequence[str], questions: Mapping[str, str], inventory: Inventory) -> ItemNames:
    """The items among names.

    Raises:
        InputError: two names are the same item, and neither is its id.
    """
    place = _by_id(names, inventory)
    if place:
        ids = [item.id for item in inventory.items]
        respelled = tuple(name for name, at in place.items() if name != ids[at])
        marked = tuple(name for name in respelled if _REVERSED.search(name) and not _REVERSED.search(ids[place[name]]))
        return ItemNames(place, "name", marked, respelled)
    place = _by_text(names, questions, inventory)
    if place:
        return ItemNames(place, "text")
    place = _by_order(names, inventory)
    return ItemNames(place, "order") if place else NO_ITEMS


def mapped_names(
    said: Mapping[str, str], pattern: str, names: Sequence[str], inventory: Inventory, where: str
) -> ItemNames:
    """The items that a map names.

    Raises:
        InputError: there is no such column, or a column stands for two items.
    """
    wanted = dict(said)
    if pattern:
        patterned = {item.id: _filled(pattern, item.id, n) for n, item in enumerate(inventory.items, 1)}
        wanted = {item: name for item, name in patterned.items() if name in names}
        if not wanted:
            first = next(iter(patterned.values()))
            raise InputError(
                f"{where}: the map's items {pattern!r} is like no column, expected such as {first!r}, found "
                f"{listing(names, 3)}",
                hint="{id} stands for an item's id, {n} for its number from 1",
            )
    missing = next((name for name in wanted.values() if name not in names), None)
    if missing is not None:
        raise InputError(
            f"{where}: the map's items name {missing!r}, which is not there", hint=f"there are {listing(names, 8)}"
        )
    place: dict[str, int] = {}
    for item, name in wanted.items():
        if name in place:
            other = inventory.items[place[name]].id
            raise InputError(f"{where}: the map names {name!r} for items {other} and {item}")
        place[name] = inventory.position[item]
    return ItemNames(place, "map")


def _filled(pattern: str, item: str, number: int) -> str:
    return pattern.replace("{id}", item).replace("{n}", str(number))


def _by_id(names: Sequence[str], inventory: Inventory) -> dict[str, int]:
    """Names that are ids, the more exact spelling first: as it is, in another case, with other signs or a suffix R."""
    place: dict[str, int] = {}
    for spelling in (str, plain, _spelled, _unreversed, _in_brackets):
        ids = _unique({item.id: at for at, item in enumerate(inventory.items)}, _spelling_of_ids(spelling))
        taken = set(place.values())
        for name in names:
            at = ids.get(spelling(name))
            if name in place or at is None or at in taken:
                continue
            other = next((known for known, there in place.items() if there == at), None)
            if other is not None:
                raise InputError(
                    f"columns {other!r} and {name!r} are both like item {inventory.items[at].id}",
                    hint=f"say which with --map: items: {{{inventory.items[at].id}: {other}}}",
                )
            place[name] = at
    return place or _by_prefixed_id(names, inventory)


def _by_prefixed_id(names: Sequence[str], inventory: Inventory) -> dict[str, int]:
    """Names that are ids behind one prefix, such as BFI_E01.

    Raises:
        InputError: several prefixes have items behind them, such as resp_E01 and time_E01.
    """
    series = [
        {short[name]: at for name, at in _by_id(list(short), inventory).items()} for short in _without_prefixes(names)
    ]
    series = [place for place in series if place]
    if len(series) > 1:
        one, other = (next(iter(place)) for place in series[:2])
        raise InputError(
            f"columns {one!r} and {other!r} are both like items",
            hint=f"say which with --map FILE, such as items: {_PATTERN.sub('{id}', one)!r}",
        )
    return series[0] if series else {}


def _spelling_of_ids(spelling: Callable[[str], str]) -> Callable[[str], str]:
    return _spelled if spelling in (_unreversed, _in_brackets) else spelling


def _spelled(name: str) -> str:
    """Letters and numbers only, numbers without zeros before them: "E_01", "e1" and "E.1" are the same."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", _WORD.sub("", plain(name)))


def _unreversed(name: str) -> str:
    return _spelled(_REVERSED.sub("", name))


def _in_brackets(name: str) -> str:
    """What stands in brackets at the end: LimeSurvey writes G01Q01[E01]."""
    inside = _BRACKETS.search(name)
    return _unreversed(inside[1]) if inside else ""


def _without_prefixes(names: Sequence[str]) -> list[dict[str, str]]:
    """Names that begin alike up to a sign, such as BFI_E01, without what they begin with: short -> full, by prefix."""
    series: dict[str, dict[str, str]] = {}
    for name in names:
        prefix, *rest = re.split(r"[_. :-]", name, maxsplit=1)
        if rest and rest[0]:
            series.setdefault(prefix, {})[rest[0]] = name
    return [short for short in series.values() if len(short) > 1]


def _unique(ids: Mapping[str, int], spelling: Callable[[str], str]) -> dict[str, int]:
    """Spelling -> place, for spellings that only one item has."""
    spelled = [spelling(item) for item in ids]
    return {word: at for word, at in zip(spelled, ids.values(), strict=True) if word and spelled.count(word) == 1}


def _by_text(names: Sequence[str], questions: Mapping[str, str], inventory: Inventory) -> dict[str, int]:
    """Columns whose name or question is an item's text, alone, in brackets, or at its end."""
    texts = {_sentence(item.text): at for at, item in enumerate(inventory.items)}
    if len(texts) < len(inventory):
        return {}
    place: dict[str, int] = {}
    for name in names:
        at = _text_of((questions.get(name, ""), name), texts)
        if at is None:
            continue
        if at in place.values():
            other = next(known for known, there in place.items() if there == at)
            raise InputError(
                f"columns {other!r:.60} and {name!r:.60} both have the text of item {inventory.items[at].id}",
                hint="say which with --map FILE (items: {item: column})",
            )
        place[name] = at
    return place


def _text_of(sources: Iterable[str], texts: Mapping[str, int]) -> int | None:
    for source in sources:
        inside = _BRACKETS.search(source)
        for part in (source, inside[1] if inside else ""):
            if (at := texts.get(_sentence(part))) is not None:
                return at
        # "Please rate how well each statement describes you. - I talk a lot."
        said = _sentence(source)
        ends = [text for text in texts if said.endswith(text) and not said[-len(text) - 1].isalnum()]
        if ends:
            return texts[max(ends, key=len)]
    return None


def _sentence(text: str) -> str:
    return plain(text).rstrip(" .!")


def _by_order(names: Sequence[str], inventory: Inventory) -> dict[str, int]:
    """Names that count from 1 to the number of items: Q1, Q2, .. or 1, 2, .."""
    series: dict[str, dict[int, str]] = {}
    for name in names:
        counted = _ORDER.fullmatch(name.strip())
        if counted:
            series.setdefault(plain(counted[1]), {})[int(counted[2])] = name
    whole = [
        numbered
        for word, numbered in series.items()
        if (word in _ORDER_WORDS or _MATRIX.fullmatch(word)) and sorted(numbered) == list(range(1, len(inventory) + 1))
    ]
    if len(whole) != 1 or len(inventory) < 2:
        return {}
    return {name: number - 1 for number, name in whole[0].items()}


def counted_series(names: Sequence[str]) -> str:
    """The longest series of names that count, for messages: "EXT1, EXT2, .. EXT10"; "" without any."""
    series: dict[str, list[tuple[int, str]]] = {}
    for name in names:
        counted = _ORDER.fullmatch(name.strip())
        if counted:
            series.setdefault(counted[1], []).append((int(counted[2]), name))
    longest = max(series.values(), key=len, default=[])
    if len(longest) < 3:
        return ""
    inside = [name for _, name in sorted(longest)]
    return f"{inside[0]}, {inside[1]}, .. {inside[-1]}"
