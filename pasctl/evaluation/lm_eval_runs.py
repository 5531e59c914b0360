"""lm-eval's tasks on a loaded model, steered or prompted: figures, and the values of each document.

Needs lm-eval (`pasctl[lm-eval]`), whose `HFLM` runs the model.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import lm_eval.evaluator
import numpy as np
import torch
from lm_eval.api.model import CacheHook
from lm_eval.models.huggingface import HFLM

from pasctl.evaluation.lm_eval_tasks import HarnessTask, own_errors, quiet, tokens_of
from pasctl.steering.hooks import steer

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel
    from pasctl.steering.intervention import Intervention

_NUMBER = "number"


@dataclass(eq=False)
class Harness:
    """Runs tasks on a model.

    Attributes:
        model: the model; what it is steered to is put on for each task and taken off again.
        batch_size: texts per forward pass.
    """

    model: LoadedModel
    batch_size: int
    _lm: Any = field(init=False)

    def __post_init__(self) -> None:
        with quiet():
            self._lm = HFLM(
                pretrained=self.model.model,
                tokenizer=self.model.tokenizer,
                backend="causal",
                batch_size=self.batch_size,
            )

    def run(
        self, task: HarnessTask, intervention: Intervention | None, system: str | None, advance: Callable[[int], None]
    ) -> dict[str, Any]:
        """Figures of a task under a condition, and the values of its documents, as JSON.

        Args:
            task: what is asked.
            intervention: what the model is steered by at every position.
            system: what it is prompted with.
            advance: called as requests are done.

        Returns:
            figures: "metric,filter" -> value; values: the same -> one per document; documents: the same -> their
            numbers; counts.
        """
        how, run = task.how, _Counted()
        self._lm.set_cache_hook(_Progress(advance))
        with _seeded(how.seed), quiet(), own_errors(f"task {task.name}"), run.counting(self.model.model):
            task.task.set_fewshot_seed(how.seed)
            with steer(self.model, intervention):
                found = lm_eval.evaluator.evaluate(
                    self._lm,
                    {"tasks": {task.name: task.task}, "groups": {}},
                    limit=how.limit,
                    bootstrap_iters=0,
                    system_instruction=system,
                    apply_chat_template=how.template is not None,
                    fewshot_as_multiturn=True,
                )
        requests = task.task.instances
        written = sum(
            len(self._lm.tok_encode(str(text)))
            for each in requests
            if each.request_type == "generate_until"
            for text in each.resps
        )
        counts = {
            "documents": len({each.doc_id for each in requests}),
            "requests": len(requests),
            "tokens_asked": tokens_of(requests, self._lm.tok_encode) + written,
            "tokens_run": run.tokens,
        }
        return _measured(found["results"][task.name], found["samples"][task.name]) | {"counts": counts}


def _measured(results: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of lm-eval's results of one task and its samples."""
    values: dict[str, list[Any]] = {}
    documents: dict[str, list[int]] = {}
    for sample in samples:
        for metric in sample["metrics"]:
            key = f"{metric},{sample['filter']}"
            values.setdefault(key, []).append(_plain(sample[metric]))
            documents.setdefault(key, []).append(int(sample["doc_id"]))
    figures = {key: _plain(results[key]) for key in values if isinstance(results.get(key), int | float | np.number)}
    known = {key: each for key, each in values.items() if key in figures}
    return {"figures": figures, "values": known, "documents": {key: documents[key] for key in known}}


def _plain(value: Any) -> Any:
    """A value of a document as JSON; numbers that JSON has none for by their names."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    return value if value is None or isinstance(value, str | int | float) else str(value)


def stored_value(value: Any) -> Any:
    """A value of a document from what `Harness.run` gave."""
    if isinstance(value, list):
        return [stored_value(each) for each in value]
    if isinstance(value, dict):
        if set(value) == {_NUMBER}:
            return float(value[_NUMBER])
        return {name: stored_value(each) for name, each in value.items()}
    return value


class _Progress(CacheHook):  # lm-eval calls it with each answer, to keep it
    def __init__(self, advance: Callable[[int], None]) -> None:
        super().__init__(None)
        self._advance = advance

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        self._advance(1)


class _Counted:
    """Tokens that went through a model, padding included."""

    def __init__(self) -> None:
        self.tokens = 0

    @contextmanager
    def counting(self, model: Any) -> Iterator[None]:
        handle = model.register_forward_pre_hook(self._before, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _before(self, module: Any, given: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        ids = given[0] if given else named["input_ids"]
        self.tokens += int(ids.numel())


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """What texts are sampled by, and what a task's code may draw from; as it was afterwards."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])
