"""A reader of pasctl's, and where its seeds are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Reader:
    """A reader and where it looks.

    Attributes:
        corpus: folder of its seeds in `corpus/`.
        place: where a mutant is put, relative to an empty folder.
        read: reads it; is given that folder, which `prepare` has filled.
        prepare: puts there what else the reader needs.
        suffixes: of the seeds it takes; () is all.
        share: of the mutants that it is given; less than all where each starts a process.
    """

    corpus: str
    place: str
    read: Callable[[Path], object]
    prepare: Callable[[Path], object] = lambda folder: None
    suffixes: tuple[str, ...] = ()
    share: float = 1.0

    def seeds(self) -> list[bytes]:
        """The contents of its seeds, in a fixed order."""
        paths = sorted((CORPUS / self.corpus).iterdir())
        return [path.read_bytes() for path in paths if not self.suffixes or path.suffix in self.suffixes]

    def mutants(self, count: int) -> int:
        """How many of `count` mutants it is given."""
        return round(count * self.share)
