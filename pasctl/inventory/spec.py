"""The words users type for inventories and personas.

Inventories: `builtin`, `papi:DIR`, `papi` (the hub dataset, once pulled), a `.yaml`, `.json`, `.csv`, `.tsv` or `.xlsx`
file (see `pasctl.inventory.inventory_file`).

Personas: `builtin`, `demo` (the demo model's people), `papi:DIR`, `papi`, each with an optional `:SELECT`; trait poles
such as `E+` or `E+,N-`; a file of answers with an optional `:SELECT` or `:where=CONDITIONS[:SELECT]`: `.json`, a
`.parquet` file of many respondents, or a table in another format of `pasctl.inventory.tables.source`.

SELECT is one or more parts with `,` or `|` between them:

- `0-20`  the first twenty: positions count from 0 and the end is not included
- `7`     the one at position 7
- `case=172481,172482`  by name; in a comma list, what follows `case=` belongs to it unless it is a range

CONDITIONS are about other columns of a file, such as country and age, and about `answered`, the number of items that
a respondent answered. Commas stand between conditions, all of which must be true; bars between values, one of which
must be:

- `country=DE|AT`, `country!=DE`  equal to one of the values, or to none
- `age>=30`, also `<=`, `>` and `<`  numbers
- `where=country=DE,age>=30:0-20`  the first twenty of those

The last `:` part is a selection if it reads as one, so a folder called `7` is written `./7`.

Personas can be made up (see `pasctl.inventory.made`): `E+ & 0.5*N-` is one person of two poles, `traits:E=1.5,N=-1` one
described in standard deviations (`;` between several), `sample:1000` or `sample:1000:seed=3` a thousand people drawn
from the inventory's norms.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pasctl.errors import InputError
from pasctl.inventory.builtin import builtin_inventory
from pasctl.inventory.inventory_file import is_inventory_file, read_inventory_file
from pasctl.inventory.items import Inventory
from pasctl.inventory.made import is_made_spec, made_personas
from pasctl.inventory.notes import Note, silent
from pasctl.inventory.papi import CODINGS, papi_inventory, papi_personas
from pasctl.inventory.papi_hub import cached_papi
from pasctl.inventory.persona_file import PersonaFile
from pasctl.inventory.personas import Personas, PersonaSet, is_pole_spec, require_on_scale, trait_poles
from pasctl.inventory.proof import as_agreements
from pasctl.inventory.respondents import MapLike, file_personas, map_like
from pasctl.inventory.selection import Part, selected_rows, split_selection
from pasctl.inventory.simulate import demo_respondents, simulate
from pasctl.inventory.tables.file_spec import split_file
from pasctl.registry import Registry

INVENTORIES = Registry(
    "inventory", {"builtin": "pasctl.inventory.builtin:builtin_inventory"}, group="pasctl.inventories"
)
"""Inventories by name: functions without parameters that give one, or inventories."""
INVENTORY_FORMS = (
    "inventories are: builtin, papi:DIR, papi, a .yaml, .json, .csv, .tsv or .xlsx file of items; pasctl data new "
    "FILE.yaml writes one"
)
PERSONA_FORMS = (
    "personas are: builtin[:SELECT], demo[:SELECT], papi:DIR[:SELECT], papi[:SELECT], trait poles such as E+ or E+,N-, "
    "poles combined as in 'E+ & 0.5*N-', traits:E=1.5,N=-1 (in standard deviations, ; between persons), "
    "sample:N[:seed=SEED] (drawn from the inventory's norms), or a file of answers[:SELECT]: .json, .csv, .xlsx, .sav, "
    ".parquet, ..; SELECT is like 0-20 (the first 20), 7, case=172481,172482 or where=country=DE"
)
_SIMULATED: dict[str, Callable[[Inventory], PersonaSet]] = {"builtin": simulate, "demo": demo_respondents}


def load_inventory(spec: str, note: Note = silent) -> Inventory:
    """The inventory that `spec` names: "builtin", "papi:DIR", "papi", a file, or one that another package adds.

    Args:
        spec: See the module's docstring.
        note: Is told what a file leaves open and is taken to be so.

    Raises:
        InputError: an unknown form, or a file that is none; the message names line and column.
        MissingError: a file or folder is missing.
    """
    if spec in INVENTORIES.names():
        named = INVENTORIES.get(spec)
        inventory: Inventory = named if isinstance(named, Inventory) else named()
        return inventory
    source, colon, place = spec.partition(":")
    if source == "papi" and bool(colon) == bool(place):
        return papi_inventory(papi_folder(place))
    if is_inventory_file(spec):
        return read_inventory_file(spec, note)
    added = "".join(f", {name}" for name in INVENTORIES.names() if name != "builtin")
    raise InputError(f"unknown inventory {spec!r}", hint=f"{INVENTORY_FORMS}{added}")


def load_personas(
    spec: str, inventory: Inventory, *, coding: str = "auto", note: Note = silent, map_file: MapLike = None
) -> PersonaSet:
    """The personas that `spec` names, all in memory; arguments and errors are those of `open_personas`."""
    found = open_personas(spec, inventory, coding=coding, note=note, map_file=map_file)
    return found.whole() if isinstance(found, PersonaFile) else found


def open_personas(
    spec: str, inventory: Inventory, *, coding: str = "auto", note: Note = silent, map_file: MapLike = None
) -> PersonaSet | PersonaFile:
    """The personas that `spec` names, as agreements with the items of `inventory`.

    Those of a large `.parquet` file stay there and are read as they are used.

    Args:
        spec: See the module's docstring.
        inventory: Respondents must have answered this very inventory.
        coding: How stored answers are read. "auto" expects agreements, or in a PAPI folder what the correlations
            prove, and refuses what they contradict; "keyed" reverses items keyed -1; "agreement" takes the answers as
            they are; "as-published" is about PAPI, see `papi_personas`.
        note: Is told what was guessed, what cannot be proven, and what looks odd.
        map_file: What the user says about a file of answers, see `pasctl.inventory.tables.table_map`.

    Raises:
        InputError: an unknown form, another inventory, a selection that matches nothing, a bad answer, or answers that
            are coded in another way.
        MissingError: a file or folder is missing.
    """
    if coding not in CODINGS:
        raise InputError(f"coding is one of {', '.join(CODINGS)}, found {coding!r}")
    source, colon, rest = spec.partition(":")
    if colon and not rest:
        raise InputError(f"unknown personas {spec!r}", hint=PERSONA_FORMS)
    named = None if source == "papi" or is_pole_spec(spec, inventory) else split_file(spec)
    if map_file is not None and named is None:
        raise InputError(f"--map is about a file of answers, but personas {spec!r} are none")
    if source == "papi":
        place, parts = split_selection(rest)
        folder = papi_folder(place)
        _require_same(spec, papi_inventory(folder), inventory)
        # The whole file first: the proof of the coding needs all respondents.
        return _select(papi_personas(folder, coding, note), parts, spec)
    if coding == "as-published":
        raise InputError(f"--coding {coding} is about stored PAPI values, but personas {spec!r} are none")
    if coding == "keyed" and (source in _SIMULATED or is_pole_spec(spec, inventory)):
        raise InputError(f"--coding {coding} is about stored answers, but personas {spec!r} are agreements")
    if source in _SIMULATED:
        place, parts = split_selection(rest)
        if not place:
            _require_same(spec, builtin_inventory(), inventory)
            return _select(_SIMULATED[source](inventory), parts, spec)
    if is_made_spec(spec, inventory):
        return made_personas(spec, inventory, coding)
    if is_pole_spec(spec, inventory):
        return trait_poles(spec, inventory)
    if named is not None:
        return file_personas(named, inventory, coding, map_like(map_file, inventory), note)
    raise InputError(f"unknown personas {spec!r}", hint=PERSONA_FORMS)


def resolve_personas(
    given: str | Personas, inventory: Inventory, *, coding: str = "auto", note: Note = silent, map_file: MapLike = None
) -> Personas:
    """The personas that a spec names, or those that a program hands over: the same proof for both.

    Arguments and errors are those of `open_personas`.
    """
    if isinstance(given, str):
        return open_personas(given, inventory, coding=coding, note=note, map_file=map_file)
    if map_file is not None:
        raise InputError(f"--map is about a file of answers, but personas {given.label} are read already")
    if given.n_items != len(inventory):
        raise InputError(
            f"personas {given.label} answer {given.n_items} items, inventory {inventory.name} has {len(inventory)}"
        )
    if coding == "as-published" and given.coding != coding:
        raise InputError(f"--coding {coding} is about stored PAPI values, but personas {given.label} are none")
    if not isinstance(given, PersonaSet):
        return given  # a file, which was proven when it was opened
    require_on_scale(given, inventory)
    return as_agreements(given, inventory, coding, f"personas {given.label}", note)


def inventory_of(personas_spec: str) -> str | None:
    """The spec of the inventory that respondents answered: "builtin", "papi:DIR" or "papi"; None if any would do."""
    source, _, rest = personas_spec.partition(":")
    if source in _SIMULATED:
        return "builtin"
    if source != "papi":
        return None
    place, _ = split_selection(rest)
    return f"papi:{place}" if place else "papi"


def population_of(personas_spec: str) -> str:
    """The spec of everybody in the source that some respondents were selected from."""
    source, _, rest = personas_spec.partition(":")
    if source == "papi" or source in _SIMULATED:
        place, _ = split_selection(rest)
        return f"{source}:{place}" if place else source
    named = split_file(personas_spec)
    return str(named.path) if named else personas_spec


def has_respondents(inventory_spec: str) -> bool:
    """Whether personas come with an inventory; none do with a file of items."""
    return not is_inventory_file(inventory_spec)


def default_personas(inventory_spec: str) -> str:
    """The personas that come with an inventory: its own respondents, under the same words.

    Raises:
        InputError: it is a file, which has none.
    """
    if not has_respondents(inventory_spec):
        raise InputError(
            f"inventory {inventory_spec} is a file of items, which has no respondents of its own",
            hint="give --personas: a file of answers, or poles of its traits such as Machiavellianism+; the traits are "
            f"listed by pasctl data check {inventory_spec}",
        )
    return inventory_spec


def absolute_spec(inventory_spec: str) -> str:
    """The words for an inventory, its file or folder named so that they mean the same in any working folder."""
    if inventory_spec in INVENTORIES.names():
        return inventory_spec
    if is_inventory_file(inventory_spec):
        return str(Path(inventory_spec).absolute())
    source, colon, place = inventory_spec.partition(":")
    return f"{source}:{Path(place).absolute()}" if colon and place and source == "papi" else inventory_spec


def papi_folder(place: str) -> Path:
    """A named folder, or for no name the hub dataset in the hub's cache."""
    return Path(place) if place else cached_papi()


def _require_same(spec: str, own: Inventory, given: Inventory) -> None:
    if own.people_digest != given.people_digest:
        raise InputError(
            f"personas {spec!r} answered inventory {own.name} of {len(own)} items, not {given.name} of {len(given)}",
            hint="name the inventory that they answered, or use trait poles such as E+, which fit any",
        )


def _select(personas: PersonaSet, parts: list[Part], spec: str) -> PersonaSet:
    """The selected personas; all when nothing is selected."""
    if not parts:
        return personas
    return personas.subset(selected_rows(parts, spec, len(personas), lambda: personas.ids))
