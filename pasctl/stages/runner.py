"""The one place where stages meet the store: find inputs, compute the key, resume, commit."""

from __future__ import annotations

import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.errors import BusyError, MissingError
from pasctl.models.device import peak_memory
from pasctl.models.ranks import agreed, joined, meet
from pasctl.stages.headline import headline
from pasctl.stages.job import Job, Outcome, StageContext
from pasctl.stages.made_options import made_options, option_defaults
from pasctl.stages.progress import Reporter, Silent
from pasctl.store import Artifact, Bf16, Holder, Store, make_key
from pasctl.store.artifact import InputRef
from pasctl.store.disk import unsaid_limits
from pasctl.store.labels import MOST, Made, settled_label
from pasctl.store.manifest import check_word
from pasctl.store.refs import Name
from pasctl.store.removal import remove_named, wipe
from pasctl.store.sweep import noted_export
from pasctl.store.usage import require_room

__all__ = [
    "LONGEST_LABEL",
    "Artifact",
    "Bf16",
    "InputRef",
    "Store",
    "check_word",
    "find_input",
    "noted_export",
    "open_store",
    "part_key",
    "remove_for_good",
    "run_job",
]

LONGEST_LABEL = MOST
"""Signs of a label at most."""
_VERSIONED = ("pasctl", "torch", "transformers", "numpy")


def part_key(document: dict[str, Any]) -> str:
    """The key of a part of an artifact: 64 hex digits, from all that the part depends on."""
    return make_key(document).removeprefix("s1:")


def open_store(store: Store | Path | str) -> Store:
    """The store at a path; a store is given back as it is."""
    return store if isinstance(store, Store) else Store(store)


def run_job(
    store: Store, job: Job, *, reporter: Reporter | None = None, dry_run: bool = False, wait: float | None = None
) -> Outcome:
    """Give the job's artifact: from the store, from another process that is at it, or by computing it.

    What an interrupted run left is taken up; a failed one leaves its finished files for the next.

    Raises:
        InputError: the label cannot be part of a name.
        StoreError: the store cannot be written, or the disk has no room for what the job writes.
        MissingError: an input was removed from the store meanwhile.
        IntegrityError: an input does not match its digest.
        BusyError: another process is at it after `wait` seconds.
    """
    reporter = reporter or Silent()
    began = time.monotonic()
    for artifact in job.inputs.values():
        reporter.note(f"reading {artifact.name}")
    key = make_key(job.document)
    names = {role: artifact.name for role, artifact in job.inputs.items()}

    def outcome(artifact: Artifact | None, *, reused: bool, plan: dict[str, Any] | None = None) -> Outcome:
        return Outcome(job.stage.name, key, artifact, reused, time.monotonic() - began, names, plan or {})

    if _follows() and not dry_run:
        followed, reused = _follow(store, job, key, reporter, began)
        return outcome(followed, reused=reused)
    found = store.lookup(key)
    if not dry_run and agreed(found is not None) and found is not None:
        store.touch(found)
        return outcome(found, reused=True)
    _check_name(job)
    if dry_run:
        return outcome(found, reused=found is not None, plan=None if found else job.estimate())

    def waiting(holder: Holder) -> None:
        reporter.note(f"waiting for {holder}, which is computing the same {job.stage.kind}")

    with store.lease(key, reads=job.inputs.values(), on_wait=waiting, timeout=wait) as done:
        if agreed(done is not None) and done is not None:
            return outcome(done, reused=True)
        require_room(store.root, job.writes(), store.stage(key).folder, job.fits)
        meet()
        try:
            made = _make(store, key, job, reporter, began)
        except BusyError:
            # where no lease can be had, another process may commit this key and take the unfinished files with it
            made_elsewhere = store.lookup(key)
            if made_elsewhere is None:
                raise
            return outcome(made_elsewhere, reused=True)
        meet()
        for limit in unsaid_limits():
            reporter.note(limit)
        return outcome(made, reused=False)


def _follows() -> bool:
    """Whether this process computes along with another one, which writes for it."""
    ranks = joined()
    return ranks is not None and ranks.number > 0


def _follow(store: Store, job: Job, key: str, reporter: Reporter, began: float) -> tuple[Artifact, bool]:
    """The artifact that the first process finds or makes, and whether it was there.

    This one computes along and writes nothing. It begins with copies of the same unfinished files in a folder of its
    own, so that it skips what the first one skips, and runs the same passes.

    Raises:
        MissingError: the first process has finished, and its artifact cannot be seen from here.
    """
    reused = agreed(False) or agreed(False)  # found at once, or made by somebody else while the first process waited
    if not reused:
        with tempfile.TemporaryDirectory(prefix="pasctl-rank-") as folder:
            staging, unfinished = Store(folder).stage(key), store.stage(key).folder
            if unfinished.is_dir():
                shutil.copytree(unfinished, staging.folder)
            meet()
            job.compute(StageContext(store, staging, reporter, began))
        meet()
    artifact = store.lookup(key)
    if artifact is None:
        raise MissingError(
            f"the first process has made {key}, and it is not in {store.root}",
            hint="all processes of --tp need the same --store",
        )
    return artifact, reused


def _make(store: Store, key: str, job: Job, reporter: Reporter, began: float) -> Artifact:
    staging = store.stage(key)
    work = StageContext(store, staging, reporter, began)
    files = job.compute(work)
    for name, content in files.items():
        work.write(name, content)
    figure = headline(job.stage.kind, files.__getitem__)
    return staging.commit(
        kind=job.stage.kind,
        stage=job.stage.name,
        stage_version=job.stage.version,
        model=job.model,
        label=_label(store, job),
        document=job.document,
        inputs=job.inputs,
        parts=job.parts(),
        provenance={
            **job.provenance,
            **work.provenance,
            **({"headline": figure} if figure else {}),
            "seconds": round(time.monotonic() - began, 3),
            "peak_bytes": peak_memory((job.provenance.get("model") or {}).get("device", "cpu")),
            "host": platform.node(),
            "versions": _versions(),
        },
    )


def _label(store: Store, job: Job) -> str:
    """The label that says which options the artifact was made with, where they are not those of the first."""
    if job.keeps_label:
        return job.label
    name = Name(job.stage.kind, job.model, job.label)
    options = made_options(job.stage.name, job.document, job.provenance)
    return settled_label(store, Made(name, job.stage.name, options, tuple(job.inputs.values())), _STAGES)


def _check_name(job: Job) -> None:
    """Refuse, before anything is computed, what cannot be part of the artifact's name.

    Raises:
        InputError: kind, model or label is such.
    """
    for what, word in (("kind", job.stage.kind), ("model", job.model), ("label", job.label)):
        check_word(what, word)


class _Stages:
    """What labels must know of the stages."""

    def options_of(self, artifact: Artifact) -> dict[str, Any]:
        return made_options(artifact.stage, artifact.document, artifact.provenance)

    def defaults_of(self, stage: str) -> dict[str, Any]:
        return option_defaults(stage)


_STAGES = _Stages()


def find_input(
    store: Store,
    kind: str,
    ref: str | Artifact | None,
    *,
    fits: Callable[[Artifact], bool] = lambda artifact: True,
    wanted: str = "",
) -> Artifact:
    """The artifact that a stage reads: the one named, or the latest of its kind that fits.

    Raises:
        MissingError: the reference matches nothing, or nothing fits.
        InputError: the reference is ambiguous or of another kind.
    """
    if isinstance(ref, Artifact):
        return ref
    if ref is not None:
        return store.resolve(ref, kind)
    for artifact in store.candidates(kind):
        if fits(artifact):
            return artifact
    maker = next((each for each in declarations() if issubclass(each, StageDeclaration) and each.makes == kind), None)
    raise MissingError(
        f"store {store.root} holds no {kind}{' ' + wanted if wanted else ''}",
        hint=f"run `pasctl {maker.command}` first" if maker else None,
    )


def remove_for_good(store: Store, artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Remove artifacts and all that was made of them, and let no file of the store quote them any more.

    Returns:
        What was removed.

    Raises:
        InputError: one has a tag.
        BusyError: one is in use.
    """
    removed = remove_named(store, [artifact.key for artifact in artifacts], cascade=True).artifacts if artifacts else []
    wipe(store, removed)
    return removed


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
