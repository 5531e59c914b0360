"""Answers of a memory name the parts of its text that they come from; others have no such fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pasctl
from pasctl.stages.model import ModelHandle
from tests.serving.conftest import TEXTS, Running
from tests.serving.test_server import MEMORIES, WORDS, chat


def test_sources_are_those_of_the_library_streamed_and_whole(
    server: Running, handle: ModelHandle, served_store: Path
) -> None:
    client = server.client()
    whole = client.chat.completions.create(**chat(memory=MEMORIES[1])).model_dump()
    wanted = pasctl.open_memory(MEMORIES[1], handle, store=served_store).ask_all(
        [WORDS], pasctl.Decoding(max_new_tokens=12)
    )[0]
    said = whole["pasctl"]
    assert said["memory"] == MEMORIES[1]
    assert said["sources"] == [source.to_json() for source in wanted.sources[:3]]
    assert len(said["sources"]) == 3
    for source in said["sources"]:
        assert source["file"] == "text-1"
        assert TEXTS[1][slice(*source["characters"])] == source["text"]
    content = whole["choices"][0]["message"]["content"]
    for sentence in said["sentences"]:
        assert content[slice(*sentence["characters"])] == sentence["text"]
        assert all(each["source"] < 3 for each in sentence["sources"])

    chunks = [chunk.model_dump() for chunk in client.chat.completions.create(**chat(memory=MEMORIES[1]), stream=True)]
    with_sources = [chunk for chunk in chunks if (chunk.get("pasctl") or {}).get("sources")]
    assert with_sources == [chunks[-1]]
    assert chunks[-1]["pasctl"] == {name: said[name] for name in ("sources", "sentences")}
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_as_many_sources_as_are_asked_for(server: Running) -> None:
    client = server.client()

    def sources(count: int | None, **more: Any) -> list[Any] | None:
        body = {"pasctl": {"memory": MEMORIES[0], **({} if count is None else {"sources": count})}}
        answer = client.chat.completions.create(**chat(extra_body=body, **more)).model_dump()
        found: list[Any] | None = answer["pasctl"].get("sources")
        return found

    many = sources(64)
    assert many is not None
    assert len(many) > 3
    assert sources(2) == many[:2]
    assert sources(0) is None
    assert "sources" not in client.chat.completions.create(**chat()).model_dump()["pasctl"]
    # a stop string is no part of the answer, and of no sentence
    plain = client.chat.completions.create(**chat(memory=MEMORIES[0])).choices[0].message.content or ""
    stop = plain[len(plain) // 2 :][:2]
    cut = client.chat.completions.create(**chat(memory=MEMORIES[0], stop=stop)).model_dump()
    content = cut["choices"][0]["message"]["content"]
    assert all(content[slice(*each["characters"])] == each["text"] for each in cut["pasctl"]["sentences"])
