"""What the files of a text's segments hold beside its keys and values; importable, and readable, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError, safe_open

from pasctl.errors import IntegrityError

_LISTS = ("ids", "surprise", "counts", "starts", "new_starts", "pending")
_NEW = "new_starts"  # of events that began in a segment; memories of versions before have all `starts` in each


INDEX = ("index_centroids", "index_along", "index_across", "index_cluster")
"""Of the index of events, in the segments with which a slab of it was full."""
SCALES = "representative_scales"
"""Of representatives in eight bits; memories of versions before have them in the model's dtype."""


@dataclass(frozen=True)
class KeptText:
    """A text as the files of its segments have it.

    Attributes:
        ids: token ids.
        surprise: -log p of each token in nats, 0 for the first.
        starts: first token of each event; those before the first one are always attended, and are no event.
    """

    ids: list[int]
    surprise: list[float]
    starts: list[int]


def read_text(files: Sequence[Path]) -> KeptText:
    """Read what was read: token ids, surprise and events, but no keys and values.

    Raises:
        IntegrityError: a file is damaged, or the files do not follow each other.
    """
    small = ("ids", "surprise", "counts", "starts", _NEW, "pending")
    parts = [tensors for _, tensors in in_order(files, small, "numpy")]
    if not parts:
        return KeptText([], [], [])
    ids = [int(token) for part in parts for token in part["ids"]]
    starts = [*settled_starts(parts), *(int(start) for start in parts[-1]["pending"])]
    if starts != sorted(set(starts)):
        raise IntegrityError(f"segment {files[-1]} has events that do not follow each other")
    surprise = [float(each) for part in parts for each in part["surprise"]]
    return KeptText(ids, surprise, [start for start in starts if start < len(ids)])


def settled_starts(parts: Sequence[Mapping[str, Any]]) -> list[int]:
    """First token of each event that had begun for certain, from the tensors of all segments."""
    starts: list[int] = []
    for part in parts:
        if _NEW in part:
            starts += (int(start) for start in part[_NEW])
        elif "starts" in part:
            starts = [int(start) for start in part["starts"]]
    return starts


def in_order(
    files: Sequence[Path], names: Sequence[str], framework: Literal["pt", "numpy"]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each segment's file, in order, with some of its tensors.

    Args:
        files: the files.
        names: which tensors.
        framework: gives them as torch tensors or numpy arrays.

    Raises:
        IntegrityError: a file is damaged, or the files do not follow each other.
    """
    expected = 0
    for path in files:
        tensors = read_segment(path, names, framework)
        begin, stop = tensors["counts"][:2].tolist()
        if begin != expected or len(tensors["ids"]) != stop - begin:
            raise IntegrityError(f"segment {path} holds tokens {begin}-{stop}, expected them to begin at {expected}")
        yield path, tensors
        expected = stop


def read_segment(path: Path, names: Sequence[str] | None, framework: Literal["pt", "numpy"]) -> dict[str, Any]:
    """Tensors of a segment's file; None reads all but keys and values."""
    try:
        with safe_open(path, framework=framework) as file:
            known = set(file.keys())
            old = {_NEW} if "starts" in known else {"starts"}
            missing = old | ({*INDEX, SCALES} - known)
            wanted = [name for name in (names or known) if name not in missing and (names or name[0] not in "kv")]
            tensors = {name: file.get_tensor(name) for name in wanted}
        if odd := [name for name in _LISTS if name in tensors and tensors[name].ndim != 1]:
            raise ValueError(f"{odd[0]} is no list")
        return tensors
    except (SafetensorError, OSError, ValueError) as error:
        raise IntegrityError(
            f"segment {path} cannot be read: {error}", hint="`pasctl store verify --deep` tells what is damaged"
        ) from error
