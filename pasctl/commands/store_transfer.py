"""`pasctl store`: commands by which artifacts come and go."""

from __future__ import annotations

from dataclasses import dataclass

from pasctl.commands.store import StoreList, StoreRemove
from pasctl.declaration import Declaration
from pasctl.option import option, same


@dataclass(frozen=True)
class OnRemote:
    """A command about a remote."""

    remote: str = option(
        help="The remote: a URL (s3://, gs://, sftp://, https://), a folder, or a name below [remotes] in pasctl.toml.",
        metavar="REMOTE",
        env="PASCTL_REMOTE",
        from_file=False,
    )


@dataclass(frozen=True, kw_only=True)
class StoreExport(
    Declaration,
    command="store export",
    panel="Data and store",
    place=23,
    takes=("store", "dry_run", "json"),
    examples=(
        "pasctl store export directions/demo/demo --with-inputs -o demo.tar.zst",
        "pasctl store export best latest -o results.tar",
    ),
):
    """Write artifacts into one file, a bundle, which `pasctl store import` reads.

    The end of its name says how it is compressed: .tar.zst, .tar.gz, or .tar for not at all. The same artifacts give
    the same bytes.
    """

    ref: tuple[str, ...] = same(StoreRemove, "ref")
    output: str = option(help="The bundle to write.", short="-o", metavar="FILE", from_file="inside")
    with_inputs: bool = option(False, help="Also all that they were made from.")
    tags: bool = option(False, help="With their tags; one that names something else where they arrive stays as it is.")


@dataclass(frozen=True, kw_only=True)
class StoreImport(
    Declaration,
    command="store import",
    panel="Data and store",
    place=24,
    takes=("store", "dry_run", "json"),
    examples=("pasctl store import demo.tar.zst", "pasctl store import demo.tar.zst --dry-run"),
):
    """Take the artifacts of a bundle into the store.

    Every byte is checked before the first artifact is committed. What is there already is skipped; an interrupted
    import is resumed by the same command.
    """

    file: str = option(help="The bundle.", metavar="FILE", argument=True)
    tags: bool = same(StoreExport, "tags", False)


@dataclass(frozen=True, kw_only=True)
class StorePush(
    OnRemote,
    Declaration,
    command="store push",
    panel="Data and store",
    place=25,
    takes=("store", "dry_run", "json"),
    examples=(
        "pasctl store push results/demo/demo-builtin-items --remote s3://bucket/folder",
        "pasctl store push best --remote lab --tags",
    ),
):
    """Copy artifacts, and all that they were made from, to a remote.

    Only what is missing there moves. An interrupted push is resumed by the same command.
    """

    ref: tuple[str, ...] = same(StoreRemove, "ref")
    without_inputs: bool = option(False, help="Without what they were made from.")
    tags: bool = same(StoreExport, "tags", False)


@dataclass(frozen=True, kw_only=True)
class StorePull(
    OnRemote,
    Declaration,
    command="store pull",
    panel="Data and store",
    place=26,
    takes=("store", "dry_run", "json"),
    examples=("pasctl store pull directions/demo/demo --remote lab", "pasctl store pull latest --remote ./shared"),
):
    """Copy artifacts, and all that they were made from, from a remote.

    A REF means what it means there. Every file is checked before the first artifact is committed. Only what is missing
    moves; an interrupted pull is resumed by the same command.
    """

    ref: tuple[str, ...] = same(StoreRemove, "ref")
    without_inputs: bool = same(StorePush, "without_inputs", False)
    tags: bool = same(StoreExport, "tags", False)


@dataclass(frozen=True, kw_only=True)
class StoreFetch(
    OnRemote,
    Declaration,
    command="store fetch",
    panel="Data and store",
    place=27,
    takes=("store", "dry_run", "json"),
    examples=("pasctl store fetch --remote lab", "pasctl store fetch --remote lab --kind results --dry-run"),
):
    """Copy everything that a remote has and the store lacks."""

    kind: str | None = same(StoreList, "kind", None)
    model: str | None = same(StoreList, "model", None)
    tags: bool = same(StoreExport, "tags", False)


@dataclass(frozen=True, kw_only=True)
class StoreRemoteList(
    OnRemote,
    Declaration,
    command="store remote-ls",
    panel="Data and store",
    place=28,
    takes=("store", "json"),
    examples=("pasctl store remote-ls --remote lab", "pasctl store remote-ls --remote s3://bucket/folder --json"),
):
    """List the artifacts of a remote, newest first."""

    kind: str | None = same(StoreList, "kind", None)
    model: str | None = same(StoreList, "model", None)
