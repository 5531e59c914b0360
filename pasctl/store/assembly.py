"""The folder of an artifact, put together next to its staged files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pasctl.store.disk import link_or_copy, make_durable, make_folder, temporary_path, write_temporary
from pasctl.store.manifest import MANIFEST


def assemble(place: Path, sources: Mapping[str, Path], manifest: bytes) -> Path:
    """A complete, durable artifact folder in `place`, made of links to `sources`; the manifest is written last."""
    folder = temporary_path(place)
    folders = {folder}
    for name, source in sources.items():
        target = folder / name
        make_folder(target.parent)
        folders.add(target.parent)
        link_or_copy(source, target)
    for inner in folders:
        make_durable(inner)
    written = write_temporary(folder, [manifest])
    written.path.rename(folder / MANIFEST)
    make_durable(folder)
    return folder
