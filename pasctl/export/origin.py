"""Who a file is steered to, as it says itself: in config.json of a model folder, in the metadata of a .gguf file.

Besides the names it has traces of the shift that was written, per layer: its norm, and its largest component. By them
the file's own bytes tell whether the shift is still there, and at which strength, after a change of dtype too.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.errors import InputError, PasctlError
from pasctl.json_file import parse_json, read_json
from pasctl.models.gguf_header import read_gguf_values
from pasctl.models.shards import read_metadata

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAME = "pasctl"
"""The name in config.json, and before the dot in the keys of a .gguf file."""
FORMAT = "pasctl-steering/1"
CARRIERS = ("o_proj.bias", "v_proj.bias", "vector")
"""Where a shift is: biases of a projection, or a vector that is added to a layer's output."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)
_TEXTS = ("persona", "positions", "base_model", "directions", "directions_key", "digest", "key", "carrier")


@dataclass(frozen=True)
class Trace:
    """What a layer's shift is known by.

    Attributes:
        norm: its length.
        place: of its largest component.
        value: that component.
    """

    norm: float
    place: int
    value: float

    @classmethod
    def of(cls, shift: NDArray[np.float32]) -> Trace:
        """The trace of a shift [width]."""
        import numpy as np

        place = int(np.abs(shift).argmax())
        return cls(float(np.linalg.norm(shift.astype(np.float64))), place, float(shift[place]))


@dataclass(frozen=True)
class Origin:
    """Who a file is steered to, and from what it was made.

    Attributes:
        persona: its id.
        alpha: strength that was written.
        positions: where a text is steered: "all", or "answer" of a vector that its engine is to add there.
        base_model: the base's hub id, or a local one's name.
        directions: name of the directions artifact, and its key.
        digest: sha256 of this persona's directions.
        key: of the export's artifact; empty where there is none.
        carrier: one of `CARRIERS`.
        traces: layer -> what the shift written there is known by.
    """

    persona: str
    alpha: float
    positions: str
    base_model: str
    directions: str
    directions_key: str
    digest: str
    key: str
    carrier: str
    traces: Mapping[int, Trace]

    def document(self) -> dict[str, Any]:
        """It as JSON."""
        traces = {str(layer): asdict(trace) for layer, trace in sorted(self.traces.items())}
        return {"format": FORMAT, **asdict(self), "traces": traces}

    @classmethod
    def of_document(cls, document: object) -> Origin | None:
        """What a document says; None if it is none of ours, or damaged."""
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            return None
        alpha, said = _number(document.get("alpha")), document.get("traces")
        texts = {name: document.get(name) for name in _TEXTS}
        if alpha is None or not isinstance(said, dict) or not all(isinstance(text, str) for text in texts.values()):
            return None
        traces = {layer: _trace(trace) for layer, trace in said.items()}
        if texts["carrier"] not in CARRIERS or not all(_is_layer(layer) for layer in traces) or None in traces.values():
            return None
        kept = {int(layer): trace for layer, trace in traces.items() if trace is not None}
        return cls(alpha=alpha, traces=kept, **{name: str(text) for name, text in texts.items()})


def repository(name: str) -> str | None:
    """A name that has the form of a hub's repository, org/name; None if it has not."""
    return name if _REPOSITORY.fullmatch(name) and len(name) <= 96 and "--" not in name and ".." not in name else None


def sign_folder(folder: Path, origin: Origin) -> None:
    """Add who it is to a model folder's config.json, which transformers keeps when it saves the model again."""
    path = folder / "config.json"
    config = read_json(path, constants=True)
    config[NAME] = origin.document()
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def gguf_pairs(origin: Origin) -> dict[str, str | float | list[int] | list[float]]:
    """The metadata of a .gguf file: GGUF's own keys for a model that was made from another, and pasctl's."""
    base = "general.base_model.0"
    named = {} if repository(origin.base_model) is None else {f"{base}.repo_url": _url(origin.base_model)}
    organization, _, last = origin.base_model.rpartition("/")
    layers = sorted(origin.traces)
    return {
        "general.name": f"{origin.base_model}, steered to persona {origin.persona}",
        f"{base}.name": last,
        **({f"{base}.organization": organization} if organization else {}),
        **named,
        f"{NAME}.format": FORMAT,
        f"{NAME}.alpha": float(origin.alpha),
        **{f"{NAME}.{name}": text for name in _TEXTS if (text := str(getattr(origin, name)))},
        f"{NAME}.layers": layers,
        f"{NAME}.norms": [origin.traces[layer].norm for layer in layers],
        f"{NAME}.places": [origin.traces[layer].place for layer in layers],
        f"{NAME}.values": [origin.traces[layer].value for layer in layers],
    }


def read_origin(path: Path) -> Origin | None:
    """What a model folder or a .gguf file says about itself; None if it says nothing that can be read.

    Raises:
        InputError: no GGUF file, or one cut short.
        MissingError: it cannot be read.
    """
    if path.is_dir():
        try:
            config = read_json(path / "config.json", constants=True)
        except (OSError, ValueError):
            return None
        return Origin.of_document(config.get(NAME)) if isinstance(config, dict) else None
    if path.suffix in (".json", ".safetensors"):
        return _of_vectors(path)
    said = {name.removeprefix(f"{NAME}."): value for name, value in read_gguf_values(path, f"{NAME}.").items()}
    columns = [said.pop(name, None) for name in ("layers", "norms", "places", "values")]
    rows = [column for column in columns if isinstance(column, list)]
    if len(rows) < len(columns) or len({len(row) for row in rows}) > 1:
        return None
    traces = {
        str(layer): {"norm": norm, "place": place, "value": value}
        for layer, norm, place, value in zip(*rows, strict=True)
    }
    return Origin.of_document({"key": "", **said, "traces": traces})  # a writer leaves empty texts out


def _of_vectors(path: Path) -> Origin | None:
    """What a file of vectors says beside them: an object's member, or text among a header's metadata."""
    try:
        if path.suffix == ".json":
            found = read_json(path)
            said = found[0] if isinstance(found, list) and found else found
            return Origin.of_document(said.get(NAME)) if isinstance(said, dict) else None
        return Origin.of_document(parse_json(read_metadata(path).get(NAME, "")))
    except (OSError, ValueError, PasctlError):
        return None


def require_repository(name: str) -> str:
    """Refuse a name that no hub can have as a base model.

    Raises:
        InputError: it has not the form org/name.
    """
    if repository(name) is None:
        raise InputError(
            f"base model {name!r} is no repository of a hub, expected org/name", hint="such as Qwen/Qwen3-0.6B"
        )
    return name


def _url(repo: str) -> str:
    return f"https://huggingface.co/{repo}"


def _number(value: object) -> float | None:
    """A finite number; None for all else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _trace(said: object) -> Trace | None:
    if not isinstance(said, dict):
        return None
    norm, place, value = (said.get(name) for name in ("norm", "place", "value"))
    known = _number(norm), _number(value)
    if known[0] is None or known[1] is None or isinstance(place, bool) or not isinstance(place, int):
        return None
    return Trace(known[0], place, known[1]) if 0 <= place < 1 << 31 else None


def _is_layer(name: str) -> bool:
    return name.isascii() and name.isdigit() and len(name) < 10
