"""Whether a checkpoint carries a steering delta, whose, and at which strength: from what it says and from its bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.export.origin import CARRIERS, Origin, read_origin
from pasctl.export.tensor_files import TensorFiles
from pasctl.export.vectors import FORMATS

_ALIKE = 0.02
"""How far two layers' strengths may differ, relatively, and still be one: bfloat16 rounds to 0.004."""
_NONE = 1e-6


@dataclass(frozen=True)
class Match:
    """How a persona's directions fit what a file carries.

    Attributes:
        persona: its id.
        alpha: the strength at which they fit best, by least squares.
        cosine: between the shift found and the persona's, over all layers.
    """

    persona: str
    alpha: float
    cosine: float


@dataclass(frozen=True)
class Difference:
    """How the tensors of a file differ from those of its base, apart from the biases of attention.

    Attributes:
        same: how many are equal.
        changed: names of those that are not.
        lacking: names that only the base has.
        added: names that only the file has, and that are not zero.
    """

    same: int
    changed: tuple[str, ...]
    lacking: tuple[str, ...]
    added: tuple[str, ...]

    @property
    def none(self) -> bool:
        """Whether the two are one model but for biases."""
        return not (self.changed or self.lacking or self.added)


@dataclass(frozen=True)
class Inspection:
    """What was found.

    Attributes:
        path: the file or folder.
        kind: "folder", "gguf" or "vector".
        family: of the model, if it says one.
        origin: what it says of itself; None if it says nothing.
        carried: tensors such as "o_proj.bias" -> layer -> norm of the shift there.
        own: the biases may be the model's own, and only --base tells.
        strength: alpha by its bytes; None if that cannot be told.
        fault: why what it says is not what its bytes are; None if it is, or nothing is said.
        difference: from its base; None if none was given.
        matches: personas of directions, best first.
    """

    path: str
    kind: str
    family: str | None
    origin: Origin | None
    carried: Mapping[str, Mapping[int, float]]
    own: bool
    strength: float | None
    fault: str | None
    difference: Difference | None = None
    matches: tuple[Match, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """It as one JSON document."""
        return {
            "path": self.path,
            "kind": self.kind,
            "family": self.family,
            "says": self.origin and self.origin.document(),
            "carried": {what: {str(layer): norm for layer, norm in by.items()} for what, by in self.carried.items()},
            "may_be_the_models_own": self.own,
            "strength": self.strength,
            "fault": self.fault,
            "against_base": self.difference and asdict(self.difference),
            "personas": [asdict(match) for match in self.matches],
        }


Shifts = Mapping[str, Mapping[int, Tensor]]
"""Carrier -> layer -> what is added there, float32 [width]; zero ones are left out."""


def inspect_files(path: Path, base: Path | None = None) -> tuple[Inspection, Shifts]:
    """Read a model folder or a .gguf file, and compare it with its base.

    Raises:
        InputError: it is neither, it is damaged, or the base is of another form or another model.
        MissingError: it is not there, or the package gguf is not installed.
    """
    files = _files(path)
    origin, plain = read_origin(path), None if base is None else TensorFiles.of(base)
    if plain is not None and plain.kind != files.kind and files.kind != "vector":
        raise InputError(
            f"{path} is a {files.kind}, and {base} a {plain.kind}: their tensors cannot be compared",
            hint="give the base in the form of the export",
        )
    shifts = find_shifts(files, plain)
    own = _own(files, shifts) if plain is None else frozenset()
    strength, fault = _strength(origin, shifts, own=own)
    found = Inspection(
        path=str(path),
        kind=files.kind,
        family=files.family,
        origin=origin,
        carried={what: {layer: float(each.norm()) for layer, each in by.items()} for what, by in shifts.items()},
        own=bool(own),
        strength=strength,
        fault=fault,
        difference=None if plain is None or files.kind == "vector" else _difference(files, plain),
    )
    return found, shifts


def _files(path: Path) -> TensorFiles:
    """A file's tensors; of the formats that keep vectors alone, these under the names that a .gguf file has."""
    name = {".json": "vllm-lens", ".safetensors": "steering-vectors"}.get(path.suffix)
    if name is None or not path.is_file():
        return TensorFiles.of(path)
    layers = FORMATS.build(name).read(path).layers
    held = {f"direction.{layer}": vector for layer, vector in layers.items()}
    return TensorFiles(path, "vector", None, dict.fromkeys(held, path), held)


def find_shifts(files: TensorFiles, base: TensorFiles | None) -> Shifts:
    """What a file adds: its biases of o_proj and v_proj less those of its base, or its control vectors.

    Raises:
        InputError: the base has biases of another width.
    """
    found: dict[str, dict[int, Tensor]] = {}
    for what in CARRIERS:
        for layer in files.layers(what):
            shift, before = files.slot(layer, what), None if base is None else base.slot(layer, what)
            if shift is None:
                continue
            if before is not None and before.shape != shift.shape:
                raise InputError(
                    f"{files.path}: {what} of layer {layer} is {shift.numel()} wide, of {base and base.path} "
                    f"{before.numel()}",
                    hint="give the model that it was made from",
                )
            shift = (shift if before is None else shift - before).flatten()
            if shift.norm() > _NONE:
                found.setdefault(what, {})[layer] = shift
    return found


def match_personas(shifts: Shifts, units: Mapping[str, Mapping[int, Tensor]]) -> list[Match]:
    """How personas fit what was found, best first.

    Args:
        shifts: of one carrier.
        units: persona -> layer -> the shift of its directions at alpha 1, in the same carrier.
    """
    found = {layer: shift for by in shifts.values() for layer, shift in by.items()}
    size = sum(float(shift.double().square().sum()) for shift in found.values())
    matches = []
    for persona, unit in units.items():
        along = sum(float(found[layer].double() @ each.double()) for layer, each in unit.items() if layer in found)
        length = sum(float(each.double().square().sum()) for each in unit.values())
        if length and size:
            matches.append(Match(persona, along / length, along / (length * size) ** 0.5))
    return sorted(matches, key=lambda match: -abs(match.cosine))


def _own(files: TensorFiles, shifts: Shifts) -> frozenset[str]:
    """The carriers whose biases may be the model's: those that models are trained with are of q, k and v together.

    Biases of o_proj may be its own where all layers have them besides those of q and k.
    """
    trained = any(
        (bias := files.slot(layer, what)) is not None and bool(bias.any())
        for what in ("q_proj.bias", "k_proj.bias")
        for layer in files.layers(what)[:1]
    )
    everywhere = len(shifts.get("o_proj.bias", {})) == len(files.layers("o_proj.weight"))
    return frozenset(what for what in shifts if trained and (what == "v_proj.bias" or everywhere))


def _strength(origin: Origin | None, shifts: Shifts, *, own: frozenset[str]) -> tuple[float | None, str | None]:
    """Alpha by the bytes, and why they contradict what the file says."""
    if origin is None:
        return None, None
    said, found = f"says {origin.persona} at alpha {origin.alpha:g}", shifts.get(origin.carrier, {})
    if not found:
        return 0.0, f"{said}, and has no {origin.carrier} that does it"
    ratios = _ratios(origin, found)
    if ratios is None or max(ratios) - min(ratios) > _ALIKE * max(map(abs, ratios)):
        if origin.carrier in own:
            return None, None  # mixed with the model's own
        return None, f"{said}, and its {origin.carrier} is another shift"
    ratio = sum(ratios) / len(ratios)
    if abs(ratio - 1) <= _ALIKE:
        return origin.alpha, None
    strength = ratio * origin.alpha
    return strength, f"{said}, and its {origin.carrier} is alpha {strength:.3g}"


def _ratios(origin: Origin, found: Mapping[int, Tensor]) -> Sequence[float] | None:
    """How many times the shift that was written each layer has; None if it is no multiple of it."""
    wanted = {layer: trace for layer, trace in origin.traces.items() if trace.norm > _NONE}
    if not wanted or wanted.keys() != found.keys():
        return None
    ratios = []
    for layer, trace in wanted.items():
        shift = found[layer]
        if trace.place >= shift.numel() or not trace.value:
            return None
        by_norm, by_peak = float(shift.norm()) / trace.norm, float(shift[trace.place]) / trace.value
        if abs(by_norm - abs(by_peak)) > _ALIKE * by_norm:
            return None
        ratios.append(by_peak)
    return ratios


def _difference(files: TensorFiles, base: TensorFiles) -> Difference:
    """Compare all tensors but the biases of attention, which are looked at apart."""
    biases = {name for each in (files, base) for (_, what), name in each.slots.items() if what.endswith("bias")}
    mine, theirs = files.files.keys() - biases, base.files.keys() - biases
    changed = [name for name in sorted(mine & theirs) if not _equal(files.read(name), base.read(name))]
    added = [name for name in sorted(mine - theirs) if bool(files.read(name).any())]
    return Difference(len(mine & theirs) - len(changed), tuple(changed), tuple(sorted(theirs - mine)), tuple(added))


def _equal(mine: Tensor, theirs: Tensor) -> bool:
    """Whether a tensor is the base's, in its own dtype."""
    return mine.shape == theirs.shape and torch.equal(mine, theirs.to(mine.dtype))
