"""What gives the log-probabilities of an evaluation's answers; here, the model that is loaded in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pasctl.evaluation.units import EvalCase
from pasctl.stages.questionnaire import EvaluationTask

if TYPE_CHECKING:
    from pasctl.evaluation.option_scoring import OptionPrompts
    from pasctl.evaluation.scoring import Scores
    from pasctl.evaluation.statements import StatementScores
    from pasctl.models.load import LoadedModel

Tokens = Sequence[Sequence[int]]


class AnswerSource(Protocol):
    """What gives the log-probabilities of answers, for units that are prompted the same."""

    def options(self, asked: OptionPrompts, units: Sequence[EvalCase]) -> Scores:
        """Log-probabilities [units, prompts, names] of the options after each prompt."""
        ...

    def statements(self, prompts: Tokens, statements: Tokens, units: Sequence[EvalCase]) -> StatementScores:
        """Log-probabilities [units, prompts, statements, T] of each statement's tokens after each prompt."""
        ...


@dataclass(frozen=True, eq=False)
class LoadedAnswers:
    """Answers of the model in this process.

    Attributes:
        model: loaded.
        task: whose units are answered.
        batch_tokens: bound on the tokens of one forward pass.
    """

    model: LoadedModel
    task: EvaluationTask
    batch_tokens: int

    def options(self, asked: OptionPrompts, units: Sequence[EvalCase]) -> Scores:
        """See `AnswerSource`."""
        from pasctl.evaluation.option_scoring import score_options

        return score_options(
            self.model,
            asked,
            batch_tokens=self.batch_tokens,
            interventions=[self.task.intervention(unit, self.model.geometry) for unit in units],
            positions=self.task.params.positions,
        )

    def statements(self, prompts: Tokens, statements: Tokens, units: Sequence[EvalCase]) -> StatementScores:
        """See `AnswerSource`."""
        from pasctl.evaluation.statements import score_statements

        return score_statements(
            self.model,
            prompts,
            statements,
            batch_tokens=self.batch_tokens,
            interventions=[self.task.intervention(unit, self.model.geometry) for unit in units],
            positions=self.task.params.positions,
        )
