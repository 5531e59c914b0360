"""The inventory file that a user begins with."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from pasctl.errors import InputError
from pasctl.inventory.files.documents import yaml_document
from pasctl.inventory.files.node import Node
from pasctl.store.disk import create_file, disk_errors

_TEMPLATE = Path(__file__).with_name("template.yaml")
_COLUMNS = ("id", "text", "trait", "key", "facet", "split", "weight")
SUFFIXES = (".yaml", ".yml", ".json", ".csv")


def write_template(file: Path | str) -> Path:
    """Write the template in the format that the file's suffix names.

    Raises:
        InputError: another suffix, no such folder, or a file that is there already.
    """
    path = Path(file)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"{path}: expected a name that ends in .yaml, .json or .csv",
            hint="a spreadsheet can begin with .csv and be saved as .xlsx",
        )
    if not path.parent.is_dir():
        raise InputError(f"{path}: folder {path.parent} does not exist", hint="make it first")
    text = _TEMPLATE.read_text(encoding="utf-8")
    if suffix == ".json":
        text = json.dumps(_plain(_document(text)), indent=2, ensure_ascii=False) + "\n"
    elif suffix == ".csv":
        text = _table(_plain(_document(text)))
    with disk_errors(path):
        written = create_file(path, text.encode())
    if not written:
        raise InputError(f"{path} exists already", hint="give another name, or remove it first")
    return path


def _document(text: str) -> Node:
    return yaml_document(text, _TEMPLATE.name)


def _plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {name: _plain(value) for name, value in node.value.items()}
    if isinstance(node.value, list):
        return [_plain(value) for value in node.value]
    return node.value


def _table(document: dict[str, Any]) -> str:
    """The same as comment lines and a row per item."""
    lines = [f"# language: {document['language']}", f"# scale: {' | '.join(document['scale'])}"]
    lines += [f"# trait {trait['code']}: {trait['name']}" for trait in document["traits"]]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(document["items"])
    return "\n".join(lines) + "\n" + stream.getvalue()
