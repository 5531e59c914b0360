"""Everything of pasctl that reads a file which others may have written, each as a function of one mutant."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from tests.fuzz.reader import CORPUS, Reader
from tests.fuzz.store_readers import STORE_READERS
from tests.fuzz.table_readers import TABLE_READERS


def _model_folder(folder: Path) -> None:
    """A model folder whose weights and vocabulary are not looked at before it loads."""
    shutil.copy(CORPUS / "config" / "tiny-config.json", folder / "config.json")
    shutil.copy(CORPUS / "model" / "tiny-model.safetensors.index.json", folder / "model.safetensors.index.json")
    (folder / "tokenizer.json").write_text("{}")
    weights = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    header = json.dumps({name: {} for name in weights}).encode()  # no more than its names is read
    (folder / "model-1-of-1.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def _model(folder: Path) -> None:
    from pasctl.models.identity import read_context, resolve_model

    resolve_model(str(folder))
    read_context(folder)


def _gguf(folder: Path) -> None:
    from pasctl.models import gguf_header

    path = folder / "model.gguf"
    for read in (gguf_header.read_gguf_sizes, gguf_header.read_gguf_tensor_names, gguf_header.read_gguf_header):
        read(path)


def _tensors(folder: Path) -> None:
    from pasctl.store.payload import decode_tensors

    decode_tensors(folder / "x.safetensors")


def _table(folder: Path) -> None:
    from pasctl.store.payload import decode_table

    decode_table(folder / "x.parquet").to_pylist()


def _json(folder: Path) -> None:
    from pasctl.store.payload import decode_json

    decode_json(folder / "x.json")


def _manifest(folder: Path) -> None:
    """What `store ls`, `show`, `lineage` and `explain` take from a manifest."""
    from pasctl.cli.store import plain
    from pasctl.store.artifact import Artifact
    from pasctl.store.keys import explain
    from pasctl.store.manifest import read_manifest

    place = folder / Path(MANIFEST_PLACE).parent
    manifest = read_manifest(place)
    artifact = Artifact(manifest["key"], manifest, place)
    about: list[Any] = [artifact.name, artifact.size, artifact.files(), artifact.inputs, artifact.parts]
    about += [
        artifact.params,
        artifact.created_at[:19],
        artifact.stage_version,
        artifact.stage,
        artifact.content_digest,
    ]
    for values in (artifact.document, artifact.provenance, artifact.params):
        about += [plain(value) for value in values.values()]
    explain(artifact.document, {"params": {}})
    artifact.digest_of(artifact.files()[0]) if artifact.files() else None


MANIFEST_KEY = "0" * 64
MANIFEST_PLACE = f"objects/probes/00/{MANIFEST_KEY}/manifest.json"


def _answers(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from pasctl.inventory import builtin_inventory
        from pasctl.inventory.answers import read_answers

        return read_answers(folder / name, builtin_inventory()).digest

    return read


def _personas(folder: Path) -> object:
    from pasctl.inventory import builtin_inventory
    from pasctl.inventory.spec import open_personas

    return open_personas(str(folder / "people.parquet"), builtin_inventory()).digest


def _papi_split(folder: Path) -> object:
    from pasctl.inventory import papi

    return papi._read_split(folder)


def _papi_answers(folder: Path) -> object:
    from pasctl.inventory import builtin_inventory
    from pasctl.inventory.papi import stored_answers

    return stored_answers(folder, builtin_inventory())


def _pairs(suffix: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from pasctl.contrasts.pairs import read_pairs

        return read_pairs(folder / f"pairs{suffix}")

    return read


def _config(folder: Path) -> object:
    import os
    from unittest.mock import patch

    from pasctl.cli.config import read_config

    with patch.dict(os.environ, PASCTL_CONFIG=str(folder / "pasctl.toml")):  # of this call alone
        return read_config(_command())


@cache
def _command() -> Any:
    import typer

    from pasctl.cli.app import app

    return typer.main.get_command(app)


def _segment(folder: Path) -> object:
    import torch

    from pasctl.errors import PasctlError
    from pasctl.memory.segments import Segments
    from pasctl.memory.stored_text import read_text

    path = folder / "segment.safetensors"
    with suppress(PasctlError):
        segments = Segments(2, 1, 4, torch.float32)
        segments.attach(path, 0, 3)
        segments.read(0, [(0, 3)])
    return read_text([path])


def _journal(folder: Path) -> object:
    from pasctl.chat.journal import Journal

    return Journal(folder, "model", "label").read()


def _survey(folder: Path) -> object:
    from pasctl.inventory import builtin_inventory
    from pasctl.survey.answer_file import read_file
    from pasctl.survey.session import Session

    file = read_file(folder / "answers.json", builtin_inventory(), "ada")
    return Session.begin(tuple(item.id for item in builtin_inventory().items), file.entries)


def _survey_note(folder: Path) -> object:
    from pasctl.inventory import builtin_inventory
    from pasctl.survey.answer_file import read_note, require_same

    path = folder / "answers.json"
    path.write_text("{}")
    note = read_note(path)
    require_same(path, note, builtin_inventory())
    return note


def _record(folder: Path) -> object:
    from pasctl.export.files import read_record

    return read_record(folder)


def _inspected(folder: Path) -> object:
    from pasctl.export.inspection import inspect_files

    return inspect_files(folder / "x.gguf")[0].to_json()


def _vectors(name: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from pasctl.export.origin import read_origin
        from pasctl.stages.import_vector import read_vectors

        read_origin(folder / name)
        return {layer: vector.numel() for layer, vector in read_vectors(folder / name).layers.items()}

    return read


def _origin(folder: Path) -> object:
    from pasctl.export.origin import read_origin

    return read_origin(folder)


def _tokenizer_config(folder: Path) -> object:
    from pasctl.models.stored_form import form_digest

    _model(folder)
    return form_digest(folder)


def _generation_config(folder: Path) -> object:
    from pasctl.models.model_files import own_ends

    return own_ends(folder)


def _hub_ref(folder: Path) -> object:
    from huggingface_hub import constants

    from pasctl.models.hub import resolve_commit

    constants.HF_HUB_CACHE, constants.HF_HUB_OFFLINE = str(folder), True
    return resolve_commit("org/name", None)


def _keys(folder: Path) -> object:
    from pasctl.serving.keys import read_keys

    return read_keys(folder / "keys.txt")


def _prompts(folder: Path) -> object:
    from pasctl.commands.say import Say
    from pasctl.evaluation.neutral import read_neutral
    from pasctl.stages.say import read_prompts
    from pasctl.stages.text import Text

    path = folder / "prompts.txt"
    Text.load(path), read_neutral(str(path))
    return read_prompts(Say(model="demo", prompts=str(path)))


def _prose(folder: Path) -> object:
    from pasctl.inventory.prose import load_prose

    return load_prose(str(folder / "prose.json"), ["ada", "bob"])


def _inventory(suffix: str) -> Callable[[Path], object]:
    def read(folder: Path) -> object:
        from pasctl.inventory import load_inventory, question

        inventory = load_inventory(str(folder / f"inventory{suffix}"))
        return inventory.digest, [question(item, inventory) for item in inventory.items[:3]]

    return read


READERS: dict[str, Reader] = {
    "model config": Reader("config", "config.json", _model, _model_folder),
    "weights index": Reader("model", "model.safetensors.index.json", _model, _model_folder),
    "GGUF header": Reader("gguf", "model.gguf", _gguf),
    "safetensors": Reader("safetensors", "x.safetensors", _tensors),
    "Parquet table": Reader("parquet", "x.parquet", _table),
    "JSON payload": Reader("json", "x.json", _json),
    "manifest": Reader("manifest", MANIFEST_PLACE, _manifest),
    "answers JSON": Reader("answers", "answers.json", _answers("answers.json"), suffixes=(".json",)),
    "answers CSV": Reader("answers", "answers.csv", _answers("answers.csv"), suffixes=(".csv",)),
    "personas Parquet": Reader("parquet", "people.parquet", _personas),
    "PAPI split": Reader("papi-split", "mpi_300_split.json", _papi_split),
    "PAPI answers": Reader("papi-answers", "Test-set.json", _papi_answers),
    "pairs JSON": Reader("pairs", "pairs.json", _pairs(".json"), suffixes=(".json",)),
    "pairs JSON lines": Reader("pairs", "pairs.jsonl", _pairs(".jsonl"), suffixes=(".jsonl",)),
    "pairs CSV": Reader("pairs", "pairs.csv", _pairs(".csv"), suffixes=(".csv",)),
    "pasctl.toml": Reader("toml", "pasctl.toml", _config),
    "memory segment": Reader("segment", "segment.safetensors", _segment),
    "chat journal": Reader("journal", "chats/model/label.json", _journal),
    "survey file": Reader("answers", "answers.json", _survey, suffixes=(".json",)),
    "survey note": Reader("note", "answers.json.survey", _survey_note),
    "export record": Reader("record", "pasctl_export.json", _record),
    "control vector": Reader("vector", "x.gguf", _inspected, suffixes=(".gguf",)),
    "vectors in safetensors": Reader("vector", "v.safetensors", _vectors("v.safetensors"), suffixes=(".safetensors",)),
    "vectors in JSON": Reader("vector", "v.json", _vectors("v.json"), suffixes=(".json",)),
    "steered config": Reader("origin", "config.json", _origin),
    "prose": Reader("prose", "prose.json", _prose),
    "inventory YAML": Reader("inventory", "inventory.yaml", _inventory(".yaml"), suffixes=(".yaml",)),
    "inventory JSON": Reader("inventory", "inventory.json", _inventory(".json"), suffixes=(".json",)),
    "inventory CSV": Reader("inventory", "inventory.csv", _inventory(".csv"), suffixes=(".csv",)),
    "tokenizer config": Reader("tokenizer", "tokenizer_config.json", _tokenizer_config, _model_folder, share=0.1),
    "generation config": Reader("generation", "generation_config.json", _generation_config, _model_folder),
    "reference of the hub": Reader("hub-ref", "models--org--name/refs/main", _hub_ref),
    "API keys": Reader("keys", "keys.txt", _keys),
    "prompts": Reader("text", "prompts.txt", _prompts),
    **STORE_READERS,
    **TABLE_READERS,
}
