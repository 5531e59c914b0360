"""What must hold of a loaded model before its numbers mean anything, proven on one question."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pasctl.errors import PasctlError
from pasctl.inventory.scale import USUAL_LETTERS

if TYPE_CHECKING:
    from pasctl.models.loaded import LoadedModel

QUESTION = 'Statement: "I worry about things."'


@dataclass(frozen=True)
class CheckReport:
    """What the self-check found: layers, shape of a layer's head outputs [1, T, H*D], the answer letters' tokens."""

    layers: int
    head_output_shape: tuple[int, int, int]
    letter_ids: dict[str, int]


@torch.inference_mode()
def self_check(loaded: LoadedModel, letters: Sequence[str] = USUAL_LETTERS) -> CheckReport:
    """Check a model's letters, the shapes at every o_proj, and that adding a zero displacement there changes no logit.

    Raises:
        InputError: an answer letter is not one token.
        PasctlError: anything else that does not hold.
    """
    tokens = loaded.chat.letter_ids(letters)
    ids = torch.tensor([loaded.chat.encode(QUESTION)], device=loaded.device)
    shapes: list[tuple[int, ...]] = []
    plain = _logits(loaded, ids, lambda module: module.register_forward_pre_hook(_record_shape(shapes)))
    expected = (1, ids.shape[1], loaded.geometry.width)
    wrong = next((n for n, shape in enumerate(shapes) if shape != expected), None)
    if wrong is not None:
        raise PasctlError(f"layer {wrong}: o_proj's input has shape {shapes[wrong]}, expected {expected}")
    if len(shapes) != loaded.geometry.layers:
        raise PasctlError(f"{len(shapes)} output projections ran, expected {loaded.geometry.layers}")
    if not torch.isfinite(plain).all():
        raise PasctlError(
            f"the model's logits are not finite in {loaded.dtype}", hint="try --dtype float32 or bfloat16"
        )
    shifted = _logits(loaded, ids, lambda module: module.register_forward_hook(_add_zero))
    if not torch.equal(plain, shifted):
        # kernels that sum in any order (experts on a GPU) differ between two equal runs: only more than that is a fault
        spread = (_logits(loaded, ids) - plain).abs().max().item()
        change = (shifted - plain).abs().max().item()
        if change > 4 * spread:
            raise PasctlError(
                f"a zero displacement at o_proj changes a logit by {change:.3g}, two equal runs by {spread:.3g}"
            )
    return CheckReport(loaded.geometry.layers, expected, dict(zip(letters, tokens, strict=True)))


def _logits(loaded: LoadedModel, ids: Tensor, attach: Callable[[nn.Module], Any] | None = None) -> Tensor:
    """Logits of the last position, with `attach`'s hook on every o_proj for this one pass."""
    handles: list[Any] = []
    try:
        if attach is not None:
            for module in loaded.outputs():
                handles.append(attach(module))
        result = loaded.model(input_ids=ids, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()
    return result.logits[:, -1].float()  # type: ignore[no-any-return]


def _record_shape(shapes: list[tuple[int, ...]]) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    return lambda _module, inputs: shapes.append(tuple(inputs[0].shape))


def _add_zero(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + torch.zeros_like(output)
