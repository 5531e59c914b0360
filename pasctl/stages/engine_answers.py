"""Answers of a server, which is proven first: it gives the log-probabilities that the model here gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pasctl.errors import PasctlError
from pasctl.evaluation.option_scoring import OptionPrompts, options_by
from pasctl.evaluation.scoring import Scores
from pasctl.evaluation.statements import StatementScores
from pasctl.evaluation.units import EvalCase
from pasctl.export.proof import LARGEST, PROMPTS, TOLERANCE, Proof, Reference
from pasctl.stages.engine_client import EngineClient, EnginePrompt, EngineSteering
from pasctl.stages.questionnaire import EvaluationTask

if TYPE_CHECKING:
    from pasctl.stages.loaded_answers import LoadedAnswers, Tokens

UNSTEERED = ""
"""What the figures call the model without a persona; no persona is called that."""
_PROVEN = PROMPTS[:2]
_REPLIES = (
    "I like long evenings with many people, and I talk to everybody who comes by.",
    "It was a quiet week. I finished my work early, checked it twice, and worried about the next one.",
)
"""Replies to them whose tokens are compared."""


@dataclass(eq=False)
class EngineAnswers:
    """Answers of a server, in the place of `LoadedAnswers`.

    Attributes:
        client: the server.
        task: whose units are answered.
        here: the model in this process, which the server is compared with.
        proven: persona -> largest difference of a log-probability, in nats.
    """

    client: EngineClient
    task: EvaluationTask
    here: LoadedAnswers
    proven: dict[str, float] = field(default_factory=dict)

    def options(self, asked: OptionPrompts, units: Sequence[EvalCase]) -> Scores:
        """See `AnswerSource`; steered units are proven before."""
        letters, statements = partial(self._letters, units), partial(self._statements, units)
        return options_by(asked, len(units), letters=letters, statements=statements)

    def statements(self, prompts: Tokens, statements: Tokens, units: Sequence[EvalCase]) -> StatementScores:
        """See `AnswerSource`."""
        return self._statements(units, prompts, statements)

    def prove(self, units: Sequence[EvalCase]) -> None:
        """Compare what the server gives fixed replies with what the model here gives them, once per persona.

        Raises:
            PasctlError: they differ, or the server has no such persona.
        """
        chat = self.here.model.chat
        prompts, replies = [chat.encode(each) for each in _PROVEN], [chat.reply(each) for each in _REPLIES]
        alone = EvalCase(0, "no-change", "", 0.0, 0, None)
        missing = {self._name(unit): unit for unit in (alone, *units) if self._name(unit) not in self.proven}
        if not missing:
            return
        cases, lengths = list(missing.values()), [len(each) for each in replies]
        there = _flat(self.statements(prompts, replies, cases), lengths)
        plain, *steered = _flat(self.here.statements(prompts, replies, [alone, *cases]), lengths)
        off = self._apart(cases, tuple(prompts[0]))
        for (name, unit), found, expected, apart in zip(missing.items(), there, steered, off, strict=True):
            fault = self._fault(unit, found, expected, plain) or _contradiction(apart, self.here.model.dtype)
            if fault is not None:
                who = "without a persona" if name == UNSTEERED else f"for persona {name} at alpha {unit.alpha:g}"
                raise PasctlError(
                    f"engine {self.client.url} {who} {fault}",
                    hint=f"serve pasctl export {self.task.directions.name} --engine vllm-personas, with vLLM's option "
                    f"--dtype {self.here.model.dtype}",
                )
            self.proven[name] = float(np.abs(found - expected).max())

    def _fault(
        self, unit: EvalCase, found: NDArray[np.float32], expected: NDArray[np.float32], plain: NDArray[np.float32]
    ) -> str | None:
        """Why the server is not the model here, or None."""
        dtype = self.here.model.dtype
        if not unit.steered:
            off, bound = np.abs(found - expected), TOLERANCE[dtype]
            if off.mean() <= bound and off.max() <= LARGEST * bound:
                return None
            return (
                f"differs from the model here by {off.mean():.3g} nats on average, expected at most {bound:g} in "
                f"{dtype}: it serves another model"
            )
        reference = Reference((), (), (), tuple(expected.tolist()), tuple(plain.tolist()))
        return Proof.of(reference, tuple(found.tolist()), engine="vllm", dtype=dtype).fault()

    def _apart(self, units: Sequence[EvalCase], prompt: tuple[int, ...]) -> list[float]:
        """How far the likeliest token's log-probability after a prompt is from that of the prompt's last token."""
        likeliest = self.client.following([EnginePrompt(prompt, self._steering(unit)) for unit in units])
        best = [max(told.items(), key=lambda each: each[1]) for told in likeliest]
        asked = [self._behind(unit, prompt, (token,)) for unit, (token, _) in zip(units, best, strict=True)]
        again = self.client.read(*_columns(asked))
        return [abs(float(value) - told) for [value], (_, told) in zip(again, best, strict=True)]

    def _name(self, unit: EvalCase) -> str:
        return self.task.steering.personas.ids[unit.persona] if unit.steered else UNSTEERED

    def _steering(self, unit: EvalCase, first: int | None = None) -> EngineSteering | None:
        """How a unit's requests are steered; from the answer on where it begins at token `first`, else at the end."""
        if not unit.steered:
            return None
        positions: str | int = self.task.params.positions
        if positions == "answer" and first is not None:
            positions = first
        return EngineSteering(self._name(unit), unit.alpha, positions)

    def _letters(self, units: Sequence[EvalCase], prompts: Tokens, letters: Sequence[int]) -> Scores:
        """Log-probabilities of letters: of those that are not among the likeliest, as a text's last token."""
        asked = [EnginePrompt(tuple(ids), self._steering(unit)) for unit in units for ids in prompts]
        logprobs = np.full((len(asked), len(letters)), np.nan, np.float32)
        likeliest = self.client.following(asked)
        for row, told in zip(logprobs, likeliest, strict=True):
            row[:] = [told.get(token, np.nan) for token in letters]
        lacking = [(int(row), int(place)) for row, place in np.argwhere(np.isnan(logprobs))]
        rest = [self._behind(units[row // len(prompts)], asked[row].ids, (letters[place],)) for row, place in lacking]
        for where, [value] in zip(lacking, self.client.read(*_columns(rest)), strict=True):
            logprobs[where] = value
        shape = (len(units), len(prompts), len(letters))
        return Scores(logprobs.reshape(shape), _tokens(asked), _tokens([*asked, *(each for each, _ in rest)]))

    def _statements(self, units: Sequence[EvalCase], prompts: Tokens, statements: Tokens) -> StatementScores:
        """Log-probabilities of statements' tokens, each behind each prompt."""
        asked = [
            self._behind(unit, tuple(prompt), tuple(statement))
            for unit in units
            for prompt in prompts
            for statement in statements
        ]
        longest = max(map(len, statements))
        logprobs = np.full((len(asked), longest), np.nan, np.float32)
        for row, values in zip(logprobs, self.client.read(*_columns(asked)), strict=True):
            row[: len(values)] = values
        shape = (len(units), len(prompts), len(statements), longest)
        count = _tokens(each for each, _ in asked)
        return StatementScores(logprobs.reshape(shape), count, count)

    def _behind(self, unit: EvalCase, prompt: tuple[int, ...], said: tuple[int, ...]) -> tuple[EnginePrompt, int]:
        """A prompt with what is said after it, and where that begins."""
        return EnginePrompt((*prompt, *said), self._steering(unit, len(prompt) - 1)), len(prompt)


def _columns(asked: Sequence[tuple[EnginePrompt, int]]) -> tuple[list[EnginePrompt], list[int]]:
    return [prompt for prompt, _ in asked], [start for _, start in asked]


def _tokens(prompts: Iterable[EnginePrompt]) -> int:
    return sum(len(prompt.ids) for prompt in prompts)


def _flat(scores: StatementScores, lengths: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    """The log-probabilities of all tokens of statements of such lengths, under each intervention."""
    count = scores.logprobs.shape[-1]
    own = np.arange(count) < np.array(lengths)[:, None]
    return (values[:, own].ravel() for values in scores.logprobs)


def _contradiction(apart: float, dtype: str) -> str | None:
    """Why a server's log-probabilities of answers cannot be taken, or None."""
    bound = LARGEST * TOLERANCE[dtype]
    if apart <= bound:
        return None
    return (
        f"gives a token after a prompt another log-probability than the same token in a prompt, off by {apart:.3g} "
        f"nats, expected at most {bound:g}: it must tell raw ones (vLLM's --logprobs-mode raw_logprobs)"
    )
