"""The model type `pasctl` of lm-eval: a model as it is or steered to a persona, with or without a memory."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Literal

from lm_eval.api.registry import register_model
from lm_eval.models.huggingface import HFLM

from pasctl.commands.target import SteeringTarget
from pasctl.errors import InputError
from pasctl.evaluation.alphas import AUTO
from pasctl.memory.dropin import remember
from pasctl.models.options import ModelOptions
from pasctl.stages.job import Outcome
from pasctl.stages.model import ModelHandle
from pasctl.stages.run import Run
from pasctl.stages.steering import ResolvedTarget
from pasctl.stages.target import resolve
from pasctl.steering.hooks import steer

LONGEST = 1_000_000
"""Tokens that lm-eval may give to a model with a memory, unless `max_length` says another number."""
_OF_HARNESS = "cuda:0"


@register_model("pasctl")
class PasctlLM(HFLM):
    """A model for lm-eval's tasks; all that HFLM takes beside the model may be given, such as `max_length`.

    Attributes:
        target: who it is steered to; None is the model as it is.
    """

    def __init__(
        self,
        model: str,
        *,
        persona: str | None = None,
        directions: str | None = None,
        alpha: float | str = AUTO,
        positions: Literal["all", "answer"] | None = None,
        store: str = "artifacts",
        dtype: str = "auto",
        device: str = "auto",
        attn: str = "auto",
        n_local: int | None = None,
        **of_harness: Any,
    ) -> None:
        """Load and steer a model.

        Args:
            model: as `--model` takes it: a hub id, a folder, a .gguf file, or demo.
            persona: its id; with neither persona, directions nor alpha the model is left as it is.
            directions: which to read; None takes the latest of this model.
            alpha: strength; "auto" is what `choose-alpha` chose.
            positions: "all", for directions that are fitted to be used from the answer on.
            store: the store's folder.
            dtype: of the weights.
            device: where the model runs; "cuda:0", which lm-eval's command line says where nobody does, is "auto".
            attn: how it attends.
            n_local: gives it a memory with this local window (see `pasctl.remember`); None leaves its context.
            **of_harness: for `HFLM`.

        Raises:
            InputError: a persona that is steered from the answer on: a task's texts do not say where that begins.
            MissingError: there is no such model, or no directions of it.
        """
        run = Run(store)
        asked = SteeringTarget(persona=persona, directions=directions, alpha=alpha, positions=positions)
        where = "auto" if device == _OF_HARNESS else device
        handle = run.model(model, ModelOptions(dtype=dtype, device=where, attn=attn))
        self.target = _resolved(asked, run, handle) if asked.given else None
        loaded = handle.load()
        shift = None if self.target is None else self.target.intervention(handle.geometry())
        self._steered = ExitStack()
        self._steered.enter_context(steer(loaded, shift))
        if n_local is not None:
            of_harness = {"max_length": LONGEST} | of_harness
        super().__init__(pretrained=loaded.model, tokenizer=loaded.tokenizer, backend="causal", **of_harness)
        if n_local is not None:
            self._steered.enter_context(remember(loaded, n_local=n_local))

    def close(self) -> None:
        """Leave the model as it was."""
        self._steered.close()

    def get_model_info(self) -> dict[str, Any]:
        """What lm-eval writes down beside its results."""
        told = {"model_num_parameters": self.model.num_parameters(), "model_dtype": str(self.model.dtype)}
        steered = {} if self.target is None else {"pasctl_key": self.target.directions.key, **self.target.params}
        return told | steered


def _resolved(asked: SteeringTarget, run: Run, handle: ModelHandle) -> ResolvedTarget:
    target = resolve(asked, run, handle)
    if isinstance(target, Outcome):
        raise RuntimeError("only a dry run resolves to an outcome")
    if target.positions != "all":
        raise InputError(
            f"{target.name} is steered from the answer on, and tasks do not say where that is",
            hint="give positions=all, which steers at every position",
        )
    return target
