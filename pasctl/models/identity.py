"""Which model a word on the command line means, told so exactly that results can be keyed by it before it loads."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pasctl.errors import InputError, MissingError
from pasctl.models.digests import file_sha256, files_sha256
from pasctl.models.gguf_header import read_gguf_header
from pasctl.models.hub import resolve_commit
from pasctl.models.layout import BUNDLED, PICKLES, bundled_name, matching
from pasctl.models.model_files import FileStamp, list_model_files, read_document, stamps
from pasctl.models.shards import first_gap
from pasctl.text_file import expand_home

DEMO = "demo"
_ROTATION = ("rope_parameters", "rope_scaling")
_LENGTH_DEPENDENT = ("dynamic", "longrope", "su")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9_][\w.-]*", re.ASCII)


@dataclass(frozen=True)
class ModelSource:
    """One exact model: a commit on the hub, a folder's contents, or a .gguf file's.

    Attributes:
        spec: the words it was asked for with.
        kind: "hub", "folder" or "gguf"; "memory" for a model that was handed over as an object.
        path: folder or file; for a hub model the cached snapshot, None if nothing is cached yet.
        repo: hub id, and sha its commit; None unless kind is "hub".
        slug: short name for artifact names, [a-z0-9._-].
        identity: JSON-able; goes into store keys. Equal for equal contents wherever they are kept.
        family: transformers' model_type if it is cheaply known.
        context: tokens that the model's positions were made for, if that is cheaply known.
        files: of a folder or .gguf file, those that its identity is made of, as they were before they were read.
    """

    spec: str
    kind: Literal["hub", "folder", "gguf", "memory"]
    path: Path | None
    repo: str | None
    sha: str | None
    slug: str
    identity: dict[str, Any] = field(hash=False)
    family: str | None
    context: int | None = None
    files: tuple[FileStamp, ...] = field(default=(), compare=False, repr=False)


def resolve_model(spec: str, *, revision: str | None = None) -> ModelSource:
    """The model that `spec` means: one in the package, such as "demo"; an existing folder or .gguf file; or a hub id.

    Args:
        spec: "demo", "demo-reader", path or hub id "org/name". A folder of yours called demo is "./demo".
        revision: branch, tag or commit of a hub model; None = main.

    Raises:
        InputError: an unsupported family, pickled weights, weights from outside the folder, a damaged .gguf, a revision
            of a local model.
        MissingError: there is no such file, folder or hub model, or the hub cannot be reached and has nothing cached.
    """
    path = BUNDLED.get(spec) or expand_home(spec)
    if spec and path.exists():
        if revision is not None:
            raise InputError(f"{spec} is local and has no revision {revision!r}", hint="drop --revision")
        source = _folder_source(spec, path) if path.is_dir() else _gguf_source(spec, path)
    elif _looks_like_path(spec):
        raise MissingError(
            f"no such file or folder: {spec}", hint="give a model folder, a .gguf file, a hub id org/name, or demo"
        )
    elif not _HUB_ID.fullmatch(spec):
        raise MissingError(
            f"model {spec!r} is no file or folder here, and a hub id has the form org/name",
            hint="for example Qwen/Qwen3-0.6B",
        )
    else:
        source = _hub_source(spec, revision)
    return source


def _hub_source(repo: str, revision: str | None) -> ModelSource:
    commit = resolve_commit(repo, revision)
    identity = {"kind": "hub", "repo": repo, "sha": commit.sha}
    return ModelSource(
        repo, "hub", commit.folder, repo, commit.sha, _slug(repo.split("/")[-1]), identity, commit.family
    )


def _folder_source(spec: str, folder: Path) -> ModelSource:
    gap = first_gap(folder)
    if gap == "model.safetensors" and matching(folder, PICKLES):
        raise InputError(
            f"{spec} holds only pickled weights, which can run code when loaded; pasctl loads none",
            hint="convert them: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...) writes safetensors",
        )
    if gap is not None:
        raise MissingError(
            f"{spec} is no complete model folder: {gap} is missing",
            hint="a model folder holds config.json, *.safetensors and the tokenizer's files (tokenizer.json)",
        )
    files = list_model_files(folder)
    before = stamps(files)
    identity = {
        "kind": "folder",
        "config": file_sha256(files.config),
        "weights": files_sha256(folder, files.weights),
        "tokenizer": files_sha256(folder, files.tokenizer),
    }
    identity |= {
        name: files_sha256(folder, paths) for name, paths in (("others", files.others), ("code", files.code)) if paths
    }
    family = read_document(files.config).get("model_type")
    return ModelSource(
        spec,
        "folder",
        folder,
        None,
        None,
        _slug(bundled_name(folder) or folder.resolve().name),
        identity,
        family if isinstance(family, str) else None,
        read_context(folder),
        before,
    )


def _gguf_source(spec: str, file: Path) -> ModelSource:
    if file.suffix.lower() != ".gguf":
        raise InputError(
            f"{spec} is a file but no .gguf", hint="give a model folder, a .gguf file, a hub id org/name, or demo"
        )
    header = read_gguf_header(file)
    before = stamps([file])
    identity = {"kind": "gguf", "file": file_sha256(file)}
    slug = _slug(file.stem)
    return ModelSource(spec, "gguf", file, None, None, slug, identity, header.family, header.context, before)


def read_context(folder: Path, *, steady: bool = False) -> int | None:
    """Tokens that a model's positions were made for, as the config.json in its folder says; None if it does not.

    Args:
        folder: of the model.
        steady: see `context_of`.
    """
    return context_of(read_document(folder / "config.json"), steady=steady)


def context_of(config: Mapping[str, Any], *, steady: bool = False) -> int | None:
    """Tokens that a model's positions were made for, as its config says; None if it does not.

    Args:
        config: as config.json has it.
        steady: whether only those count up to which its attention does not depend on the length of the text.
    """
    inner = config.get("text_config")
    inner = inner if isinstance(inner, dict) else {}

    def number(name: str, *places: Mapping[str, Any]) -> int | None:
        found = next((place[name] for place in places if place.get(name)), None)
        return found if type(found) is int and found > 0 else None

    context = number("max_position_embeddings", config, inner)
    rotation = next((each for name in _ROTATION for each in (config.get(name), inner.get(name)) if each), None)
    if not steady or not isinstance(rotation, dict):
        return context
    if rotation.get("rope_type", rotation.get("type")) in _LENGTH_DEPENDENT or "llama_4_scaling_beta" in rotation:
        return number("original_max_position_embeddings", rotation, config, inner) or context
    return context


def _looks_like_path(spec: str) -> bool:
    separators = spec.count("/") + (spec.count(os.sep) if os.sep != "/" else 0)
    return spec.startswith((".", "/", "~")) or spec.lower().endswith(".gguf") or separators > 1 or not spec


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model"
