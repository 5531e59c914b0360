"""Readers of tables of answers and of workbooks, most of which run in processes of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.fuzz.reader import CORPUS, Reader

_SHARE = 0.01
"""Of the mutants, where each takes a process, which takes a tenth of a second or more."""
_SLOW = 0.004
"""Where it takes a second."""


def _people(name: str) -> Callable[[Path], object]:
    """Reads a file of respondents as `--personas` does."""

    def read(folder: Path) -> object:
        from pasctl.inventory import builtin_inventory, resolve_personas

        return resolve_personas(str(folder / name), builtin_inventory()).digest

    return read


def _mapped(name: str) -> Callable[[Path], object]:
    """Reads a table as a map says."""

    def read(folder: Path) -> object:
        from pasctl.inventory import builtin_inventory, load_personas

        return load_personas(str(folder / "people.csv"), builtin_inventory(), map_file=folder / name).digest

    return read


def _people_of_a_map(folder: Path) -> None:
    (folder / "people.csv").write_bytes((CORPUS / "wide" / "two.csv").read_bytes())


def _inventory(folder: Path) -> object:
    from pasctl.inventory import load_inventory

    return load_inventory(str(folder / "inventory.xlsx")).digest


def _papi_key(folder: Path) -> object:
    from pasctl.inventory.papi import _key_rows

    return _key_rows(folder / "key.xls")


def _persona_table(folder: Path) -> object:
    from pasctl.vllm_plugin.persona_table import PersonaFolder

    personas = PersonaFolder(folder, (3, 2))
    personas.refresh()
    return [personas.vectors(each.digest) for each in personas.personas.values()]


TABLE_READERS = {
    "table of personas": Reader("personas", "personas/export.safetensors", _persona_table),
    "table of answers": Reader("wide", "people.tsv", _people("people.tsv")),
    "map YAML": Reader("map", "map.yaml", _mapped("map.yaml"), _people_of_a_map, suffixes=(".yaml",)),
    "map JSON": Reader("map", "map.json", _mapped("map.json"), _people_of_a_map, suffixes=(".json",)),
    "table Parquet": Reader("arrow", "people.parquet", _people("people.parquet"), suffixes=(".parquet",)),
    "table Feather": Reader("arrow", "people.feather", _people("people.feather"), suffixes=(".feather",)),
    "workbook of answers": Reader("workbook", "people.xls", _people("people.xls"), share=_SHARE),
    "workbook of items": Reader("items", "inventory.xlsx", _inventory, share=_SHARE),
    "PAPI key": Reader("papi-key", "key.xls", _papi_key, share=_SHARE),
    **{
        f"statistics {suffix}": Reader(
            "statistics", f"people{suffix}", _people(f"people{suffix}"), suffixes=(suffix,), share=_SLOW
        )
        for suffix in (".sav", ".dta", ".xpt", ".por")
    },
}
