"""What a stage is to the runner: its job with everything resolved, what it sees while it computes, what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.declaration import StageDeclaration
from pasctl.stages.progress import Reporter

if TYPE_CHECKING:
    from pasctl.store import Artifact, Staging, Store

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
        fits: says what smaller work would take no more than so many bytes, for the hint where `writes` are too many.
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
    fits: Callable[[int], str] = lambda room: ""
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
