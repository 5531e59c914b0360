"""Contrasts from a file of pairs: `pairs:FILE` (.jsonl, .json, .csv or .tsv, UTF-8)."""

from __future__ import annotations

from pathlib import Path

from pasctl.contrasts.contrast import Contrast
from pasctl.errors import InputError


def read_pairs(path: Path) -> Contrast:
    """The contrast that a file holds."""
    raise InputError(f"{path}: files of pairs are not read yet")
