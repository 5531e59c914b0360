"""Models on the Hugging Face hub: which commit a revision means, and the files of that commit."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pasctl.errors import InputError, MissingError
from pasctl.json_file import read_json
from pasctl.models.layout import VOCABULARIES, matching
from pasctl.models.shards import first_gap
from pasctl.models.transformers_compat import first_line

TIMEOUT_SECONDS = 5.0
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TEXT_PATTERNS = ["*.json", "*.jinja", "*.txt", "*.model", "additional_chat_templates/*"]
_PATTERNS = ["*.safetensors", *_TEXT_PATTERNS]  # no pickled weights, no .gguf, no code


@dataclass(frozen=True)
class HubCommit:
    """One commit of a hub repository; `family` if hub or cache told it, `folder` if the cache has files of it."""

    sha: str
    family: str | None
    folder: Path | None


def resolve_commit(repo: str, revision: str | None) -> HubCommit:
    """The commit that `revision` (branch, tag or sha; None = main) of `repo` means, from the hub or else its cache.

    Raises:
        MissingError: the hub has no such repository or revision, or it cannot be reached and the cache does not know.
        InputError: the repository holds no safetensors.
    """
    name = revision or "main"
    if _COMMIT.fullmatch(name):
        return _from_cache(repo, name)
    try:
        info = _ask_hub(repo, name)
    except MissingError:
        sha = _cached_ref(repo, name)
        if sha is None:
            raise
        return _from_cache(repo, sha)
    cached = _from_cache(repo, str(info.sha))
    if info.siblings and not any(file.rfilename.endswith(".safetensors") for file in info.siblings):
        raise InputError(
            f"{repo} holds no *.safetensors weights, and pasctl loads no pickled ones",
            hint="pick a repository with safetensors; of a GGUF repository, download the .gguf and pass its path",
        )
    told = info.config.get("model_type") if info.config else None
    return HubCommit(cached.sha, cached.family or told, cached.folder)


def hub_reachable() -> tuple[bool, str]:
    """Whether the hub answers now, and in words what it was asked or why it does not."""
    import urllib.request  # brings ssl and email along: not for every command

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False, "HF_HUB_OFFLINE is set: only cached models can be used"
    request = urllib.request.Request(f"{constants.ENDPOINT}/api/models?limit=1", method="GET")  # noqa: S310 - https
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):  # noqa: S310
            return True, f"{constants.ENDPOINT} answers"
    except OSError as error:
        reason = getattr(error, "reason", error)
        return False, f"{constants.ENDPOINT} does not answer ({reason}): only cached models can be used"


def fetch_snapshot(repo: str, sha: str, *, weights: bool = True) -> Path:
    """Folder with the model files of one commit, downloaded where the cache lacks them.

    Args:
        repo: hub id.
        sha: the commit.
        weights: fetch the weights too; without, only config and tokenizer.

    Raises:
        MissingError: files are missing from the cache and cannot be downloaded.
    """
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    patterns = _PATTERNS if weights else _TEXT_PATTERNS
    quiet = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        if not constants.HF_HUB_OFFLINE:
            snapshot_download(repo, revision=sha, allow_patterns=patterns, etag_timeout=TIMEOUT_SECONDS)
            cause = "the repository does not hold it"
        else:
            cause = "HF_HUB_OFFLINE is set"
    except Exception as error:  # the hub library has changed its HTTP client: transport errors have no common class
        cause = first_line(error)
    finally:
        if quiet:
            enable_progress_bars()
    folder = _snapshot(repo, sha)
    gap = first_gap(folder)
    if not weights and gap is not None and "safetensors" in gap:
        gap = None if matching(folder, VOCABULARIES) else VOCABULARIES[0]
    if gap is None:
        return folder
    raise MissingError(
        f"{repo}@{sha[:8]} is not complete in the hub's cache ({gap} is missing) and cannot be downloaded: {cause}",
        hint=_hint(repo),
    )


def _ask_hub(repo: str, revision: str) -> Any:
    """The hub's answer about one revision; every way not to get one is a MissingError."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise _unreachable(repo, revision, "HF_HUB_OFFLINE is set")
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, RevisionNotFoundError

    try:
        return HfApi().model_info(repo, revision=revision, timeout=TIMEOUT_SECONDS)
    except GatedRepoError as error:
        raise MissingError(
            f"{repo} is gated, and this account has no access to it",
            hint=f"ask for access at {constants.ENDPOINT}/{repo}, then `hf auth login`",
        ) from error
    except RevisionNotFoundError as error:
        raise MissingError(
            f"{repo} has no revision {revision!r}", hint="see the branches and tags on its page"
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status not in (401, 403, 404):  # the hub says 401 of what does not exist
            raise _unreachable(repo, revision, first_line(error)) from error
        raise MissingError(
            f"the hub has no model {repo!r} that this account may see ({status})",
            hint="check the spelling; a private or gated model needs `hf auth login`",
        ) from error
    except Exception as error:  # see fetch_snapshot
        raise _unreachable(repo, revision, first_line(error)) from error


def _unreachable(repo: str, revision: str, cause: str) -> MissingError:
    return MissingError(
        f"model {repo} (revision {revision}) is not in the hub's cache and the hub cannot be reached: {cause}",
        hint=_hint(repo),
    )


def _hint(repo: str) -> str:
    return (
        f"run `hf download {repo}` on a machine with network and copy its cache ($HF_HOME/hub) here, "
        "or give --model a local folder or a .gguf file"
    )


def _from_cache(repo: str, sha: str) -> HubCommit:
    folder = _snapshot(repo, sha)
    try:
        config = read_json(folder / "config.json", constants=True)
    except (OSError, ValueError):
        return HubCommit(sha, None, None)
    family = config.get("model_type") if isinstance(config, dict) else None
    return HubCommit(sha, family if isinstance(family, str) else None, folder)


def _repo_folder(repo: str) -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"


def _snapshot(repo: str, sha: str) -> Path:
    return _repo_folder(repo) / "snapshots" / sha


def _cached_ref(repo: str, revision: str) -> str | None:
    try:
        sha = (_repo_folder(repo) / "refs" / revision).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None
    return sha if _COMMIT.fullmatch(sha) else None
