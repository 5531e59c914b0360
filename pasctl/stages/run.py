"""What travels through every stage of a command: the store, the reporter, the bounds, and the one model."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pasctl.commands.running import DEFAULT_BATCH_TOKENS, RunOptions
from pasctl.declaration import Declaration
from pasctl.errors import InputError
from pasctl.models.footprint import parse_size
from pasctl.models.identity import ModelSource
from pasctl.models.options import ModelOptions
from pasctl.option import MISSING, Group, Parameter, parameters
from pasctl.stages.job import Job
from pasctl.stages.model import ModelHandle, options_of_artifact
from pasctl.stages.progress import Reporter, Silent
from pasctl.stages.runner import Artifact, Store, find_input, open_store, run_job

if TYPE_CHECKING:
    from pasctl.commands.shared import ModelLike, Ref


class Run:
    """How a command works, which enters no key: every stage gets the same one, and so the same model.

    Attributes:
        reporter: receives notes and progress.
        dry_run: print what would be done, and do nothing.
        batch_tokens: peak number of tokens in one forward pass.
        max_memory: peak memory, process and weights included, in bytes; None is no bound.
        wait: seconds to wait for another process that computes the same; None waits as long as it works.
    """

    def __init__(
        self,
        store: Store | Path | str = "artifacts",
        *,
        reporter: Reporter | None = None,
        dry_run: bool = False,
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
        max_memory: str | int | None = None,
        wait: float | None = None,
    ) -> None:
        """Nothing is opened or loaded yet.

        Raises:
            InputError: `batch_tokens` is below 1, `max_memory` is no size, or `wait` is no time.
        """
        if wait is not None and not 0 <= wait < math.inf:
            raise InputError(f"wait: expected seconds, at least 0, found {wait}")
        if batch_tokens < 1:
            raise InputError(f"batch tokens: expected at least 1, found {batch_tokens}")
        self._place = store
        self.reporter: Reporter = reporter or Silent()
        self.dry_run, self.batch_tokens, self.max_memory = dry_run, batch_tokens, parse_size(max_memory)
        self.wait = wait
        self._handle: ModelHandle | None = None

    @cached_property
    def store(self) -> Store:
        """The store, opened on first use."""
        return open_store(self._place)

    def make(self, declared: Declaration) -> Any:
        """Do what a declaration says; a stage gives its `Outcome`, from the store or by computing it.

        Raises:
            PasctlError: what the stage raises.
        """
        module, _, name = declared.action.partition(":")
        result = getattr(import_module(module), name)(declared, self)
        if isinstance(result, Job):
            return run_job(self.store, result, reporter=self.reporter, dry_run=self.dry_run, wait=self.wait)
        return result

    def model(self, model: ModelLike, options: ModelOptions | None = None) -> ModelHandle:
        """The model that a caller names; the same one again for whoever names it again in this run.

        Raises:
            MissingError: no such model.
            InputError: an unknown dtype, device or family.
        """
        if isinstance(model, str | ModelSource):
            return self._shared(ModelHandle(model, options, self.max_memory))
        return self._shared(ModelHandle.of(model))

    def model_of(
        self, artifact: Artifact, model: ModelLike | None = None, options: ModelOptions | None = None
    ) -> ModelHandle:
        """The model to run for an artifact: the one given, else its own from where it was found then.

        What the options leave open, dtype and attention, is as it was when the artifact was made.

        Raises:
            InputError: it is another model, or none is given and the artifact does not name its own.
            MissingError: it is gone.
        """
        handle = self._of_artifact(artifact, model, options)
        handle.require(artifact.document["model"], artifact.name)
        return handle

    def _of_artifact(self, artifact: Artifact, model: ModelLike | None, options: ModelOptions | None) -> ModelHandle:
        if isinstance(model, ModelHandle) and not model.is_loaded:
            like = ModelHandle(model.source, options_of_artifact(artifact, model.options), self.max_memory)
            return self._shared(model if model.is_like(like) else like)
        if model is not None and not isinstance(model, str | ModelSource):
            return self._shared(ModelHandle.of(model))
        spec = model or (artifact.provenance.get("model") or {}).get("spec")
        if spec is None:
            raise InputError(f"{artifact.name} does not name its model", hint="give it with --model")
        return self.model(spec, options_of_artifact(artifact, options or ModelOptions()))

    def _shared(self, handle: ModelHandle) -> ModelHandle:
        """The handle of this run if it is the same model, which is loaded once; else this one from now on."""
        if (
            self._handle is None
            or not handle.is_like(self._handle)
            or (handle.is_loaded and not self._handle.is_loaded)
        ):
            self._handle = handle
        return self._handle

    def input(self, kind: str, ref: Ref | None, **how: Any) -> Artifact:
        """The artifact that a stage reads: the one named, or the latest that fits; see `find_input`."""
        return find_input(self.store, kind, ref, **how)


def function_of(declared: type[Declaration]) -> Callable[..., Any]:
    """The Python function of a declaration: its options by name, or whole groups, and those of the run.

    In place of the run's options, `run` takes a `Run`, which stages that are called one after the other can share.
    """
    signature = inspect.Signature(sorted(_arguments(declared), key=lambda each: each.kind))

    def function(*arguments: Any, **options: Any) -> Any:
        values = dict(signature.bind(*arguments, **options).arguments)
        of_run = {name: values.pop(name) for name in (*_RUN, "reporter") if name in values}
        run = values.pop("run", None) or Run(**of_run)
        return run.make(declared.of(**values))

    function.__name__ = function.__qualname__ = declared.function
    function.__module__ = declared.action.partition(":")[0]
    function.__doc__ = _docstring(declared)
    function.__signature__ = signature  # type: ignore[attr-defined]
    return function


_RUN = {each.name: each for each in parameters(RunOptions) if each.name != "json"}


def _arguments(declared: type[Declaration]) -> Iterator[inspect.Parameter]:
    """What the function takes: those by position first, then options, whole groups, and the run."""
    known, groups = _parameters(declared), _groups(declared)
    for name in declared.positional:
        default = known[name].default if name in known else None
        yield _argument(name, MISSING if default is MISSING else default, by_position=True)
    yield from (_argument(name, each.default) for name, each in known.items() if name not in declared.positional)
    yield from (_argument(name, None) for name in groups if name not in declared.positional)
    yield from (_argument(name, each.default) for name, each in _RUN.items() if name in declared.takes)
    yield from (_argument(name, None) for name in ("reporter", "run"))


def _parameters(declared: type[Declaration]) -> dict[str, Parameter]:
    return {each.name: each for each in parameters(declared) if not each.option.cli_only}


def _groups(declared: type[Declaration]) -> dict[str, Group]:
    groups = {each.name: each.metadata["group"] for each in fields(declared) if "group" in each.metadata}
    return {name: each for name, each in groups.items() if not each.cli_only}


def _argument(name: str, default: Any, *, by_position: bool = False) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if by_position else inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=inspect.Parameter.empty if default is MISSING else default)


def _docstring(declared: type[Declaration]) -> str:
    """What the command does, and a line per parameter."""
    lines = [f"{name}: {each.option.help}" for name, each in _parameters(declared).items()]
    lines += [f"{name}: all of these as one {each.kind.__name__}." for name, each in _groups(declared).items()]
    lines += [f"{name}: {each.option.help}" for name, each in _RUN.items() if name in declared.takes]
    lines += ["reporter: receives notes and progress.", "run: in place of the run's options, a `Run` to share."]
    return "\n".join([inspect.cleandoc(declared.__doc__ or ""), "", "Args:", *(f"    {line}" for line in lines)])
