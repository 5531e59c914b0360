"""The second bundled model: events that begin where it is surprised are the scenes of a text."""

from __future__ import annotations

import re

import numpy as np

import pasctl
from pasctl.demo.reading import CONTEXT, MEMORY, READER
from pasctl.memory.episodic import EpisodicMemory
from pasctl.memory.tasks import TASKS


def test_scenes_begin_where_events_cut_at_surprise_do() -> None:
    model = pasctl.load_model(READER, dtype="float32")
    memory = EpisodicMemory(model, params=MEMORY)
    trial = TASKS.get("scenes")(8 * CONTEXT, 0.3, 100, lambda text: len(memory.prompt.encode(text)))
    memory.read(trial.text)
    memory.finish()
    starts = memory.prompt.encode_with_starts(trial.text)[1]
    # the user token comes before the text's
    scenes = 1 + np.searchsorted(starts, [each.start(1) for each in re.finditer(r"(\w+) stood ", trial.text)])
    events = np.array(memory.reader.past.events.starts)
    near = (np.abs(scenes[:, None] - events) <= 1).any(1)
    anywhere = (np.abs(np.arange(len(starts))[:, None] - events) <= 1).any(1)
    assert len(scenes) > 40
    assert near.mean() > 0.9
    assert anywhere.mean() < 0.3  # what chance gives
