"""Who answers an evaluation's units: the model that is loaded here, or a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pasctl.commands.evaluate import ENGINE_URL, TRANSFORMERS, Evaluate
from pasctl.errors import InputError
from pasctl.evaluation.units import EvalCase
from pasctl.models.sites import HEADS
from pasctl.stages.engine_client import EngineClient
from pasctl.stages.granularity import site_of
from pasctl.stages.loaded_answers import AnswerSource, LoadedAnswers
from pasctl.stages.model import ModelHandle
from pasctl.stages.progress import Reporter
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import Artifact

if TYPE_CHECKING:
    from pasctl.stages.engine_answers import EngineAnswers


def engine_client(declared: Evaluate, directions: Artifact) -> EngineClient | None:
    """The server that answers; None if the model here does.

    Raises:
        InputError: a URL of no engine, or directions that a server cannot have.
    """
    if declared.engine == TRANSFORMERS:
        if declared.engine_url is not None:
            raise InputError("--engine-url is for --engine vllm", hint="add --engine vllm, or leave the URL out")
        return None
    if site_of(directions) != HEADS:
        raise InputError(
            f"{directions.name} shifts {site_of(directions)}, an engine has shifts of the usual heads alone",
            hint="leave --engine out, or extract with --site heads",
        )
    return EngineClient(declared.engine_url or ENGINE_URL)


@dataclass(eq=False)
class AnswerSources:
    """Finds who answers a unit.

    Attributes:
        task: whose units these are.
        handle: the model.
        batch_tokens: bound on the tokens of one forward pass.
        client: the server, where the task has an engine.
    """

    task: EvaluationTask
    handle: ModelHandle
    batch_tokens: int
    client: EngineClient | None = None
    _engine: EngineAnswers | None = field(default=None, init=False)

    def of(self, units: Sequence[EvalCase], reporter: Reporter) -> AnswerSource:
        """Who answers units, which are either all an engine's or none; the model is loaded in either case.

        Raises:
            PasctlError: the server does not answer, or is not proven to be the model steered to these personas.
        """
        here = LoadedAnswers(self.handle.load(reporter), self.task, self.batch_tokens)
        if self.client is None or not self.task.on_engine(units[0]):
            return here
        if self._engine is None:
            from pasctl.stages.engine_answers import EngineAnswers

            reporter.note(f"asking {self.client.url} for answers, proven against the model here")
            self._engine = EngineAnswers(self.client, self.task, here)
        self._engine.prove(units)
        return self._engine

    @property
    def proof(self) -> dict[str, float]:
        """Largest difference of a log-probability from the model here, per persona proven so far."""
        return {} if self._engine is None else self._engine.proven
