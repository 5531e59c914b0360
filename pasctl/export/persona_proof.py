"""Is a base model with a table of personas the steered model? Read in transformers, and request by request in vLLM."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from pasctl.errors import PasctlError
from pasctl.export.proof import LARGEST, TOLERANCE, Passage, Reference
from pasctl.export.vllm import read_batch
from pasctl.vllm_plugin.persona_request import ALPHA, PERSONA, STEERED
from pasctl.vllm_plugin.persona_table import PersonaFolder

if TYPE_CHECKING:
    from pasctl.export.engines.engine import Reading


def joined(references: Sequence[Reference]) -> Reference:
    """References of several personas as one: their passages one after the other."""
    first = references[0]
    return Reference(
        first.prompts,
        first.text,
        tuple(passage for each in references for passage in each.passages),
        tuple(value for each in references for value in each.steered),
        tuple(value for each in references for value in each.unsteered),
    )


def read_tables(
    folder: Path, reference: Reference, names: Sequence[str], alphas: Sequence[float], how: Reading
) -> tuple[float, ...]:
    """What base and table give the reference's tokens in transformers, the vectors added by hooks.

    Args:
        folder: the export.
        reference: of `names`, joined.
        names: personas, each with the same number of passages.
        alphas: their strengths.
        how: dtype and place.

    Raises:
        PasctlError: it cannot be loaded, its tokenizer gives other tokens, or without vectors it is not the base model.
    """
    from pasctl.export.control_vector import adding
    from pasctl.export.reading import encode, open_checkpoint, read
    from pasctl.export.vectors.vector_format import Vectors

    model = open_checkpoint(folder, dtype=how.dtype, device=how.device, attn=how.attn, device_map=how.device_map)
    tables = PersonaFolder(folder, (model.geometry.layers, model.geometry.hidden))
    tables.refresh()
    if encode(model.chat, model.tokenizer) != (reference.prompts, reference.text):
        raise PasctlError("the exported tokenizer gives other tokens than the model's own")
    if read(model, reference.passages) != reference.unsteered:
        raise PasctlError("the exported weights are not the base model's: without a persona they give something else")
    found: list[float] = []
    for name, alpha, passages in zip(names, alphas, _shares(reference.passages, len(names)), strict=True):
        rows = tables.vectors(tables.personas[name].digest)
        if rows is None:
            raise PasctlError(f"the table of {folder} has no vectors of {name}")
        layers = {layer: alpha * torch.from_numpy(row) for layer, row in enumerate(rows)}
        with adding(model, Vectors("attention", layers)):
            found += read(model, passages)
    return tuple(found)


def read_requests(
    folder: Path, reference: Reference, names: Sequence[str], alphas: Sequence[float], dtype: str
) -> tuple[float, ...]:
    """What vLLM gives the reference's tokens, in one batch of steered and unsteered requests with prefix caching on.

    Args:
        folder: the export.
        reference: of `names`, joined.
        names: personas, each with the same number of passages.
        alphas: their strengths.
        dtype: float32, float16 or bfloat16.

    Raises:
        PasctlError: vLLM does not run it, an unsteered request is not to the bit the base model's, or a request that
            was read from the prefix cache is answered otherwise than before.
    """
    shares = _shares(reference.passages, len(names))
    asked = [
        (passage, {PERSONA: name, ALPHA: alpha, STEERED: "all"})
        for name, alpha, passages in zip(names, alphas, shares, strict=True)
        for passage in passages
    ]
    plain: list[tuple[Passage, dict[str, object] | None]] = [(passage, None) for passage in reference.passages]
    mixed = [*asked, *plain]
    base = [(passage, None) for passage, _ in mixed]
    steered = read_batch(folder, mixed, dtype)
    unsteered = read_batch(folder, base, dtype, base=True)
    count = len(reference.steered)
    if steered.logprobs[count:] != unsteered.logprobs[count:]:
        raise PasctlError(f"unsteered requests to {folder} do not get the base model's log-probabilities to the bit")
    if not steered.cached_tokens:
        raise PasctlError(f"vLLM read no token of {folder} from its prefix cache, so nothing is proven of it")
    off = max(abs(again - before) for again, before in zip(steered.again, steered.first, strict=True))
    if off > LARGEST * TOLERANCE[dtype]:
        raise PasctlError(f"requests that are read from the prefix cache of {folder} are off by {off:.3g} nats")
    return steered.logprobs[:count]


def _shares(passages: Sequence[Passage], count: int) -> list[Sequence[Passage]]:
    """The passages of each of `count` personas."""
    size = len(passages) // count
    return [passages[start : start + size] for start in range(0, len(passages), size)]
