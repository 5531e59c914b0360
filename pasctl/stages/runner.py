"""The one place where stages meet the store: find inputs, compute the key, resume, commit."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pasctl.commands import declarations
from pasctl.declaration import StageDeclaration
from pasctl.errors import BusyError, MissingError
from pasctl.models.device import peak_memory
from pasctl.stages.headline import headline
from pasctl.stages.made_options import made_options, option_defaults
from pasctl.stages.progress import Reporter, Silent
from pasctl.store import Artifact, Bf16, Holder, Staging, Store, make_key
from pasctl.store.disk import unsaid_limits
from pasctl.store.labels import Made, settled_label
from pasctl.store.manifest import check_word
from pasctl.store.refs import Name
from pasctl.store.usage import require_room

__all__ = [
    "Artifact",
    "Bf16",
    "Job",
    "Outcome",
    "Payload",
    "Stage",
    "StageContext",
    "Store",
    "check_word",
    "find_input",
    "open_store",
    "part_key",
    "run_job",
]

_VERSIONED = ("pasctl", "torch", "transformers", "numpy")

Payload = Mapping[str, Any]
"""File name -> content: a dict of tensors (.safetensors), a table (.parquet) or plain JSON (.json)."""


@dataclass(frozen=True)
class Stage:
    """A stage's name, the kind of artifact it makes, and its version, bumped by hand when its results change."""

    name: str
    kind: str
    version: int

    @classmethod
    def of(cls, declared: type[StageDeclaration]) -> Stage:
        """The stage of a declaration."""
        return cls(declared.command, declared.makes, declared.version)


class StageContext:
    """What a stage sees of the store while it computes: its own unfinished files, and parts made earlier.

    Attributes:
        reporter: takes notes and progress.
        provenance: facts and counts for the manifest; not part of the key.
    """

    def __init__(self, store: Store, staging: Staging, reporter: Reporter, began: float) -> None:
        self._store = store
        self._staging = staging
        self._began = began
        self.reporter = reporter
        self.provenance: dict[str, Any] = {}

    def ready(self) -> None:
        """Note that the model is there, and that the first token of the work goes through it now."""
        self.provenance.setdefault("seconds_to_first_token", round(time.monotonic() - self._began, 3))

    def has(self, name: str) -> bool:
        """Whether an intact file of that name is there from an earlier, interrupted run."""
        return self._staging.has(name)

    def write(self, name: str, content: Any) -> None:
        """Write one file durably; the ending tells the format. Names under parts/ do not enter the artifact."""
        if name.endswith(".safetensors"):
            self._staging.write_tensors(name, content)
        elif name.endswith(".parquet"):
            self._staging.write_table(name, content)
        else:
            self._staging.write_json(name, content)

    @contextmanager
    def writing_behind(self) -> Iterator[Callable[[str, Any], None]]:
        """A function that writes as `write` does while its caller computes on; no more than one file waits.

        What goes wrong with a file is raised when the next one is written, or when the block ends.
        """
        with ThreadPoolExecutor(1, "pasctl-writer") as writer:
            waiting: list[Future[None]] = []

            def write(name: str, content: Any) -> None:
                for before in waiting:
                    before.result()
                waiting[:] = [writer.submit(self.write, name, content)]

            yield write
            for last in waiting:
                last.result()

    def adopt(self, name: str, source: Artifact) -> None:
        """Take over a file of another artifact under the same name; it takes no room of its own where links are."""
        self._staging.adopt(name, source)

    def read_tensors(self, name: str) -> dict[str, Any]:
        """Tensors of an unfinished file."""
        return dict(self._staging.read_tensors(name))

    def read_json(self, name: str) -> Any:
        """Content of an unfinished JSON file."""
        return self._staging.read_json(name)

    def path(self, name: str) -> Path:
        """Where an unfinished file is, for those who map it into memory."""
        return self._staging.path(name)

    def find_parts(self, keys: Sequence[str]) -> dict[str, Artifact]:
        """Those of the parts that some finished artifact holds already; none of these is removed while this runs."""
        return self._store.find_parts(keys, reader=self._staging.key)


@dataclass(frozen=True)
class Job:
    """A stage with everything resolved.

    Attributes:
        params: resolved parameters, JSON-able; they enter the key.
        inputs: role -> artifact; their content digests enter the key.
        identity: the model's identity, None for a stage without a model.
        numerics: dtype, attention, seed.
        compute: does the work and gives the payload's remaining files.
        provenance: facts that do not enter the key.
        parts: gives the keys of the parts the artifact will hold; called only when it is computed.
        estimate: for `--dry-run`, what the work would be; it may not load a model.
        writes: bytes that the artifact will take; asked before the work begins, and it may not load a model.
        keeps_label: the label is a user's own name for what is continued under it, whatever the options.
    """

    stage: Stage
    model: str
    label: str
    params: dict[str, Any]
    inputs: dict[str, Artifact]
    identity: dict[str, Any] | None
    numerics: dict[str, Any]
    compute: Callable[[StageContext], Payload]
    provenance: dict[str, Any] = field(default_factory=dict)
    parts: Callable[[], tuple[str, ...]] = tuple
    estimate: Callable[[], dict[str, Any]] = dict
    writes: Callable[[], int] = int
    keeps_label: bool = False

    @property
    def document(self) -> dict[str, Any]:
        """Everything the result depends on; its digest is the key."""
        return {
            "stage": self.stage.name,
            "stage_version": self.stage.version,
            "params": self.params,
            "inputs": {role: artifact.content_digest for role, artifact in self.inputs.items()},
            "model": self.identity,
            "numerics": self.numerics,
        }


@dataclass(frozen=True)
class Outcome:
    """What came of a stage.

    Attributes:
        key: the artifact's key.
        artifact: the result; None after a dry run that missed.
        reused: whether the store had it.
        plan: of a dry run, what would be done; empty otherwise.
        inputs: role -> name of the artifact taken.
    """

    stage: str
    key: str
    artifact: Artifact | None
    reused: bool
    seconds: float
    inputs: dict[str, str]
    plan: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The outcome as one JSON document."""
        made = self.artifact
        return {
            "stage": self.stage,
            "key": self.key,
            "name": made.name if made else None,
            "path": str(made.path) if made else None,
            "content_digest": made.content_digest if made else None,
            "reused": self.reused,
            "seconds": round(self.seconds, 3),
            "inputs": self.inputs,
            **({"plan": self.plan} if self.plan else {}),
            **({"counts": made.provenance.get("counts", {})} if made else {}),
        }

    def _repr_html_(self) -> str:
        from pasctl.store.notebook import facts_html

        how = "from the store" if self.reused else f"{self.seconds:.1f} s"
        facts = {**self.inputs, **self.plan, "result": how if self.artifact else "not there yet"}
        return facts_html(self.stage, facts) + (self.artifact._repr_html_() if self.artifact else "")


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

    found = store.lookup(key)
    if found is not None:
        if not dry_run:
            store.touch(found)
        return outcome(found, reused=True)
    if dry_run:
        return outcome(None, reused=False, plan=job.estimate())

    def waiting(holder: Holder) -> None:
        reporter.note(f"waiting for {holder}, which is computing the same {job.stage.kind}")

    with store.lease(key, reads=job.inputs.values(), on_wait=waiting, timeout=wait) as done:
        if done is not None:
            return outcome(done, reused=True)
        require_room(store.root, job.writes(), store.stage(key).folder)
        try:
            made = _make(store, key, job, reporter, began)
        except BusyError:
            # where no lease can be had, another process may commit this key and take the unfinished files with it
            made_elsewhere = store.lookup(key)
            if made_elsewhere is None:
                raise
            return outcome(made_elsewhere, reused=True)
        for limit in unsaid_limits():
            reporter.note(limit)
        return outcome(made, reused=False)


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
    name = Name(job.stage.kind, job.model, job.label)
    for what, word in (("kind", name.kind), ("model", name.model), ("label", name.label)):
        check_word(what, word)
    if job.keeps_label:
        return job.label
    options = made_options(job.stage.name, job.document, job.provenance)
    return settled_label(store, Made(name, job.stage.name, options, tuple(job.inputs.values())), _STAGES)


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


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _VERSIONED:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
