"""What the tests of bundles and remotes run in other processes: `python transfer_worker.py COMMAND ARGUMENTS...`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pasctl.errors import IntegrityError
from pasctl.store import Store
from pasctl.store.bundle import import_bundle
from pasctl.store.departure import leave
from pasctl.store.disk import TEMPORARY
from pasctl.store.find_remote import open_remote
from pasctl.store.remote_folder import FolderRemote
from pasctl.store.remote_store import RemoteStore
from pasctl.store.transfer import Pull, Push
from tests.store.disk_calls import Disk, end, fail_at
from tests.store.trees import digests
from tests.store.worker import in_child, say


def import_(origin: Path, root: Path) -> None:
    import_bundle(Store(root), origin, tags=True)


def pull(origin: Path, root: Path) -> None:
    remote = FolderRemote(origin)
    remote.workers = 1  # so that the n-th call is the same in each run
    Pull(Store(root), remote, ["best"]).run(tags=True, moved=lambda size: None)


def push(origin: Path, root: Path) -> None:
    remote = FolderRemote(root)
    remote.workers = 1
    Push(leave(Store(origin), ["best"], with_inputs=True), remote).run(tags=True, moved=lambda size: None)


WORK: dict[str, Callable[[Path, Path], None]] = {"import": import_, "pull": pull, "push": push}


def run_kill(what: str, origin: str, folder: str) -> None:
    """Does it with an end at the n-th call that changes the disk, for every n; then does it again."""
    import pasctl.store.leases  # noqa: F401

    step, killed = 0, True
    while killed:
        step += 1
        root = Path(folder) / str(step)

        def work(root: Path = root, step: int = step) -> None:
            with Disk(root, fail_at(step, end)[0]).watch():
                WORK[what](Path(origin), root)

        killed = in_child(work)
        problems = unsound(root) if what == "push" else severe(root)
        WORK[what](Path(origin), root)
        problems += [str(problem) for problem in Store(root).verify(deep=True) if what != "push" or problem.damaged]
        staging = root / "staging"
        left = [path.name for path in staging.iterdir() if TEMPORARY not in path.name] if staging.is_dir() else []
        objects = {path: digest for path, digest in digests(root / "objects").items() if TEMPORARY not in path}
        say(step=step, killed=killed, problems=problems, left=left, objects=objects, tags=Store(root).tags())


def severe(root: Path) -> list[str]:
    return [str(problem) for problem in Store(root).verify(deep=True) if not problem.note]


def unsound(root: Path) -> list[str]:
    """What somebody who pulls meanwhile would get that is not whole."""
    there, found = RemoteStore(FolderRemote(root)), []
    for parcel in there.parcels():
        held = digests(root / parcel.folder)
        found += [entry["name"] for entry in parcel.files if held.get(entry["name"]) != entry["sha256"]]
        found += [key for key in parcel.inputs if there.parcel(key) is None]
    return found


def run_import(root: str, bundle: str) -> None:
    say(ready=True)
    sys.stdin.readline()
    arrived = import_bundle(Store(root), Path(bundle), tags=True)
    say(names=[artifact.name for artifact in arrived.artifacts])


def run_push(root: str, remote: str) -> None:
    say(ready=True)
    sys.stdin.readline()
    try:
        pushed: Any = Push(leave(Store(root), ["best"], with_inputs=True), FolderRemote(Path(remote)))
        pushed.run(tags=False, moved=lambda size: None)
        say(names=sorted(pushed.pushed.names.values()), error=None)
    except IntegrityError as error:
        say(names=[], error=error.message)


def run_move(what: str, root: str, url: str) -> None:
    """Pushes or pulls what is called export/tiny/second, as soon as it is asked to."""
    remote = open_remote(url)
    remote.require()
    say(ready=True)
    sys.stdin.readline()
    if what == "push":
        work: Any = Push(leave(Store(root), ["export/tiny/second"], with_inputs=True), remote)
    else:
        work = Pull(Store(root), remote, ["export/tiny/second"])
    work.run(tags=False, moved=lambda size: None)


if __name__ == "__main__":
    globals()[f"run_{sys.argv[1]}"](*sys.argv[2:])
