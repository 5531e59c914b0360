"""A questionnaire put to the model as letters: how one pass is scored, and what earlier results hold already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pasctl.evaluation.units import EvalCase
from pasctl.inventory import by_level, option_names
from pasctl.stages.job import StageContext
from pasctl.stages.loaded_answers import AnswerSource
from pasctl.stages.questionnaire import EvaluationTask
from pasctl.stages.runner import Artifact

if TYPE_CHECKING:
    from pasctl.models.chat import ChatRenderer


class Scorer:
    """Answers the report items as one unit asks."""

    def __init__(self, chat: ChatRenderer, task: EvaluationTask) -> None:
        self._chat = chat
        self._task = task
        self._names = chat.option_ids(option_names(task.inventory))

    def answer(self, source: AnswerSource, units: Sequence[EvalCase], counts: dict[str, int]) -> NDArray[np.float32]:
        """Log-probability of the option of the lowest, .. highest score, float32 [units, orders, items, K].

        NaN beyond an item's last option.

        The units are told the same. Adds to the token counts.
        """
        from pasctl.evaluation.option_scoring import OptionPrompts

        prompts = [self._chat.encode(text, units[0].system) for text in self._task.questions]
        scores = source.options(OptionPrompts(prompts, self._names, self._task.option_places), units)
        counts["tokens_asked"] += scores.tokens_asked
        counts["tokens_run"] += scores.tokens_run
        orders = len(self._task.params.orders)
        by_order = scores.logprobs.reshape(len(units), orders, -1, len(self._names))
        places = np.split(self._task.option_places, orders)
        return np.stack([by_level(by_order[:, order], places[order]) for order in range(orders)], axis=1)


def earlier_answers(work: StageContext, keys: list[str]) -> dict[str, NDArray[np.float32]]:
    """Answers that other results hold already: the same question put to the same model in the same way."""
    return earlier_parts(work, keys, "level_logprobs", lambda told: told["parts"])


def earlier_parts(
    work: StageContext, keys: list[str], tensor: str, parts_of: Callable[[Any], Sequence[str]]
) -> dict[str, NDArray[np.float32]]:
    """Parts that other results hold already.

    Args:
        work: knows the store.
        keys: of the parts that are wanted.
        tensor: name of the tensor that has them, part by part.
        parts_of: what `units.json` says -> the keys of the parts in that tensor.
    """
    parts: dict[str, NDArray[np.float32]] = {}
    holders: dict[Artifact, list[str]] = {}
    for key, artifact in work.find_parts(keys).items():
        holders.setdefault(artifact, []).append(key)
    for artifact, held in holders.items():
        places = {key: place for place, key in enumerate(parts_of(artifact.read_json("units.json")))}
        values = artifact.read_arrays("answers.safetensors")[tensor]
        parts |= {key: values[places[key]] for key in held}
    return parts
