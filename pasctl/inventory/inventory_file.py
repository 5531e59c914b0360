"""An inventory from a file of one's own: YAML, JSON, CSV, TSV or XLSX. The page docs/inventories.md has the format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pasctl.bounded import Bounds, BoundsError, run_bounded
from pasctl.errors import InputError, MissingError
from pasctl.inventory.files.document import inventory_of_document
from pasctl.inventory.files.documents import json_document, yaml_document
from pasctl.inventory.files.node import Node
from pasctl.inventory.files.tables import ASSUMED, csv_document, workbook_document
from pasctl.inventory.items import Inventory
from pasctl.inventory.notes import Note, silent
from pasctl.json_file import parse_json
from pasctl.text_file import refuse_device

SUFFIXES = (".yaml", ".yml", ".json", ".csv", ".tsv", ".xlsx")
_TABLES = (".csv", ".tsv", ".xlsx")
MOST_BYTES = 4 << 20
_WORKBOOK_ROWS = Path(__file__).parent / "files" / "workbook_rows.py"
_NEW = "pasctl data new FILE.yaml writes an example"


def is_inventory_file(spec: str) -> bool:
    """Whether a spec names a file of an inventory."""
    return spec.lower().endswith(SUFFIXES)


def read_inventory_file(path: Path | str, note: Note = silent) -> Inventory:
    """The inventory of a file; the suffix says its format.

    Args:
        path: The file.
        note: Is told what the file leaves open and is taken to be so.

    Raises:
        InputError: not readable, or a field that is unknown, missing or wrong; the message names line and column.
        MissingError: there is no such file.
    """
    path = Path(path)
    document = document_of(path)
    if path.suffix.lower() in _TABLES and _scale_assumed(document):
        note(f"{path}: {ASSUMED}; a first line says another one: # scale: Never | Sometimes | Always")
    return inventory_of_document(document, path.stem)


def document_of(path: Path) -> Node:
    """The document of a file, whose fields are those of YAML whatever its format."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"inventory file {path}: expected a name that ends in {', '.join(SUFFIXES)}")
    data, name = _bytes(path), str(path)
    if suffix == ".xlsx":
        return workbook_document(_sheets(path), name)
    text = _text(data, path)
    if suffix in (".yaml", ".yml"):
        return yaml_document(text, name)
    return json_document(text, name) if suffix == ".json" else csv_document(text, name, tabs=suffix == ".tsv")


def _bytes(path: Path) -> bytes:
    try:
        refuse_device(path, "inventory file")
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError as error:
        raise MissingError(f"inventory file {path} does not exist", hint=_NEW) from error
    except OSError as error:
        raise InputError(f"inventory file {path} cannot be read: {error.strerror or error}") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"inventory file {path}: expected at most {MOST_BYTES >> 20} MiB, found more")
    return data


def _text(data: bytes, path: Path) -> str:
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected UTF-8 text, found byte 0x{error.object[error.start]:02x} at {error.start}",
            hint="save it again as UTF-8 (in a spreadsheet: CSV UTF-8)",
        ) from error


def _sheets(path: Path) -> dict[str, list[list[Any]]]:
    """The rows of all sheets, read in a process of its own: the reader may crash or take all memory."""
    try:
        sheets: dict[str, list[list[Any]]] = parse_json(run_bounded(_WORKBOOK_ROWS, str(path), bounds=Bounds()))
    except (BoundsError, ValueError) as error:
        raise InputError(f"{path}: not a readable workbook: {error}") from error
    return sheets


def _scale_assumed(document: Node) -> bool:
    fields = document.value if isinstance(document.value, dict) else {}
    # What no line of the file says has the whole file as its place.
    return "scale" in fields and fields["scale"].where == document.where and isinstance(fields["scale"].value, list)
