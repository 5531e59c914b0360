"""What `pasctl store` prints of room on the disk, and of what it removes."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, tell, write, write_line
from pasctl.errors import MissingError
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.commands import store as declared
    from pasctl.stages.run import Run
    from pasctl.store import Artifact


def untag(options: declared.StoreUntag, run: Run, *, json: bool) -> None:
    """Take a tag away."""
    tags = run.store.tags()
    if not run.store.untag(options.name) and options.name not in tags:
        near = get_close_matches(options.name, tags, 1)
        raise MissingError(
            f"no tag {options.name!r}{f'; did you mean {near[0]}?' if near else ''}",
            hint="`pasctl store ls` shows the tags",
        )
    if json:
        print_json({"tag": options.name, "key": tags.get(options.name)})
    else:
        write_line(f"{options.name} is no tag any more; what it named stays")


def rm(options: declared.StoreRemove, run: Run, *, json: bool) -> None:
    """Remove artifacts."""
    from pasctl.store.removal import remove_named

    removal = remove_named(run.store, options.ref, cascade=options.cascade, dry_run=run.dry_run)
    if json:
        print_json({"removed": _artifacts(removal.artifacts), "bytes": removal.bytes, "dry_run": run.dry_run})
        return
    write(align([[artifact.name, artifact.short_key, size(artifact.size)] for artifact in removal.artifacts]))
    _print_sum(f"{_count(len(removal.artifacts), 'artifact')}", removal.bytes, dry_run=run.dry_run)


def gc(options: declared.StoreCollect, run: Run, *, json: bool) -> None:
    """Remove what nobody needs."""
    from pasctl.store.collect import Rules, collect, parse_age

    age = None if options.older_than is None else parse_age(options.older_than)
    rules = Rules(keep_latest=options.keep_latest, older_than=age, kind=options.kind)
    collected = collect(run.store, rules, dry_run=run.dry_run)
    artifacts, leftovers = collected.removal.artifacts, collected.leftovers
    if json:
        left = [{"path": str(each.path), "what": each.what, "bytes": each.bytes} for each in leftovers]
        document = {"removed": _artifacts(artifacts), "leftovers": left, "bytes": collected.bytes}
        print_json({**document, "dry_run": run.dry_run})
        return
    rows = [[artifact.name, size(artifact.size), artifact.short_key] for artifact in artifacts]
    for leftover in leftovers:
        rows.append([os.path.relpath(leftover.path, run.store.root), size(leftover.bytes), leftover.what])
    if rows:
        write(align(rows))
    what = f"{_count(len(artifacts), 'artifact')} and {_count(len(leftovers), 'leftover')}"
    _print_sum(what, collected.bytes, dry_run=run.dry_run)


def du(options: declared.StoreUsage, run: Run, *, json: bool) -> None:
    """Show what takes the room on the disk."""
    from pasctl.store.usage import measure

    usage, names = measure(run.store), _names(run)
    if json:
        kinds = {kind: _room(room) for kind, room in sorted(usage.kinds.items())}
        largest = [
            {"name": names.get(hexes), "kind": kind, "key": f"s1:{hexes}", **_room(room)}
            for kind, hexes, room in usage.artifacts[: options.top]
        ]
        others = {name: _room(room) for name, room in sorted(usage.others.items())}
        print_json({"kinds": kinds, "artifacts": largest, "others": others, "disk_bytes": usage.disk})
        return
    if not usage.kinds and not usage.others:
        tell(f"store {run.store.root} is empty")
        return
    rows = [["", "count", "size", "shared"]]
    for name, room in [*sorted(usage.kinds.items()), *sorted(usage.others.items())]:
        rows.append([name, str(room.count), size(room.bytes), size(room.shared)])
    write(align(rows, left=1))
    if options.top and usage.artifacts:
        write_line("")
        largest_rows = [
            [names.get(hexes) or f"{kind} {hexes[:12]}", size(room.bytes), size(room.shared)]
            for kind, hexes, room in usage.artifacts[: options.top]
        ]
        write(align([["largest artifacts", "size", "shared"], *largest_rows], left=1))
    write(f"\n{size(usage.disk)} on the disk; what is shared stands under several names and takes room once")


def _names(run: Run) -> dict[str, str]:
    """Name by hash of the artifacts on disk."""
    return {artifact.path.name: artifact.name for artifact in run.store.readable()}


def _artifacts(artifacts: list[Artifact]) -> list[dict[str, Any]]:
    return [{"name": each.name, "key": each.key, "bytes": each.size} for each in artifacts]


def _room(room: Any) -> dict[str, int]:
    return {"count": room.count, "bytes": room.bytes, "shared_bytes": room.shared}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _print_sum(what: str, count: int, *, dry_run: bool) -> None:
    write_line(f"{'would remove' if dry_run else 'removed'} {what}, {size(count)}")
