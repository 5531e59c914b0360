"""What the tests of races and crashes run in processes of their own: `python worker.py COMMAND ARGUMENTS...`.

Each command prints JSON lines. `ready` means that imports are done and the work begins.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from pasctl.errors import BusyError, PasctlError
from pasctl.store import Artifact, Store, make_key

SHARDS = 3


def document(seed: int = 0) -> dict[str, Any]:
    return {"stage": "extract", "stage_version": 1, "params": {"seed": seed}, "inputs": {}, "model": {"id": "tiny"}}


def build(store: Store, seed: int = 0, label: str = "papi", pause: float = 0.0) -> tuple[Artifact, int]:
    """A stage as the runner does it: shards, merge, commit. Returns the artifact and how many shards were computed."""
    doc = document(seed)
    key = make_key(doc)
    if done := store.lookup(key):
        return done, 0
    staging, computed = store.stage(key), 0
    for shard in range(SHARDS):
        name = f"parts/rows-{shard}.safetensors"
        if not staging.has(name):
            staging.write_tensors(name, {"x": np.random.default_rng([seed, shard]).normal(size=(8, 16))})
            computed += 1
            time.sleep(pause)
    try:
        merged = [staging.read_arrays(f"parts/rows-{shard}.safetensors")["x"] for shard in range(SHARDS)]
    except BusyError:  # only without a lease: another process has just committed this key
        done = store.lookup(key)
        if done is None:
            raise
        return done, computed
    staging.write_tensors("head_outputs.safetensors", {"x": np.concatenate(merged)})
    staging.write_json("items.json", {"seed": seed})
    return commit(staging, doc, label), computed


def commit(staging: Any, doc: dict[str, Any], label: str = "papi", kind: str = "activations", **more: Any) -> Artifact:
    fields = {"kind": kind, "stage": "extract", "stage_version": 1, "model": "tiny", "label": label} | more
    return staging.commit(document=doc, **fields)


def say(**values: Any) -> None:
    print(json.dumps(values), flush=True)


def report(artifact: Artifact, computed: int = 0) -> None:
    say(digest=artifact.content_digest, name=artifact.name, version=artifact.version, computed=computed)


def run_build(root: str, pause: str) -> None:
    say(ready=True)
    report(*build(Store(root), pause=float(pause)))


def run_commit_at(root: str, moment: str, seed: str) -> None:
    """Stages everything, waits for a moment on the clock, commits."""
    store, doc = Store(root), document()
    staging = store.stage(make_key(doc))
    # bytes of its own, as two machines give: only one of the two may end up in the store
    staging.write_tensors("head_outputs.safetensors", {"x": np.full(1000, int(seed))})
    time.sleep(max(0.0, float(moment) - time.time()))
    artifact = commit(staging, doc)
    report(artifact)
    artifact.read_tensors("head_outputs.safetensors")


def run_versions(root: str, first: str, count: str) -> None:
    for seed in range(int(first), int(first) + int(count)):
        report(*build(Store(root), seed=seed))


def run_count(root: str, times: str) -> None:
    """Read-modify-write transactions on one row, each from a new Store, as new commands would."""
    import sqlalchemy as sa

    from pasctl.store import schema

    for _ in range(int(times)):
        with Store(root).index.write() as connection:
            count = connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "count")).scalar()
            connection.execute(schema.meta.delete().where(schema.meta.c.name == "count"))
            connection.execute(schema.meta.insert().values(name="count", value=str(int(count or 0) + 1)))
    say(done=True)


def run_hold(root: str, seconds: str) -> None:
    """Takes the lease of the example key, works for a while, commits."""
    store = Store(root)
    with store.lease(make_key(document())) as done:
        say(held=done is None, pid=os.getpid())
        time.sleep(float(seconds))
        report(*build(store))


def run_crash_everywhere(folder: str) -> None:
    """Builds with a SIGKILL at the n-th file operation, for every n that there is; then builds again in that store."""
    import pasctl.store.leases  # noqa: F401  (the children should not import it again)

    step = 0
    while True:
        step += 1
        root = Path(folder) / str(step)
        killed = in_child(lambda root=root, step=step: (_kill_at(step), build(Store(root))))
        staged = len(list((root / "staging").glob("*/parts/rows-*")))
        placed = any(root.glob("objects/*/*/*/manifest.json"))
        found = in_child(lambda root=root: report(*build(Store(root))))
        say(step=step, killed=killed, resumed=not found, staged=staged, placed=placed)
        if not killed:
            return


def _kill_at(step: int) -> None:
    seen = 0

    def hook(event: str, _arguments: Any) -> None:
        nonlocal seen
        if event in ("open", "os.rename", "os.link", "os.mkdir", "os.remove", "os.rmdir", "sqlite3.connect"):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def in_child(work: Any) -> bool:
    """Runs `work` in a fork; whether it was killed."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            work()
            sys.stdout.flush()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0:
        raise RuntimeError("the child failed")
    return os.WIFSIGNALED(status)


def run_refused(root: str, size: str) -> None:
    """Writes a shard that the disk will not take, and says what the error is."""
    if int(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), int(size)))
    staging = Store(root).stage(make_key(document()))
    try:
        staging.write_tensors("parts/large.safetensors", {"x": np.zeros(1_000_000)})
    except PasctlError as error:
        left = [path.name for path in staging.folder.rglob("*") if path.is_file()] if staging.folder.exists() else []
        say(error=type(error).__name__, message=error.message, hint=error.hint, left=left)


def run_read(root: str) -> None:
    """Everything that reads, for a store on a medium that cannot be written."""
    store = Store(root)
    found = store.lookup(make_key(document()))
    say(
        lookup=found is not None and found.name,
        ls=[artifact.name for artifact in store.artifacts()],
        latest=store.resolve("latest").name,
        rows=len(found.read_tensors("head_outputs.safetensors")["x"]) if found else 0,
        problems=[problem.what for problem in store.verify(deep=True)],
        files=sorted(path.name for path in store.root.iterdir()),
    )
    try:
        with store.lease(make_key(document(99))):
            say(error=None)
    except PasctlError as error:
        say(error=type(error).__name__, message=error.message)
    try:
        store.tag("latest", "mine")
    except PasctlError as error:
        say(error=type(error).__name__, message=error.message)


if __name__ == "__main__":
    globals()[f"run_{sys.argv[1]}"](*sys.argv[2:])
