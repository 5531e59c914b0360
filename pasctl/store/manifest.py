"""Manifests, which say what an artifact is and what its files hold."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, IntegrityError
from pasctl.json_file import read_json
from pasctl.store.disk import unreadable
from pasctl.store.keys import canonical_json, is_key, key_hash

SCHEMA = "pasctl-manifest/1"
MANIFEST = "manifest.json"
LABEL_SEPARATOR = "~"
"""Between a label and the words that say which options an artifact has (see `pasctl.store.labels`)."""
SUFFIXES = (".safetensors", ".json", ".parquet")
REPAIR_HINT = (
    "see what else is damaged with `pasctl store verify --deep`; "
    "then move the artifact's folder out of the store and run its stage again"
)

_WORD = re.compile(r"[a-z0-9][a-z0-9._+~-]{0,99}")
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=,@-]{0,150}(/[A-Za-z0-9_][A-Za-z0-9_.+=,@-]{0,150})*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAPPINGS = ("params", "model", "numerics")  # of a document, where it has them
_FIELDS: dict[str, type] = {
    "key": str,
    "kind": str,
    "stage": str,
    "stage_version": int,
    "model": str,
    "label": str,
    "document": dict,
    "content_digest": str,
    "files": list,
    "inputs": dict,
    "parts": list,
    "provenance": dict,
    "created_at": str,
}


def now() -> str:
    """The time in UTC as manifests and the index have it; as text it sorts by time."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def check_word(what: str, word: str) -> str:
    """A kind, model or label as it may stand in a name and as a folder; InputError for anything else."""
    if not _WORD.fullmatch(word) or word.endswith("."):
        raise InputError(
            f"{what} {word!r} cannot be part of an artifact's name: expected lower-case letters, digits and . _ + - ~",
            hint="the name becomes a folder: use at most 100 of these signs and begin with a letter or digit",
        )
    return word


def check_file_name(name: str) -> str:
    """A payload file's name inside its artifact; ValueError for one that leaves the folder or has no known format."""
    if not _FILE.fullmatch(name) or not name.endswith(SUFFIXES) or name == MANIFEST:
        raise ValueError(
            f"not a payload file name: {name!r} (expected a relative path ending in {', '.join(SUFFIXES)})"
        )
    return name


def digest_content(files: Iterable[Mapping[str, Any]]) -> str:
    """The content digest: sha256 of the canonical JSON of the sorted [name, size, sha256] of an artifact's files."""
    rows = sorted([entry["name"], entry["size"], entry["sha256"]] for entry in files)
    return hashlib.sha256(canonical_json(rows).encode("ascii")).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest in an artifact's folder, checked in itself; the payload files are not looked at.

    Raises:
        FileNotFoundError: there is none.
        IntegrityError: it is no manifest, belongs to another folder, or its content digest is not that of its files.
    """
    path = folder / MANIFEST
    try:
        manifest = read_json(path, unique=True)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        raise IntegrityError(*unreadable(path, error).args, hint="look at its permissions and at the disk") from error
    except ValueError as error:
        raise IntegrityError(f"{path}: no JSON ({error})", hint=REPAIR_HINT) from error
    fault = manifest_fault(manifest, folder.parent.parent.name, folder.name)
    if fault:
        raise IntegrityError(f"{path}: {fault}", hint=REPAIR_HINT)
    checked: dict[str, Any] = manifest
    return checked


def manifest_fault(manifest: Any, kind: str, hexes: str) -> str | None:
    """What is wrong with the manifest of an artifact's folder, or None.

    Args:
        manifest: the value in its file.
        kind: the kind that its folder stands below.
        hexes: the folder's name.
    """
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else type(manifest).__name__
        return f"expected schema {SCHEMA}, found {found!r}"
    for name, expected in _FIELDS.items():
        if type(manifest.get(name)) is not expected:
            return f"field {name!r}: expected {expected.__name__}, found {type(manifest.get(name)).__name__}"
    if not all(_WORD.fullmatch(manifest[name]) for name in ("kind", "model", "label")):
        return "kind, model or label is no name"
    if not is_key(manifest["key"]) or key_hash(manifest["key"]) != hexes:
        return f"key {manifest['key']!r} is not that of its folder {hexes}"
    if manifest["kind"] != kind:
        return f"kind {manifest['kind']} is not that of its folder {kind}"
    if not all(_is_file_entry(entry) for entry in manifest["files"]):
        return "an entry of files is not {name, size, sha256}"
    if not all(_is_input(entry) for entry in manifest["inputs"].values()):
        return "an entry of inputs is not {key, content_digest, name}"
    if not all(isinstance(part, str) for part in manifest["parts"]):
        return "an entry of parts is no text"
    words = (manifest["stage"], manifest["created_at"], manifest["content_digest"], *manifest["parts"])
    if not all(map(str.isascii, (*words, *manifest["inputs"]))):
        return "stage, created_at, content digest, parts or the roles of inputs are not ASCII"
    for name in _MAPPINGS:
        if not isinstance(manifest["document"].get(name, {}), dict | None):
            return f"{name} of its document: expected dict, found {type(manifest['document'][name]).__name__}"
    found = digest_content(manifest["files"])
    if found != manifest["content_digest"]:
        return f"content digest {manifest['content_digest']} is not that of its files, {found}"
    return None


def _is_file_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _FILE.fullmatch(entry["name"]) is not None
        and type(entry.get("size")) is int
        and entry["size"] >= 0
        and isinstance(entry.get("sha256"), str)
        and _DIGEST.fullmatch(entry["sha256"]) is not None
    )


def _is_input(entry: Any) -> bool:
    digest = entry.get("content_digest") if isinstance(entry, dict) else None
    return isinstance(digest, str) and digest.isascii() and is_key(entry.get("key"))
