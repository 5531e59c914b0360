"""A model's proofs when it is loaded, and models that a caller has loaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from torch import nn

from pasctl.errors import InputError
from pasctl.models.loaded import LoadedModel
from pasctl.models.selfcheck import self_check
from pasctl.models.sites import LINEAR
from pasctl.models.transformers_compat import one_line_errors, quiet_transformers

KERNELS = ("fla", "causal_conv1d")
"""Packages whose kernels transformers takes for linear attention: flash-linear-attention and causal-conv1d."""


def given_model(
    model: LoadedModel | nn.Module, tokenizer: Any, note: Callable[[str], None], *, check: bool
) -> LoadedModel:
    """A model that a caller has loaded; proven as others are, and then in training again if it was."""
    if not isinstance(model, LoadedModel) and (tokenizer is None or not hasattr(model, "get_input_embeddings")):
        found = "no tokenizer" if tokenizer is None else f"a {type(model).__name__}"
        raise InputError(
            f"found {found}, expected a CausalLM of transformers and its tokenizer",
            hint="pasctl.load_model(model, tokenizer)",
        )
    loaded = LoadedModel.given(model, tokenizer, as_is=True)
    if check and loaded.report is None:
        training = bool(loaded.model.training)
        loaded.model.eval()
        try:
            prove(loaded, note)
        finally:
            loaded.model.train(training)
    return loaded


def prove(loaded: LoadedModel, note: Callable[[str], None]) -> None:
    """Run the self-check; a family may do anything in its own code, and fail by it in any way."""
    with one_line_errors(loaded.source.spec), quiet_transformers():
        loaded.report = self_check(loaded)
    if LINEAR in loaded.geometry.kinds and not all(map(find_spec, KERNELS)):
        note("its linear layers run without flash-linear-attention and causal-conv1d, which are faster on a GPU")
