"""The files of a model folder that loading reads: what is hashed is what is loaded, nothing comes from elsewhere."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from pasctl.errors import InputError, MissingError, PasctlError
from pasctl.json_file import read_json
from pasctl.models.layout import (
    ADAPTER,
    CUSTOM_GENERATE,
    GENERATION,
    INDEX,
    OTHER_VOCABULARIES,
    TOKENIZER_FILES,
    WEIGHTS,
    bundled_name,
    matching,
)
from pasctl.models.shards import read_shards

_OWN_CODE = re.compile(r"(?P<module>\w+(/\w+)*)\.\w+", re.ASCII)
_VERSIONED = {"configuration_files": "config", "fast_tokenizer_files": "tokenizer"}


@dataclass(frozen=True)
class ModelFiles:
    """What loading a model folder reads, or could read.

    Attributes:
        config: config.json.
        weights: the files that are opened: model.safetensors, or the index and the shards that it names.
        tokenizer: of the tokenizer and the chat template.
        others: rarer ones: vocabularies of other classes of tokenizers, and files for one version of transformers.
        code: Python files, if the folder names code that `trust_remote_code` would run.
        generation: generation_config.json. It is in no digest: of what it says only `own_ends` matters to pasctl.
    """

    config: Path
    weights: tuple[Path, ...]
    tokenizer: tuple[Path, ...]
    others: tuple[Path, ...]
    code: tuple[Path, ...]
    generation: tuple[Path, ...]

    def __iter__(self) -> Iterator[Path]:
        """All of them."""
        return iter((self.config, *self.weights, *self.tokenizer, *self.others, *self.code, *self.generation))


class FileStamp(NamedTuple):
    """By what a file's change is noticed."""

    path: str
    size: int
    mtime_ns: int
    inode: int


def list_model_files(folder: Path) -> ModelFiles:
    """The files of a model folder that loading it reads. The digests are of these, and the loader checks the same list.

    Raises:
        InputError: it would load a file outside the folder, a pickle, or an adapter.
        MissingError: a file that it names is not there.
    """
    config = read_document(folder / "config.json")
    words = read_document(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if (folder / ADAPTER).is_file():
        raise InputError(
            f"{folder} holds {ADAPTER}: whether that adapter is loaded depends on what is installed",
            hint="merge it (peft: merge_and_unload, then save_pretrained), or take that file out of the folder",
        )
    if _values(config, "transformers_weights"):
        raise InputError(
            f"{folder}: config.json names its own weights file (transformers_weights), which pasctl does not follow",
            hint="take that line out and call the file model.safetensors",
        )
    others = {*matching(folder, OTHER_VOCABULARIES), *_versioned(folder, config), *_versioned(folder, words)}
    files = ModelFiles(
        folder / "config.json",
        tuple(_weights(folder)),
        tuple(sorted(matching(folder, TOKENIZER_FILES))),
        tuple(sorted(others)),
        tuple(_code(folder, config, words)),
        tuple(matching(folder, (GENERATION,))),
    )
    if bundled_name(folder) is None:  # some installers link the package's own files
        for path in (*files.weights, *files.code):
            _require_inside(path, folder)
    return files


def tokenizer_documents(folder: Path) -> list[Path]:
    """The files of a folder that a tokenizer is built from by the library of that name."""
    named = folder / "tokenizer_config.json"
    versioned = _versioned(folder, read_document(named)) if named.is_file() else ()
    return sorted({*matching(folder, ("tokenizer.json", "tekken.json")), *versioned})


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        InputError: it is no JSON, or no object.
        MissingError: it cannot be read.
    """
    try:
        content = read_json(path, constants=True)
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected an object, found {type(content).__name__}")
    return content


def own_ends(folder: Path) -> list[int] | None:
    """Tokens that end a text by the folder's generation_config.json, if its config.json does not name the same ones.

    Part of the keys of what a model wrote. None, the usual case, leaves keys as they are without that file.

    Raises:
        InputError: one of the files is no JSON object.
    """
    if not (folder / GENERATION).is_file():
        return None
    own, usual = (_ends(read_document(folder / name)) for name in (GENERATION, "config.json"))
    return None if own == usual else sorted(own)


def require_own_code(folder: Path, files: ModelFiles) -> None:
    """Refuse to run code that is not the model's own, before `trust_remote_code` runs any.

    Raises:
        InputError: config.json or tokenizer_config.json names code of another repository or outside the folder.
    """
    generate = folder / CUSTOM_GENERATE
    if generate.is_file() and generate not in files.code:
        raise InputError(f"{generate} is in a folder that is a link, so its code is not the model's own")
    for name in ("config.json", "tokenizer_config.json"):
        document = read_document(folder / name) if (folder / name).is_file() else {}
        for value in _values(document, "auto_map"):
            for reference in _texts(value):
                match = _OWN_CODE.fullmatch(reference)
                if match is None or folder / f"{match['module']}.py" not in files.code:
                    raise InputError(
                        f"{folder}/{name} wants to run {reference!r}, which is not a file of this model",
                        hint="copy that code into the model's folder, read it, and name it there as module.Class",
                    )


def stamps(paths: Iterable[Path]) -> tuple[FileStamp, ...]:
    """Size, time and inode of each file as it is now.

    Raises:
        MissingError: one is not there.
    """
    return tuple(_stamp(path) for path in paths)


def require_unchanged(spec: str, before: tuple[FileStamp, ...], after: tuple[FileStamp, ...]) -> None:
    """Refuse a model whose files changed since `before`: its key would be another model's.

    Raises:
        PasctlError: a file was written, replaced, added or removed.
    """
    changed = sorted({stamp.path for stamp in {*before} ^ {*after}})
    if changed:
        raise PasctlError(
            f"{spec} changed while it was read: {changed[0]} is not as it was when its digest was taken",
            hint="run the same command again when nothing writes to the model",
        )


def _ends(document: Mapping[str, Any]) -> set[int]:
    ends = document.get("eos_token_id")
    return {token for token in (ends if isinstance(ends, list) else [ends]) if isinstance(token, int)}


def _stamp(path: Path) -> FileStamp:
    try:
        stat = path.stat()
    except OSError as error:
        raise MissingError(f"cannot read {path}: {error.strerror or error}") from error
    return FileStamp(str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)


def _weights(folder: Path) -> list[Path]:
    """As transformers chooses them: one whole file goes before an index."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        raise MissingError(
            f"{folder} is no complete model folder: neither {WEIGHTS} nor {INDEX} is there",
            hint="weights of other names are not loaded; an index says which file holds which weight",
        )
    return [folder / INDEX, *read_shards(folder)]


def _code(folder: Path, config: Mapping[str, Any], words: Mapping[str, Any]) -> list[Path]:
    named = _values(config, "auto_map") or _values(words, "auto_map") or (folder / CUSTOM_GENERATE).is_file()
    return sorted(path for path in folder.rglob("*.py") if path.is_file()) if named else []


def _versioned(folder: Path, document: Mapping[str, Any]) -> Iterator[Path]:
    """Files that a version of transformers reads in the place of config.json or tokenizer.json."""
    for key, stem in _VERSIONED.items():
        for name in _texts(document.get(key)):
            if re.fullmatch(rf"{stem}(\.[\w.+-]{{1,200}})?\.json", name, re.ASCII) is None:
                raise InputError(
                    f"{folder}: {key} names {name!r}, expected a file of the folder such as {stem}.5.0.0.json"
                )
            if name != f"{stem}.json" and (folder / name).is_file():
                yield folder / name


def _require_inside(path: Path, folder: Path) -> None:
    """Refuse a link out of the folder; the hub's cache links to the blobs of the same repository."""
    root = folder.resolve()
    blobs = root.parent.parent / "blobs" if root.parent.name == "snapshots" else root
    place = root / path.relative_to(folder)
    for _ in range(40):  # as many links as the system follows
        if not place.is_symlink():
            break
        place = Path(os.path.normpath(place.parent / place.readlink()))
        if place.parent == blobs:
            return
    if not place.is_relative_to(root):
        raise InputError(
            f"{path} is a link to {place}, outside the model's folder",
            hint="copy the file there (or make a hard link), or give the folder that it is in",
        )


def _values(document: Any, key: str) -> list[Any]:
    """What stands under a key, at any depth; an empty value counts as none."""
    if isinstance(document, list):
        return list(chain.from_iterable(_values(inner, key) for inner in document))
    if not isinstance(document, Mapping):
        return []
    own = [document[key]] if document.get(key) else []
    return [*own, *chain.from_iterable(_values(inner, key) for inner in document.values())]


def _texts(value: Any) -> list[str]:
    """The texts in a value, such as a list of names or a mapping to them."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return list(chain.from_iterable(_texts(item) for item in inner))
