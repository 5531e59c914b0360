"""A memory that the disk has no room for is refused before anything is read, with what would fit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

import pasctl
from pasctl import ModelOptions, Text
from pasctl.errors import StoreError
from pasctl.models import load
from pasctl.stages.run import Run

SIZES = {"n_init": 8, "n_local": 96, "n_mem": 64, "chunk": 32, "min_block": 4, "max_block": 32}
OPTIONS = ModelOptions(dtype="float32", device="cpu")
STORY = Text("story.txt", "Nobody knew who had hidden the letter, and nobody worried about things. " * 60)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sources that were loaded."""
    loaded: list[Any] = []
    original = load.load_model
    monkeypatch.setattr(load, "load_model", lambda source, **how: (loaded.append(source), original(source, **how))[1])
    return loaded


def have(free: int, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage._replace(free=free))


def planned(folder: Path, store: Path, **options: Any) -> dict[str, Any]:
    run = Run(store, dry_run=True)
    return pasctl.memory_run(str(folder), [STORY], options=OPTIONS, run=run, **SIZES, **options).plan  # type: ignore[no-any-return]


@pytest.mark.parametrize("kv_dtype", ["model", "int8"])
def test_what_is_planned_is_what_is_written(tiny_folder: Path, tmp_path: Path, kv_dtype: str) -> None:
    """All but headers and lists of events; segments are as short here as they get, and the state of each is a third."""
    params = SIZES | {"kv_dtype": kv_dtype}
    made = pasctl.memory_run(str(tiny_folder), [STORY], options=OPTIONS, store=tmp_path / "store", **params)
    assert made.artifact is not None
    files = [load_file(path) for path in (made.artifact.path / "segments").iterdir()]
    written = {name: sum(tensors[name].nbytes for tensors in files) for name in files[0]}
    segments = sum(size for name, size in written.items() if name not in ("starts", "pending"))
    plan = planned(tiny_folder, tmp_path / "other", kv_dtype=kv_dtype)
    assert segments == pytest.approx(plan["bytes"], rel=0.05), written


def test_a_text_without_room_is_refused_before_the_model_is_loaded_with_what_would_fit(
    tiny_folder: Path, tmp_path: Path, loads: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(**options: Any) -> Any:
        return pasctl.memory_run(
            str(tiny_folder), [STORY], options=OPTIONS, store=tmp_path / "store", **SIZES, **options
        )

    plan, small = planned(tiny_folder, tmp_path), planned(tiny_folder, tmp_path, kv_dtype="int8")
    have(small["bytes"] - 1, monkeypatch, tmp_path)
    with pytest.raises(StoreError, match=r"store has .* free, and this will write") as caught:
        read()
    tokens = plan["tokens"]
    some = re.match(
        rf"of the {tokens:,} tokens about ([\d,]+), or ([\d,]+) with --kv-dtype int8 fit; or free",
        caught.value.hint or "",
    )
    assert some is not None, caught.value.hint
    half, most = (int(count.replace(",", "")) for count in some.groups())
    assert half == pytest.approx(tokens * small["bytes"] / plan["bytes"], rel=0.01)
    assert most == tokens - 1
    with pytest.raises(StoreError):
        read(kv_dtype="int8")
    have(small["bytes"], monkeypatch, tmp_path)
    with pytest.raises(StoreError) as caught:
        read()
    assert "all of it fits with --kv-dtype int8" in (caught.value.hint or "")
    assert not loads
    assert read(kv_dtype="int8").artifact is not None  # as the hint says


def test_a_memory_that_is_read_on_cannot_change_its_dtype(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    short = Text("short.txt", STORY.content[:400])
    pasctl.memory_run(str(tiny_folder), [short], options=OPTIONS, store=store, **SIZES)
    have(50_000, monkeypatch, tmp_path)
    with pytest.raises(StoreError) as caught:
        pasctl.memory_run(str(tiny_folder), [STORY], extend="latest", options=OPTIONS, store=store)
    assert "int8" not in (caught.value.hint or "")
    assert re.match(r"of the [\d,]+ tokens about [\d,]+ fit; or", caught.value.hint or "")


def test_a_folder_is_refused_for_the_files_that_are_to_be_read(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {name: value for name, value in SIZES.items() if name != "n_init"}
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "a.txt").write_text(STORY.content, encoding="utf-8")

    def read() -> Any:
        return pasctl.memory_run(
            str(tiny_folder), [str(texts)], options=OPTIONS, store=tmp_path / "store", params=sizes
        )

    first = read().artifact
    (texts / "b.txt").write_text("The letter lay under the stair. " * 20, encoding="utf-8")
    have(100_000, monkeypatch, tmp_path)
    with pytest.raises(StoreError) as caught:
        read()
    told = re.match(r"of the ([\d,]+) tokens", caught.value.hint or "")
    assert told is not None, caught.value.hint
    assert int(told[1].replace(",", "")) < first.read_json("memory.json")["tokens"] / 2


def test_what_was_read_in_python_is_refused_before_it_is_written(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = pasctl.EpisodicMemory(load.load_model(str(tiny_folder), dtype="float32", device="cpu"), **SIZES)
    memory.read(STORY.content)
    have(100_000, monkeypatch, tmp_path)
    with pytest.raises(StoreError, match="this will write"):
        memory.save(tmp_path / "store")
    assert not [path for path in (tmp_path / "store").rglob("*") if path.suffix == ".safetensors"]


def test_a_memory_without_some_words_is_as_large_as_the_one_with_them(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    made = pasctl.memory_run(str(tiny_folder), [STORY], options=OPTIONS, store=store, **SIZES).artifact
    have(100_000, monkeypatch, tmp_path)
    with pytest.raises(StoreError, match="this will write"):
        pasctl.memory_forget(made, event=3, store=store)
