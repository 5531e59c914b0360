"""What `pasctl store export` and `import` print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.cli.columns import align
from pasctl.cli.output import print_json, tell, write, write_line
from pasctl.report.blocks import size

if TYPE_CHECKING:
    from pasctl.commands import store_transfer as declared
    from pasctl.stages.run import Run
    from pasctl.store.arrival import Arrived
    from pasctl.store.departure import Leaving
    from pasctl.store.parcel import Parcel


def export(options: declared.StoreExport, run: Run, *, json: bool) -> None:
    """Write a bundle."""
    from pasctl.store.bundle import export_bundle
    from pasctl.store.departure import leave
    from pasctl.store.tape import compression

    path = Path(options.output)
    compression(path)
    leaving = leave(run.store, options.ref, with_inputs=options.with_inputs)
    say_absent(leaving.absent, f"are not in the store, and so not in {path}")
    rows = artifact_rows(leaving)
    if run.dry_run:
        bundle = None
    else:
        with moving(run, f"writing {path.name}", leaving.files) as moved:
            bundle = export_bundle(run.store, leaving, path, tags=options.tags, moved=moved)
    if json:
        figures = {"files": leaving.files, "bytes": leaving.size, "tags": sorted(leaving.tags) if options.tags else []}
        about = {"bundle_bytes": bundle.size, "sha256": bundle.sha256} if bundle else {}
        document = {"bundle": str(path), "artifacts": rows, "absent": leaving.absent, **figures, **about}
        print_json({**document, "dry_run": run.dry_run})
        return
    write(align([[each["name"], each["key"][3:15], size(each["bytes"])] for each in rows]))
    what = f"{count(len(rows), 'artifact')}, {count(leaving.files, 'file')}, {size(leaving.size)}"
    write_line(f"{path}: {what} in {size(bundle.size)}" if bundle else f"would write {path}: {what}")


def import_(options: declared.StoreImport, run: Run, *, json: bool) -> None:
    """Read a bundle."""
    from pasctl.store.arrival import Arrival
    from pasctl.store.bundle import opened, take_in

    path = Path(options.file)
    with opened(path) as reader:
        arrival = Arrival(run.store, reader.parcels, reader.named)
        arrived = arrival.arrived
        if not run.dry_run:
            with moving(run, f"reading {path.name}", len(arrival.missing)) as moved:
                arrived = take_in(reader, arrival, tags=options.tags, moved=moved)
    print_arrived(arrived, str(path), dry_run=run.dry_run, json=json)


def artifact_rows(leaving: Leaving) -> list[dict[str, Any]]:
    """Name, key and bytes of what leaves."""
    return [
        {"name": leaving.artifacts[parcel.key].name, "key": parcel.key, "bytes": parcel.size}
        for parcel in leaving.parcels
    ]


def print_arrived(arrived: Arrived, origin: str, *, dry_run: bool, json: bool) -> None:
    """What came in, or would."""
    say_absent(arrived.absent, f"are neither in {origin} nor in the store")
    for name in arrived.other:
        tell(f"{name} is in the store with other content, which stays")
    for tag in arrived.kept_tags:
        tell(f"tag {tag} cannot be given: it names something else here, or has another meaning")
    names = {artifact.key: artifact.name for artifact in arrived.artifacts}
    rows = [_row(parcel, names) for parcel in arrived.new]
    if json:
        named = [names.get(key, key) for key in arrived.named]
        document = {"from": origin, "named": named, "artifacts": rows, "absent": arrived.absent, "other": arrived.other}
        figures = {"tags": arrived.tags, "files": arrived.files, "bytes": arrived.bytes, "shared": arrived.shared}
        print_json({**document, **figures, "dry_run": dry_run})
        return
    if rows:
        write(align([[each["name"], each["key"][3:15], size(each["bytes"])] for each in rows]))
    what = count(len(rows), "new artifact")
    if dry_run:
        write_line(f"would take in {what}, {size(sum(each['bytes'] for each in rows))}")
    else:
        shared = f"; {count(arrived.shared, 'file')} shared with other artifacts" if arrived.shared else ""
        write_line(f"{what}, {count(arrived.files, 'file')} moved, {size(arrived.bytes)}{shared}")


def _row(parcel: Parcel, names: dict[str, str]) -> dict[str, Any]:
    return {"name": names.get(parcel.key, parcel.name), "key": parcel.key, "bytes": parcel.size}


def say_absent(names: list[str], where: str) -> None:
    """Note the inputs that are nowhere; the artifacts made from them can be used all the same."""
    if names:
        listed = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        said = where.replace("are", "is", 1) if len(names) == 1 else where
        tell(f"note: {count(len(names), 'input')} ({listed}) {said}")


@contextmanager
def moving(run: Run, description: str, files: int) -> Iterator[Callable[[int], None]]:
    """A progress display of files, which says how many bytes were moved."""
    total = 0
    with run.reporter.progress(description, files, "files") as advance:

        def moved(size_of_file: int) -> None:
            nonlocal total
            total += size_of_file
            advance(1, size(total))

        yield moved


def count(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
