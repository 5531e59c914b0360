"""The PAPI dataset on the Hugging Face hub: taken into the hub's own cache, and found there again without network."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

from pasctl.errors import MissingError
from pasctl.inventory.items import listing
from pasctl.inventory.papi import LAYOUT, PAPI_FILES

REPO = "WestlakeNLP/PAPI-300K"
TIMEOUT = 10.0  # seconds for the hub to answer
_LOCAL = f"or name a local folder, papi:DIR; {LAYOUT}"


def pull_papi(revision: str | None = None, *, endpoint: str | None = None, cache_dir: Path | None = None) -> Path:
    """Downloads the known files of the dataset, wherever in its tree they are.

    Args:
        revision: Branch, tag or commit; None is the default branch.
        endpoint: The hub's address; None is huggingface_hub's own (HF_ENDPOINT).
        cache_dir: None is the hub's own cache (HF_HOME, HF_HUB_CACHE).

    Returns:
        The folder in the snapshot that the files are in or below; `papi_inventory` and `papi_personas` read it.

    Raises:
        MissingError: the hub cannot be reached, has no such dataset, or the dataset lacks a known file.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    # A bad HTTP status is an HfHubHTTPError; a refused connection is the class it derives from, which belongs to the
    # hub's HTTP client (httpx or httpx2, by version); offline mode and a full disk are OSErrors; a malformed revision
    # is a ValueError.
    failures: tuple[type[BaseException], ...] = (*HfHubHTTPError.__mro__[:2], OSError, ValueError)
    try:
        # Not list_repo_files: that one asks again for 20 seconds before it says that there is no network.
        info = HfApi(endpoint=endpoint).dataset_info(REPO, revision=revision, timeout=TIMEOUT)
        files = [sibling.rfilename for sibling in info.siblings or []]
        wanted = [name for name in files if PurePosixPath(name).name in PAPI_FILES]
        _require_all(wanted, files)
        folder = snapshot_download(
            REPO, repo_type="dataset", revision=revision, endpoint=endpoint, cache_dir=cache_dir, allow_patterns=wanted
        )
    except failures as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise MissingError(
            f"cannot get dataset {REPO} from the hub: {reason}", hint=f"try again with network, {_LOCAL}"
        ) from error
    return _data_folder(Path(folder))


def cached_papi(revision: str | None = None, *, cache_dir: Path | None = None) -> Path:
    """The folder that `pull_papi` left in the cache; never asks the network."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = [pattern for name in PAPI_FILES for pattern in (name, f"*/{name}")]
    try:
        folder = snapshot_download(
            REPO,
            repo_type="dataset",
            revision=revision,
            cache_dir=cache_dir,
            allow_patterns=patterns,
            local_files_only=True,
        )
    except LocalEntryNotFoundError as error:
        raise MissingError(
            f"dataset {REPO} is not in the hub's cache", hint=f"run `pasctl data pull papi`, {_LOCAL}"
        ) from error
    return _data_folder(Path(folder))


def _data_folder(snapshot: Path) -> Path:
    """The deepest folder that holds all known files of a snapshot: the reader does not search deep trees."""
    found = [path.parent for name in PAPI_FILES for path in snapshot.rglob(name)]
    return Path(os.path.commonpath(found)) if found else snapshot


def _require_all(wanted: list[str], files: list[str]) -> None:
    """Says what the repository holds when it does not hold what the reader needs."""
    names = {PurePosixPath(name).name for name in wanted}
    absent = [name for name in PAPI_FILES if name not in names]
    if absent:
        raise MissingError(
            f"dataset {REPO} has no {', '.join(absent)}; it has {len(files)} files: {listing(files, 8) or 'none'}",
            hint=f"name a local folder, papi:DIR; {LAYOUT}",
        )
