"""One generation engine per model in this process, for whoever asks for it: personas then share its batches."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from pasctl.generation.engine import Engine
from pasctl.stages.model import ModelHandle

MAX_BATCH = 16
"""Texts written at the same time, where nobody says."""
QUEUE = 100_000  # a harness bounds its own requests


@dataclass(eq=False)
class _Shared:
    handle: ModelHandle
    engine: Engine
    users: int = 0


_engines: list[_Shared] = []
_lock = threading.Lock()


class SharedEngine:
    """A share in an engine: it is closed when the last share is.

    Attributes:
        engine: writes texts.
    """

    def __init__(self, handle: ModelHandle, *, max_batch: int = MAX_BATCH) -> None:
        """Take the engine of a model that is loaded like this one, or load it and start one.

        Args:
            handle: the model.
            max_batch: texts written at the same time, if the engine is started here.

        Raises:
            MissingError: the model is not there.
            InputError: its texts cannot share a pass.
        """
        with _lock:
            shared = next((each for each in _engines if handle.is_like(each.handle)), None)
            if shared is None:
                shared = _Shared(handle, Engine(handle.load(), max_batch=max_batch, queue=QUEUE))
                _engines.append(shared)
            shared.users += 1
        self._shared: _Shared | None = shared
        self.engine = shared.engine

    def close(self) -> None:
        """Give the share back; a second time has no effect."""
        with _lock:
            shared, self._shared = self._shared, None
            if shared is None:
                return
            shared.users -= 1
            if shared.users:
                return
            _engines.remove(shared)
        shared.engine.close()
