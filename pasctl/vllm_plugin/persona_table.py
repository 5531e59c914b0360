"""Tables of personas in an export: one vector per layer and persona, and which of them a folder has now.

A table is a .safetensors file with one tensor, `vectors` float32 [personas, layers, hidden]: what is added to the
output of each layer's o_proj at alpha 1. Its metadata names the personas. An export has its tables in the folder
`personas`: a file that is put there adds personas, one that is removed takes them away, and nothing is started again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from pasctl.errors import InputError
from pasctl.json_file import parse_json
from pasctl.models.shards import read_metadata

FOLDER = "personas"
"""The folder of an export that has its tables; vLLM takes files next to the weights for weights."""
FORMAT = "pasctl-personas/1"
POSITIONS = ("all", "answer")
_TENSOR = "vectors"
_NAME = "pasctl"
_DIGITS = 64  # of a sha256


@dataclass(frozen=True)
class Persona:
    """A persona of a table.

    Attributes:
        name: as requests name it.
        alpha: strength where a request names none.
        positions: steered at "all" positions, or from the "answer" on: the last token of the prompt and all after it.
        digest: sha256 of its vectors.
        path: the table.
        row: in the table.
    """

    name: str
    alpha: float
    positions: str
    digest: str
    path: Path
    row: int


def write_table(
    path: Path,
    vectors: NDArray[np.float32],
    names: Sequence[str],
    *,
    alphas: Sequence[float],
    positions: str,
    about: Mapping[str, Any],
) -> None:
    """Write a table.

    Args:
        path: the file to make.
        vectors: float32 [P, layers, hidden], at alpha 1.
        names: of the P personas.
        alphas: their strengths, for requests that name none.
        positions: "all" or "answer".
        about: what else the metadata says, as JSON: what the personas come from.

    Raises:
        InputError: names are not all different, or vectors are not finite.
    """
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise InputError(f"{path.name} would hold {repeated[0]} twice, expected each persona once")
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=(1, 2)))
    if len(broken):
        raise InputError(f"the vectors of {names[broken[0]]} are not finite", hint="fit its directions again")
    document = {
        "format": FORMAT,
        "positions": positions,
        "personas": list(names),
        "alphas": list(alphas),
        "digests": [_digest(rows) for rows in vectors],
        **about,
    }
    said = {_NAME: json.dumps(document, ensure_ascii=False, allow_nan=False)}
    save_file({_TENSOR: np.ascontiguousarray(vectors)}, path, metadata=said)


def read_table(path: Path) -> list[Persona]:
    """The personas of a table, in the order of its rows; no vector is read.

    Raises:
        InputError: it is no table.
        MissingError: it cannot be read.
    """
    try:
        said = parse_json(read_metadata(path).get(_NAME, ""))
    except ValueError:
        said = None
    columns = _columns(said)
    if columns is None:
        raise InputError(f"{path} is no table of personas", hint="pasctl export --engine vllm-personas writes such")
    names, alphas, digests = columns
    if not len(names) == len(alphas) == len(digests) == len(set(names)):
        raise InputError(f"{path}: its personas, alphas and digests do not fit together", hint="export it again")
    return [
        Persona(name, float(alpha), said["positions"], digest, path, row)
        for row, (name, alpha, digest) in enumerate(zip(names, alphas, digests, strict=True))
    ]


@dataclass(eq=False)
class PersonaFolder:
    """The personas that an export has now, by name.

    Vectors of a table that was read once can be read until the process ends, whatever becomes of the file.

    Attributes:
        folder: the export.
        shape: layers and hidden size of its model.
        personas: those of all tables, as of the last `refresh`.
    """

    folder: Path
    shape: tuple[int, int]
    personas: dict[str, Persona] = field(default_factory=dict)
    _seen: tuple[tuple[str, int, int, int], ...] = ()
    _rows: dict[str, tuple[Any, int]] = field(default_factory=dict)

    def refresh(self) -> None:
        """Look at the tables again, if a file was added, removed or replaced since.

        Raises:
            InputError: a file is no table, or another model's, or two tables have different personas of one name.
            MissingError: a file cannot be read.
        """
        seen = self._list()
        if seen == self._seen:
            return
        found: dict[str, Persona] = {}
        for name, *_ in seen:
            path = self.folder / FOLDER / name
            personas = read_table(path)
            table = _open(path, (len(personas), *self.shape))
            for persona in personas:
                other = found.setdefault(persona.name, persona)
                if (other.digest, other.alpha) != (persona.digest, persona.alpha):
                    raise InputError(
                        f"{other.path.name} and {path.name} have different personas {persona.name}",
                        hint="remove one of the tables",
                    )
                self._rows.setdefault(persona.digest, (table, persona.row))
        self.personas, self._seen = found, seen

    def vectors(self, digest: str) -> NDArray[np.float32] | None:
        """The vectors of a persona at alpha 1, float32 [layers, hidden]; None if no table had them so far."""
        if digest not in self._rows:
            self.refresh()
        if digest not in self._rows:
            return None
        table, row = self._rows[digest]
        vectors: NDArray[np.float32] = table.get_slice(_TENSOR)[row : row + 1][0]
        return vectors

    def _list(self) -> tuple[tuple[str, int, int, int], ...]:
        """Name, size, time and inode of each table."""
        try:
            with os.scandir(self.folder / FOLDER) as entries:
                files = [entry for entry in entries if entry.name.endswith(".safetensors")]
                stats = [(entry.name, entry.stat()) for entry in files if not entry.name.startswith(".")]
        except FileNotFoundError:
            return ()
        return tuple(sorted((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in stats))


def _open(path: Path, expected: tuple[int, int, int]) -> Any:
    """The file, mapped into memory, whose vectors have the shape [personas, layers, hidden] that is expected."""
    try:
        table: Any = safe_open(path, framework="numpy")
        vectors = table.get_slice(_TENSOR)
        kind, shape = vectors.get_dtype(), tuple(vectors.get_shape())
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read: {error}", hint="export it again") from error
    if kind != "F32" or shape != expected:
        personas, layers, hidden = expected
        raise InputError(
            f"{path}: expected vectors of {personas} personas, {layers} layers and size {hidden} in F32, "
            f"found {kind} {list(shape)}",
            hint="move it out of the folder: it is damaged, or another model's",
        )
    return table


def _columns(said: Any) -> tuple[list[str], list[float], list[str]] | None:
    """Names, alphas and digests of a table's metadata; None if it is none of ours, or damaged."""
    if not isinstance(said, dict) or said.get("format") != FORMAT or said.get("positions") not in POSITIONS:
        return None
    columns: list[Any] = [said.get(name) for name in ("personas", "alphas", "digests")]
    if not all(isinstance(column, list) for column in columns):
        return None
    names, alphas, digests = columns
    if not all(isinstance(text, str) and text for text in (*names, *digests)):
        return None
    if not all(len(digest) == _DIGITS for digest in digests) or not all(map(_is_strength, alphas)):
        return None
    return names, alphas, digests


def _is_strength(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _digest(vectors: Iterable[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(vectors, dtype="<f4").tobytes()).hexdigest()
