"""The files of an export: the record of what was written, and whether it still is that."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pasctl.errors import PasctlError
from pasctl.json_file import read_json

RECORD = "pasctl_export.json"
"""In every export: what it is, by machine. A folder without it is not ours."""
FORMAT = "pasctl-export/1"
_NEEDED = {"key": str, "persona": str, "alpha": float, "numerics": dict, "lineage": list, "proof": dict, "files": dict}

# what a loader may take from a folder; anything else beside an export is its owner's
_LOADABLE = {".json", ".safetensors", ".bin", ".pt", ".pth", ".gguf", ".jinja", ".model", ".txt", ".py"}


def read_record(folder: Path) -> dict[str, Any] | None:
    """What an export says about itself; None if the folder is no export of ours."""
    try:
        found = read_json(folder / RECORD)
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        return None
    return found if all(isinstance(found.get(name), kind) for name, kind in _NEEDED.items()) else None


def digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and sha256 of the files of a folder by name."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        found[path.relative_to(folder).as_posix()] = {"size": path.stat().st_size, "sha256": digest}
    return found


def require_files(folder: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse files that are not those that were written, and others that a loader might take instead.

    Args:
        folder: the export.
        files: size and sha256 by name, from its record.

    Raises:
        PasctlError: names the first.
    """
    found = digests(folder)
    for name, entry in files.items():
        if name not in found:
            raise PasctlError(f"{folder / name} is gone, it was there when the export was proven")
        if found[name]["sha256"] != entry["sha256"]:
            raise PasctlError(
                f"{folder / name} is not what was exported: "
                f"expected sha256 {entry['sha256'][:12]}, found {found[name]['sha256'][:12]}"
            )
    spare = sorted(name for name in found.keys() - files.keys() - {RECORD} if Path(name).suffix in _LOADABLE)
    if spare:
        raise PasctlError(f"{folder / spare[0]} was not exported, and a loader may take it")
