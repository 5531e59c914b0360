"""`pasctl store`: its commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pasctl.declaration import Declaration
from pasctl.option import option, same


@dataclass(frozen=True, kw_only=True)
class OfArtifact:
    """A command about one artifact."""

    ref: str = option(
        help="kind/model/label[@vN], a tag, a key or its first digits, or latest.", metavar="REF", argument=True
    )


Form = Literal["table", "csv", "json", "markdown"]


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A command that prints a table."""

    format: Form = option("table", help="How to print it; --json is --format json.")


@dataclass(frozen=True, kw_only=True)
class StoreList(
    Declaration,
    command="store ls",
    panel="Data and store",
    place=11,
    examples=(
        "pasctl store ls",
        "pasctl store ls --kind results --model qwen3-0.6b --sort composite --limit 10",
        'pasctl store ls --kind results --where seed=1 --where "distinctive_r>=0.1" --format csv',
    ),
):
    """List artifacts with the options in which they differ and their figures, newest first."""

    kind: str | None = option(
        None,
        help="activations, probes, directions, strengths, results, texts, export, memory, answers, trials, or "
        "benchmarks.",
        metavar="KIND",
    )
    model: str | None = option(None, help="Of this model: its name in REFs.", short="-m", metavar="NAME")
    where: tuple[str, ...] = option(
        (),
        help="Only those where this holds: a column, an option or a figure, then =, !=, <, <=, >, >= or ~ (has the "
        "text), then a value. May be given several times.",
        metavar="EXPR",
    )
    sort: str | None = option(
        None, help="Sort by a column, an option or a figure, smallest first. Default: newest first.", metavar="NAME"
    )
    reverse: bool = option(False, help="In the reverse order.")
    limit: int | None = option(None, help="Print at most this many.", minimum=1, metavar="N")
    format: Form = same(Printed, "format", "table")


@dataclass(frozen=True, kw_only=True)
class StoreShow(
    OfArtifact,
    Declaration,
    command="store show",
    panel="Data and store",
    place=12,
    examples=("pasctl store show directions/demo/demo",),
):
    """Show what an artifact is, what it was made from, and its figures."""


@dataclass(frozen=True, kw_only=True)
class StoreExplain(
    Declaration,
    command="store explain",
    panel="Data and store",
    place=13,
    examples=("pasctl store explain directions/demo/demo@v1 directions/demo/demo@v2",),
):
    """Show what differs between the keys of two artifacts."""

    a: str = option(help="An artifact.", metavar="A", argument=True)
    b: str = option(help="Another one.", metavar="B", argument=True)


@dataclass(frozen=True, kw_only=True)
class StoreDiff(
    Declaration,
    command="store diff",
    panel="Data and store",
    place=13,
    examples=("pasctl store diff results/demo/demo-builtin-items@v1 results/demo/demo-builtin-items@v2",),
):
    """Show which options two artifacts and what they were made from differ in, and how their figures differ."""

    a: str = same(StoreExplain, "a")
    b: str = same(StoreExplain, "b")
    format: Form = same(Printed, "format", "table")


@dataclass(frozen=True, kw_only=True)
class StoreLineage(
    OfArtifact,
    Declaration,
    command="store lineage",
    panel="Data and store",
    place=14,
    examples=("pasctl store lineage results/demo/demo-builtin-items",),
):
    """Show what an artifact was made from, down to the first stage."""


@dataclass(frozen=True, kw_only=True)
class StoreTag(
    Declaration,
    command="store tag",
    panel="Data and store",
    place=15,
    examples=("pasctl store tag directions/demo/demo@v1 best",),
):
    """Give an artifact a name of your own."""

    ref: str = same(OfArtifact, "ref")  # here, so that it stands before the name
    name: str = option(help="Lower-case letters, digits, dot, dash, underscore.", metavar="NAME", argument=True)
    force: bool = option(False, help="Move a tag that names something else.")


@dataclass(frozen=True, kw_only=True)
class StoreVerify(
    Declaration,
    command="store verify",
    panel="Data and store",
    place=16,
    examples=("pasctl store verify", "pasctl store verify --deep"),
):
    """Check that the store contains what its manifests and its index say."""

    deep: bool = option(False, help="Read every file and compare its digest.")


@dataclass(frozen=True, kw_only=True)
class StoreReindex(
    Declaration, command="store reindex", panel="Data and store", place=17, examples=("pasctl store reindex",)
):
    """Rebuild the index from what is on disk."""


@dataclass(frozen=True, kw_only=True)
class StorePath(
    OfArtifact,
    Declaration,
    command="store path",
    panel="Data and store",
    place=18,
    examples=("pasctl store path latest",),
):
    """Print the folder of an artifact, for other programs."""


@dataclass(frozen=True, kw_only=True)
class StoreUntag(
    Declaration,
    command="store untag",
    panel="Data and store",
    place=19,
    examples=("pasctl store untag best",),
):
    """Take a tag away. The artifact stays."""

    name: str = option(help="The tag.", metavar="NAME", argument=True)


@dataclass(frozen=True, kw_only=True)
class StoreRemove(
    Declaration,
    command="store rm",
    panel="Data and store",
    place=20,
    takes=("store", "dry_run", "json"),
    examples=(
        "pasctl store rm texts/demo/demo-answers@v1",
        "pasctl store rm activations/demo/builtin --cascade --dry-run",
    ),
):
    """Remove artifacts from the disk.

    Refused while something else was made from one of them, while one has a tag, and while a running stage reads or
    writes one.
    """

    ref: tuple[str, ...] = option(
        help="kind/model/label[@vN], a key or its first digits, or latest; several may be given.",
        metavar="REF...",
        argument=True,
    )
    cascade: bool = option(False, help="Also remove all that was made from them.", from_file=False)


@dataclass(frozen=True, kw_only=True)
class StoreCollect(
    Declaration,
    command="store gc",
    panel="Data and store",
    place=21,
    takes=("store", "dry_run", "json"),
    examples=(
        "pasctl store gc",
        "pasctl store gc --keep-latest 2 --older-than 30d --dry-run",
        "pasctl store gc --kind texts --older-than 12h",
    ),
):
    """Remove what nobody needs.

    Without options no artifact is removed: only temporary files of processes that have ended, unfinished work of
    artifacts that are finished, and unfinished work that was not touched for 30 days. Never removed: what has a tag,
    what a running stage reads or writes, what was made or asked for within the last hour, and all that anything which
    stays was made from.
    """

    keep_latest: int | None = option(
        None, help="Remove versions before the latest N of each name.", metavar="N", minimum=1, from_file=False
    )
    older_than: str | None = option(
        None,
        help="Remove what nobody made or asked for in this time, such as 30d or 12h. With --keep-latest: both.",
        metavar="AGE",
        from_file=False,
    )
    kind: str | None = same(StoreList, "kind", None)


@dataclass(frozen=True, kw_only=True)
class StoreUsage(
    Declaration,
    command="store du",
    panel="Data and store",
    place=22,
    examples=("pasctl store du", "pasctl store du --top 3 --json"),
):
    """Show what takes the room on the disk."""

    top: int = option(10, help="Number of artifacts to list, the largest first.", metavar="N", minimum=0)
