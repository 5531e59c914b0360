"""A stage without a model that uses all of the store: an input, shards, a linked file, a nested one, commit, tag."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

Mark = Any
LABEL, KIND = "light", "export"  # a kind whose artifacts need no class of their own


def document(step: str, inputs: dict[str, str] | None = None) -> dict[str, Any]:
    return {"stage": step, "stage_version": 1, "params": {}, "inputs": inputs or {}, "model": None}


def run(store: Any, mark: Mark = lambda what, **about: None, *, lease: bool = True) -> list[Any]:
    """Makes, or finds, two artifacts, the second from the first; each promise of the store is marked when it is given.

    Args:
        store: of the package or of a mutant of it, whose modules are those that are imported.
        mark: called with what must last from then on.
        lease: not where only what happens outside the index is of interest.
    """
    from pasctl.store import make_key

    first = document("first")
    source = store.lookup(make_key(first)) or _source(store, first, mark)
    second = document("second", {"source": source.content_digest})
    made = store.lookup(make_key(second))
    if made is None:
        with store.lease(make_key(second), reads=[source]) if lease else _no_lease() as done:
            made = done or _second(store, second, source, mark)
    mark("artifact", key=made.key, version=1)
    store.tag(made, "best")
    mark("tag", name="best", key=made.key)
    for artifact in (source, made):
        store.tag(artifact, "moved", force=True)
        mark("tag", name="moved", key=artifact.key)
    return [source, made]


@contextlib.contextmanager
def _no_lease() -> Iterator[None]:
    yield


def _source(store: Any, first: dict[str, Any], mark: Mark) -> Any:
    from pasctl.store import make_key

    staging = store.stage(make_key(first))
    staging.write_tensors("linked.safetensors", {"x": np.arange(300.0)})
    source = _commit(staging, first)
    mark("artifact", key=source.key, version=1)
    return source


def _second(store: Any, second: dict[str, Any], source: Any, mark: Mark) -> Any:
    from pasctl.store import make_key

    staging = store.stage(make_key(second))
    for shard in range(2):
        name = f"parts/{shard}.json"
        if not staging.has(name):
            staging.write_json(name, {"shard": shard})
            mark("shard", key=staging.key, name=name)
    staging.adopt("linked.safetensors", source)
    mark("shard", key=staging.key, name="linked.safetensors")
    values = [staging.read_json(f"parts/{shard}.json")["shard"] for shard in range(2)]
    staging.write_json("nested/values.json", values)
    staging.write_tensors("x.safetensors", {"x": np.array(values) + 1.0})
    return _commit(staging, second, inputs={"source": source})


def _commit(staging: Any, made_from: dict[str, Any], **more: Any) -> Any:
    about = {"kind": KIND, "stage": "light", "stage_version": 1, "model": "tiny", "label": made_from["stage"]}
    return staging.commit(document=made_from, **about, **more)
