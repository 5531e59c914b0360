"""An episodic memory that a store keeps: what its artifact holds, and saving one that was read in Python."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pasctl.errors import InputError
from pasctl.memory import episodic
from pasctl.memory.checkpoint import Written, checkpoint, states_of, text_end
from pasctl.memory.reader import Reader
from pasctl.memory.steps import written_bytes
from pasctl.memory.stored_text import read_segment
from pasctl.memory.text_bounds import FACTS, TEXT_BOUNDS, file_facts, to_table
from pasctl.models.layer_states import PREFIX
from pasctl.stages.arrays import to_store
from pasctl.stages.job import Job, Payload, Stage, StageContext
from pasctl.stages.model import ModelHandle
from pasctl.stages.runner import Artifact, Store, open_store, run_job
from pasctl.stages.segment_files import SEGMENTS
from pasctl.steering.intervention import Intervention

SAVE = Stage("memory-save", "memory", 2)
STEERING = "steering.safetensors"
STATES = "states.safetensors"
"""What reading goes on from at the end of the text; segments have none of it, as only the last is used."""
_ENDS = "parts/segments/"
"""What reading goes on from at the end of each of the last segments, until the text has been read."""
_KEPT_ENDS = 128


class EpisodicMemory(episodic.EpisodicMemory):
    """EM-LLM's memory for one text: `read` it, `ask` about it, `save` it in a store (see `pasctl.open_memory`)."""

    def save(self, store: Store | Path | str = "artifacts", *, label: str = "text") -> Artifact:
        """Keep the memory as an artifact; the same memory is kept once.

        Args:
            store: the store or its folder.
            label: last part of the artifact's name.

        Raises:
            InputError: nothing was read, or the label cannot be part of a name.
            StoreError: the store cannot be written.
        """
        if not self.reader.ids:
            raise InputError("nothing was read, expected a text before the memory is saved")
        described = self.describe()
        self.finish()
        handle = ModelHandle.of(self.model)
        steering = None if self.intervention is None else _digest(steering_tensors(self.intervention).values())
        job = Job(
            stage=SAVE,
            model=handle.slug,
            label=label,
            params={"memory": self.params.recorded(), "state": self._state(), "steering": steering},
            inputs={},
            identity=handle.identity,
            numerics=handle.numerics(self.params.seed) | {"attn": "memory"},
            compute=partial(self._payload, described),
            provenance={"model": handle.provenance()},
            writes=self._bytes,
            keeps_label=True,
        )
        made = run_job(open_store(store), job).artifact
        if made is None:
            raise RuntimeError("a job without dry run gives an artifact")
        return made

    def _payload(self, described: dict[str, object], work: StageContext) -> Payload:
        """Segment by segment; the last one has the state, the first one what stands for the events."""
        write, before = segment_writer(work), Written()
        for number, (start, stop) in enumerate(self.reader.past.segments.spans):
            write(number, checkpoint(self.reader, start, stop, before))
            before = Written.by(self.reader)
        if self.intervention is not None:
            write_steering(work, self.intervention)
        bounds = self.bounds() if callable(self.bounds) else self.bounds
        work.provenance[FACTS] = file_facts(bounds)
        return {
            "memory.json": described,
            STATES: end_arrays(self.reader),
            **({TEXT_BOUNDS: to_table(bounds)} if bounds else {}),
        }

    def _bytes(self) -> int:
        """What its segments will take on disk."""
        segments, events = self.reader.past.segments, self.reader.past.events.evicted
        vectors, width = segments.layers * segments.kv_heads, segments.head_dim
        return written_bytes(self.params, vectors, width, segments.dtype.itemsize, len(self.reader.ids), events)

    def _state(self) -> str:
        """Digest of what was read and how it was cut; with model and parameters it determines all the rest."""
        reader = self.reader
        parts = [torch.tensor(reader.ids), torch.tensor(reader.past.events.starts), reader.surprise]
        return _digest(part.numpy() for part in parts)


def segment_name(number: int) -> str:
    """The file of segment `number`."""
    return f"{SEGMENTS}{number:06d}.safetensors"


def segment_writer(work: StageContext) -> episodic.Writer:
    """Writes segments into the unfinished artifact of a stage."""

    def write(number: int, tensors: dict[str, Tensor]) -> Path:
        name, states = segment_name(number), states_of(tensors)
        large = any(each.startswith(PREFIX) for each in states)
        if states and not large:  # first, so that each segment that is there can be read on from
            work.write(_end_name(number), _arrays(states))
        work.write(name, _arrays({each: tensor for each, tensor in tensors.items() if each not in states}))
        if large:  # only the latest is kept: behind the segment, so that it is never ahead of it
            work.write(STATES, _arrays(states))
        return work.path(name)

    return write


def begun(work: StageContext, parent: Artifact | None) -> tuple[list[Path], Path | None]:
    """The segments that an interrupted stage has of a text, and what it goes on from, for `EpisodicMemory.restore`.

    Args:
        work: the stage.
        parent: the memory that is extended, whose segments it has adopted.
    """
    files: list[Path] = []
    while work.has(segment_name(len(files))):
        files.append(work.path(segment_name(len(files))))
    if files and work.has(STATES) and int(work.read_tensors(STATES)["tokens"][0]) <= _stop(files[-1]):
        return files, work.path(STATES)
    old = 0 if parent is None else len(parent.files(SEGMENTS))
    while len(files) > old and not _has_end(work, files):
        files.pop()
    if len(files) > old:
        return files, work.path(_end_name(len(files) - 1))
    return files, None if parent is None else states_path(parent)


def _has_end(work: StageContext, files: Sequence[Path]) -> bool:
    """Whether what reading goes on from at the end of the last of some segments is there."""
    name = _end_name(len(files) - 1)
    if not work.has(name):
        return False
    return int(work.read_tensors(name)["tokens"][0]) == _stop(files[-1])


def _stop(segment: Path) -> int:
    """The token behind the last one of a segment."""
    return int(read_segment(segment, ("counts",), "numpy")["counts"][1])


def end_arrays(reader: Reader) -> dict[str, Any]:
    """The content of `STATES` when a text has been read."""
    return _arrays(text_end(reader))


def _arrays(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {name: to_store(tensor) for name, tensor in tensors.items()}


def _end_name(number: int) -> str:
    return f"{_ENDS}{number % _KEPT_ENDS:06d}.safetensors"


def states_path(memory: Artifact) -> Path | None:
    """The file of what reading goes on from; None if the last segment has it, as in memories of versions before."""
    return memory.open_path(STATES) if STATES in memory.files() else None


def steering_tensors(intervention: Intervention) -> dict[str, np.ndarray[Any, Any]]:
    """Displacements as an artifact holds them: layer number -> float32 [1, H * D]."""
    return {str(layer): rows.float().cpu().numpy() for layer, rows in sorted(intervention.displacements.items())}


def write_steering(work: StageContext, intervention: Intervention) -> None:
    """Keep the displacement that a memory is read with, so that it is asked with the same one."""
    work.write(STEERING, steering_tensors(intervention))


def read_steering(memory: Artifact) -> Intervention | None:
    """The displacement that a memory was read with, if there was one."""
    if STEERING not in memory.files():
        return None
    arrays = memory.read_arrays(STEERING)
    return Intervention({int(layer): torch.from_numpy(rows) for layer, rows in arrays.items()})


def _digest(arrays: Iterable[np.ndarray[Any, Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str(array.shape).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
