"""What `pasctl store push`, `pull`, `fetch` and `remote-ls` print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pasctl.cli.columns import align
from pasctl.cli.config import read_remotes
from pasctl.cli.output import print_json, tell, write, write_line
from pasctl.cli.store_bundle import artifact_rows, count, moving, print_arrived, say_absent
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.commands import store_transfer as declared
    from pasctl.errors import IntegrityError
    from pasctl.stages.run import Run
    from pasctl.store.transfer import Pull, Pushed


def push(options: declared.StorePush, run: Run, *, json: bool) -> None:
    """Copy artifacts to a remote."""
    from pasctl.store.departure import leave
    from pasctl.store.find_remote import find_remote
    from pasctl.store.transfer import Push

    remote = find_remote(options.remote, read_remotes())
    leaving = leave(run.store, options.ref, with_inputs=not options.without_inputs)
    say_absent(leaving.absent, "are not in the store")
    work = Push(leaving, remote)
    planned, pushed = work.size, work.pushed
    if not run.dry_run:
        with moving(run, f"to {remote.url}", len(work.missing)) as moved:
            work.run(tags=options.tags, moved=moved)
    _say_kept(pushed, remote.url)
    new = {parcel.key for parcel in pushed.new}
    rows = [{**row, "there": pushed.names.get(row["key"])} for row in artifact_rows(leaving) if row["key"] in new]
    if json:
        document = {"remote": remote.url, "artifacts": rows, "absent": leaving.absent, "other": pushed.other}
        figures = {"tags": pushed.tags, "files": pushed.files, "bytes": pushed.bytes, "missing_bytes": planned}
        print_json({**document, **figures, "dry_run": run.dry_run})
        return
    if rows:
        write(align([[row["name"], row["key"][3:15], size(row["bytes"]), row["there"] or ""] for row in rows]))
    what = count(len(rows), "new artifact")
    if run.dry_run:
        files = count(len(work.missing), "file")
        write_line(f"would push {what}, {files}, {size(planned)} to {remote.url}")
    else:
        write_line(f"{what}, {count(pushed.files, 'file')} moved, {size(pushed.bytes)} to {remote.url}")


def pull(options: declared.StorePull, run: Run, *, json: bool) -> None:
    """Copy artifacts from a remote."""
    from pasctl.store.find_remote import find_remote
    from pasctl.store.transfer import Pull

    remote = find_remote(options.remote, read_remotes())
    work = Pull(run.store, remote, options.ref, with_inputs=not options.without_inputs)
    _bring(work, remote.url, run, tags=options.tags, json=json)


def fetch(options: declared.StoreFetch, run: Run, *, json: bool) -> None:
    """Copy everything from a remote."""
    from pasctl.cli.store_list import require_known
    from pasctl.store.find_remote import find_remote
    from pasctl.store.refs import KINDS
    from pasctl.store.transfer import Pull

    require_known("kind", options.kind, KINDS)
    remote = find_remote(options.remote, read_remotes())
    work = Pull(run.store, remote, None, with_inputs=True, kind=options.kind, model=options.model)
    _bring(work, remote.url, run, tags=options.tags, json=json)


def _bring(work: Pull, url: str, run: Run, *, tags: bool, json: bool) -> None:
    arrived = work.arrival.arrived
    if not run.dry_run:
        with moving(run, f"from {url}", len(work.arrival.missing)) as moved:
            arrived = work.run(tags=tags, moved=moved)
    print_arrived(arrived, url, dry_run=run.dry_run, json=json)


def remote_ls(options: declared.StoreRemoteList, run: Run, *, json: bool) -> None:
    """List what a remote has."""
    from pasctl.cli.store_list import require_known
    from pasctl.store.find_remote import find_remote
    from pasctl.store.refs import KINDS
    from pasctl.store.remote_store import RemoteStore

    require_known("kind", options.kind, KINDS)
    remote = find_remote(options.remote, read_remotes())
    remote.require()
    there = RemoteStore(remote)
    damaged: list[IntegrityError] = []
    parcels = there.parcels(options.kind, options.model, damaged=damaged)
    for error in damaged:
        tell(f"warning: {error.message}")
    artifacts = there.versioned(parcels)
    tags: dict[str, list[str]] = {}
    for tag, key in there.refs.tags().items():
        tags.setdefault(key, []).append(tag)
    rows = [
        {
            "name": artifacts[parcel.key].name,
            "key": parcel.key,
            "content_digest": parcel.content_digest,
            "size": parcel.size,
            "created_at": parcel.manifest["created_at"],
            "tags": tags.get(parcel.key, []),
            "here": run.store.lookup(parcel.key) is not None,
        }
        for parcel in parcels
    ]
    if json:
        print_json(rows)
    elif not rows:
        tell(f"{remote.url} holds no such artifacts")
    else:
        table = [["name", "key", "size", "made", "here", "tags"]]
        for row in rows:
            made = row["created_at"][:19].replace("T", " ")
            here = "yes" if row["here"] else "no"
            table.append([row["name"], row["key"][3:15], size(row["size"]), made, here, ",".join(row["tags"])])
        write(align(table))


def _say_kept(pushed: Pushed, url: str) -> None:
    for name in pushed.other:
        tell(f"{name} is at {url} with other content, which stays")
    for tag in pushed.kept_tags:
        tell(f"tag {tag} names something else at {url}, and stays as it is")
