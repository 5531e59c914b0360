"""What the race of removal runs in processes of their own: `python gc_worker.py COMMAND ARGUMENTS...`."""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pasctl.errors import BusyError, InputError, MissingError
from pasctl.store import Artifact, Store, make_key
from pasctl.store.collect import Rules, collect
from pasctl.store.disk import TEMPORARY
from pasctl.store.removal import remove_named
from tests.store.disk_calls import Disk, end, fail_at
from tests.store.light_stage import run
from tests.store.worker import in_child

SEEDS = 4


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def chain_document(step: str, seed: int, source: Artifact | None) -> dict[str, Any]:
    inputs = {} if source is None else {"source": source.content_digest}
    return {"stage": step, "stage_version": 1, "params": {"seed": seed}, "inputs": inputs, "model": None}


def make(store: Store, step: str, kind: str, seed: int, source: Artifact | None = None) -> Artifact:
    """A stage as the runner does it: lease, shard, a look at the input while it works, payload, commit."""
    document = chain_document(step, seed, source)
    key = make_key(document)
    if done := store.lookup(key):
        return done
    with store.lease(key, reads=[source] if source else []) as done:
        if done is not None:
            return done
        staging = store.stage(key)
        staging.write_json("parts/0.json", seed)
        time.sleep(0.005)
        values = np.random.default_rng([seed, *step.encode()]).normal(size=64)
        if source is not None:  # read late: a removal had all the time in the world
            fresh = Artifact(source.key, source.manifest, source.path)
            values = values + fresh.read_tensors("x.safetensors")["x"]
        staging.write_tensors("x.safetensors", {"x": values})
        return staging.commit(
            kind=kind,
            stage=step,
            stage_version=1,
            model="tiny",
            label="race",
            document=document,
            inputs={"source": source} if source else {},
        )


def make_chain(store: Store, seed: int) -> list[Artifact]:
    first = make(store, "first", "activations", seed)
    second = make(store, "second", "probes", seed, first)
    return [first, second, make(store, "third", "directions", seed, second)]


def run_produce(root: str, wanted: str, number: str, raced: str) -> None:
    """Makes chains of three over and over, each seed by several processes, and tags some of what it has made.

    Goes on until it has made as many as are wanted and there is a file `raced`, or for a minute.
    """
    store, count, refused = Store(root), 0, 0
    draw, deadline = np.random.default_rng(int(number)), time.monotonic() + 60
    while (count < int(wanted) or not Path(raced).exists()) and time.monotonic() < deadline:
        seed = int(draw.integers(SEEDS))
        try:
            chain = make_chain(store, seed)
            if draw.random() < 0.3:
                store.tag(chain[-1], f"tag-{number}-{seed}", force=True)
            count += 1
        except MissingError:  # removed between its commit and the lease of the next stage: the tool says so and ends
            refused += 1
    say(made=count, refused=refused)


def run_remove(root: str, stop: str, number: str, raced: str) -> None:
    """Collects and removes without mercy, until there is a file `stop`; makes the file `raced` after six removals."""
    store, removed, refused = Store(root), 0, 0
    draw = np.random.default_rng(100 + int(number))
    while not Path(stop).exists():
        removed += len(collect(store, Rules(keep_latest=1, grace=0.0)).removal.artifacts)
        removed += len(collect(store, Rules(older_than=0.0, grace=0.0)).removal.artifacts)
        try:
            if draw.random() < 0.5 and (artifacts := store.artifacts()):
                name = artifacts[int(draw.integers(len(artifacts)))].name
                removed += len(remove_named(store, [name], cascade=True).artifacts)
        except (MissingError, InputError, BusyError):
            refused += 1
        if removed >= 6:
            Path(raced).touch()
        time.sleep(float(draw.uniform(0.0, 0.02)))
    say(removed=removed, refused=refused)


def run_kill_removal(folder: str) -> None:
    """Removes the older of two chains with a SIGKILL at the n-th call that changes the disk, for every n."""
    import pasctl.store.leases  # noqa: F401  (the children should not import it again)

    template = Path(folder) / "template"
    older, _ = make_chain(Store(template), 0), make_chain(Store(template), 1)
    step, killed = 0, True
    while killed:
        step += 1
        root = Path(folder) / str(step)
        shutil.copytree(template, root)

        def removal(root: Path = root, step: int = step) -> None:
            with Disk(root, fail_at(step, end)[0]).watch():
                remove_named(Store(root), [older[0].key], cascade=True)

        killed = in_child(removal)
        say(step=step, killed=killed, digests=[artifact.content_digest for artifact in older])


def run_kill_commit(folder: str) -> None:
    """Runs the light stage with an end at the n-th call that changes the disk, for every n; then runs it again."""
    import pasctl.store.leases  # noqa: F401

    step, killed = 0, True
    while killed:
        step += 1
        store = Store(Path(folder) / str(step))

        def stage(store: Store = store, step: int = step) -> None:
            with Disk(store.root, fail_at(step, end)[0]).watch():
                run(store)

        killed = in_child(stage)
        problems = [str(problem) for problem in store.verify(deep=True) if not problem.note]
        digests = [artifact.content_digest for artifact in run(store)]
        problems += [str(problem) for problem in store.verify(deep=True)]
        left = [str(path) for path in (store.root / "staging").iterdir() if not path.name.startswith(TEMPORARY)]
        say(step=step, killed=killed, digests=digests, problems=problems, left=left)


def run_leave(root: str) -> None:
    """Leaves temporary files wherever the store writes, and ends without a word."""
    import os

    from pasctl.store.disk import temporary_path

    for folder in ("staging/" + "a" * 64, "refs/tags", "chats/tiny", "."):
        place = Path(root) / folder
        place.mkdir(parents=True, exist_ok=True)
        temporary_path(place).write_text("a whole conversation")
    folder = temporary_path(Path(root) / "staging" / ("a" * 64))
    folder.mkdir()
    (folder / "x.json").write_text("{}")
    os._exit(0)


if __name__ == "__main__":
    globals()[f"run_{sys.argv[1]}"](*sys.argv[2:])
