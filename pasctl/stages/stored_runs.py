"""Runs as an artifact holds them: a folder per text, named by the text's digest, and a list of the files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pasctl.errors import IntegrityError
from pasctl.memory.stored_text import SCALES
from pasctl.memory.text_bounds import FACTS, FileSpan, TextBounds
from pasctl.stages.segment_files import segment_files

if TYPE_CHECKING:
    from torch import Tensor

    from pasctl.memory.rounded import Rounded
    from pasctl.memory.runs import Run
    from pasctl.stages.runner import Artifact

RUNS = "runs.json"
FOLDER = "runs/"
COMMON = "representative_offsets"
"""What representatives are kept without."""


@dataclass(frozen=True)
class RunFile:
    """A file of a memory of runs.

    Attributes:
        name: within its folder.
        digest: sha256 of its text; files of one digest share a run.
        tokens: of the text.
        segments: tokens of each file of keys and values.
    """

    name: str
    digest: str
    tokens: int
    segments: tuple[int, ...]

    @property
    def place(self) -> str:
        """What the names of its files begin with."""
        return f"{FOLDER}{self.digest}/"

    @property
    def facts(self) -> str:
        """The file with everything but keys and values; it is written last."""
        return f"{self.place}run.safetensors"

    def segment(self, number: int) -> str:
        """The file of segment `number`."""
        return f"{self.place}{number:06d}.safetensors"


def has_runs(memory: Artifact) -> bool:
    """Whether a memory is made of runs."""
    return RUNS in memory.files()


def run_files(memory: Artifact) -> list[RunFile]:
    """The files of a memory of runs, in order.

    Raises:
        IntegrityError: the list is damaged.
    """
    return [_run_file(each, memory.name) for each in memory.read_json(RUNS)["files"]]


def opening_of(memory: Artifact) -> list[int]:
    """Tokens that the chat template wrote before each of the runs."""
    return [int(token) for token in memory.read_json(RUNS)["opening"]]


def distinct(files: Sequence[RunFile]) -> list[RunFile]:
    """The first file of each text, in order: what the memory consists of."""
    return list({file.digest: file for file in reversed(files)}.values())[::-1]


def load_run(file: RunFile, arrays: dict[str, Any], path: Callable[[str], Path] | None = None) -> Run:
    """A run from its tensors, as the store gives them.

    Args:
        file: the file.
        arrays: of `RunFile.facts`.
        path: gives the place of a segment's file; None leaves keys and values out.
    """
    import torch

    from pasctl.memory.queries import UsualQueries
    from pasctl.memory.runs import Run

    segments = [] if path is None else [(path(file.segment(n)), tokens) for n, tokens in enumerate(file.segments)]
    return Run(
        arrays["ids"].astype(np.int64),
        torch.from_numpy(arrays["surprise"]),
        tuple(arrays["starts"].tolist()),
        *_representatives(arrays),
        UsualQueries(torch.from_numpy(arrays["usual_queries"]), torch.from_numpy(arrays["usual_counts"])),
        tuple(segments),
    )


def _representatives(arrays: dict[str, Any]) -> tuple[Rounded, Tensor]:
    """What stands for a run's events, which runs of versions before have in the model's dtype."""
    import torch

    from pasctl.memory.codec import common_part
    from pasctl.memory.rounded import Rounded
    from pasctl.stages.arrays import from_store

    vectors = from_store(arrays["representatives"])
    if SCALES in arrays:
        return Rounded(vectors, from_store(arrays[SCALES])), torch.from_numpy(arrays[COMMON])
    common = common_part(vectors.permute(1, 2, 0, 3))[:, :, 0]
    return Rounded.of(vectors, common), common


def stored_runs(memory: Artifact) -> list[Run]:
    """The runs of a memory, with keys and values.

    Raises:
        IntegrityError: a file is damaged.
    """
    files = distinct(run_files(memory))
    names = [file.segment(number) for file in files for number in range(len(file.segments))]
    paths = dict(zip(names, segment_files(memory, names), strict=True))
    return [load_run(file, memory.read_tensors(file.facts), paths.__getitem__) for file in files]


def run_bounds(memory: Artifact) -> list[TextBounds]:
    """Which characters of which files the tokens are."""
    first, bounds = len(opening_of(memory)), []
    times = {fact["name"]: fact["modified"] for fact in memory.provenance.get(FACTS) or ()}
    for file in distinct(run_files(memory)):
        arrays = memory.read_tensors(file.facts, ("characters", "newlines"))
        starts = np.asarray(arrays["characters"], np.int64)
        span = FileSpan(file.name, 0, int(starts[-1]), file.digest, times.get(file.name))
        bounds.append(TextBounds(first, starts, np.asarray(arrays["newlines"], np.int64), (span,)))
        first += file.tokens
    return bounds


def _run_file(entry: Any, name: str) -> RunFile:
    try:
        return RunFile(entry["name"], entry["digest"], entry["tokens"], tuple(entry["segments"]))
    except (TypeError, KeyError) as error:
        raise IntegrityError(f"{name}: an entry of {RUNS} is no file: {error}") from error
