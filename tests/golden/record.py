"""What the golden list holds of an artifact: its key and digest, and what must hold on any other machine as well."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from pasctl.stages.runner import Artifact, part_key

GOLDEN = Path(__file__).with_name("golden.json")
MASKED = ("steering", "state")  # parameters that are digests of floats, which differ in their last bit elsewhere


def fingerprint() -> dict[str, str]:
    """What the last bit of a float depends on; where all of it is equal, so must every byte be."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    pairs = (line.partition(":") for line in cpu.split("\n\n")[0].splitlines())
    lines = {name.strip(): value.strip() for name, _, value in pairs}
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "transformers": transformers.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
        "cpu": " ".join(lines.get(name, "?") for name in ("vendor_id", "cpu family", "model", "stepping")),
    }


def record(artifact: Artifact, names: Mapping[str, str]) -> dict[str, Any]:
    """An artifact as the list holds it.

    Args:
        artifact: of a case.
        names: content digest -> case, of those made before.
    """
    return {
        "key": artifact.key,
        "digest": artifact.content_digest,
        "recipe": recipe(artifact, names),
        "files": {name: summary(artifact, name) for name in sorted(artifact.files())},
    }


def recipe(artifact: Artifact, names: Mapping[str, str]) -> str:
    """The key as it would be if inputs were called by their cases: the same on every machine."""
    document = dict(artifact.document)
    document["inputs"] = {role: names[digest] for role, digest in document["inputs"].items()}
    document["model"] = "tiny"
    document["params"] = {
        name: "masked" if name in MASKED and value is not None else value for name, value in document["params"].items()
    }
    return part_key(document)


def summary(artifact: Artifact, name: str) -> dict[str, Any]:
    """Shapes and sizes of a file, and how large its numbers are."""
    if name.endswith(".safetensors"):
        tensors = artifact.read_arrays(name)
        return {each: [list(value.shape), _norm(value)] for each, value in sorted(tensors.items())}
    if name.endswith(".parquet"):
        table = artifact.read_table(name)
        columns = {each: table.column(each).to_numpy(zero_copy_only=False) for each in table.column_names}
        return {each: [len(value), _norm(value)] for each, value in columns.items()}
    numbers = list(_numbers(artifact.read_json(name)))
    return {"numbers": [len(numbers), _norm(np.array(numbers))]}


def _norm(values: Any) -> float | None:
    """Root mean square of those that are finite; None of what is no number."""
    if values.dtype.kind not in "fiu" or not values.size:
        return None
    floats = values.astype(np.float64)
    return float(np.sqrt(np.mean(floats[np.isfinite(floats)] ** 2))) if np.isfinite(floats).any() else None


def _numbers(document: Any) -> Iterator[float]:
    if isinstance(document, dict):
        document = list(document.values())
    if isinstance(document, list):
        for each in document:
            yield from _numbers(each)
    elif isinstance(document, int | float) and not isinstance(document, bool):
        yield float(document)


def read_golden() -> dict[str, Any]:
    """The list as it is stored."""
    golden: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
    return golden
